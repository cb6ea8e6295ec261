// Removing with a way back: nothing is sent until the time to undo is over, so undoing loses
// nothing. Who leaves the page before that has removed: the request outlives the page.

import * as api from "./api.js";
import { announce, make } from "./dom.js";
import { asProblem } from "./problem.js";
import { plural, t } from "./words.js";

const SECONDS = 8;
const TICK = 250;
const MOST = 60_000; // bytes that a browser lets outlive its page, all requests together

export const going = new Set(); // keys that are shown as gone
const waiting = new Set(); // { keys, toast, left }
const listeners = new Set();

// fn(sent) when keys begin to go, come back, or have gone: then `sent` is how many.
export const onGoing = (fn) => listeners.add(fn);
const tell = (sent = 0) => listeners.forEach((fn) => fn(sent));

let shelf = null;

// A line at the foot of the window, with one thing to do; said to who listens, too.
export function toast(text, act, fn) {
  shelf ??= document.querySelector("main").appendChild(make("div", "shelf"));
  const button = act && make("button", "link", { textContent: act });
  const bar = make("span", "toast-bar");
  const node = make("div", "toast", {}, make("span", "", { textContent: text }), ...(button ? [button] : []), bar);
  button?.addEventListener("click", () => {
    node.remove();
    fn();
  });
  shelf.append(node);
  announce(text);
  return { node, bar };
}

// Counts down, but not while somebody goes to it, with the mouse or the keyboard. A mouse that only
// lies where it appeared has not gone to it.
function count({ node, bar }, seconds, over) {
  let left = seconds * 1000;
  let held = false;
  node.addEventListener("pointermove", ({ movementX, movementY }) => {
    held ||= Boolean(movementX || movementY);
  });
  node.addEventListener("pointerleave", () => {
    held = false;
  });
  const clock = setInterval(() => {
    if (!node.isConnected) return clearInterval(clock);
    if (held || node.matches(":focus-within")) return;
    left -= TICK;
    bar.style.transform = `scaleX(${Math.max(0, left / (seconds * 1000))})`;
    if (left > 0) return;
    clearInterval(clock);
    node.remove();
    over();
  }, TICK);
}

const size = (keys) => new TextEncoder().encode(JSON.stringify({ keys })).length;

export function remove(keys) {
  const batch = { keys };
  // What would not outlive the page is sent before it has to.
  let room = MOST - size(keys);
  for (const each of [...waiting].reverse()) if ((room -= size(each.keys)) < 0) send(each);
  keys.forEach((key) => going.add(key));
  waiting.add(batch);
  batch.toast = toast(plural("care.removed", keys.length, { s: SECONDS }), t("care.undo"), () => back(batch));
  count(batch.toast, SECONDS, () => send(batch));
  tell();
}

function back(batch) {
  waiting.delete(batch);
  batch.keys.forEach((key) => going.delete(key));
  announce(plural("care.back", batch.keys.length));
  tell();
}

async function send(batch, leaving = false) {
  waiting.delete(batch);
  batch.toast.node.remove();
  try {
    const { removed, mirrored } = await api.removeAll(batch.keys, leaving);
    api.about.model.images -= removed;
    if (mirrored) say(t("care.mirrored"));
    tell(removed);
  } catch (error) {
    const { title, detail } = asProblem(error);
    say([plural("care.kept", batch.keys.length), `${title}.`, detail].join(" "));
  }
  batch.keys.forEach((key) => going.delete(key));
  tell();
}

// Said, and gone after a while.
export const say = (text) => count(toast(text), SECONDS, () => {});

// Done already, with a way back.
export function done(text, undo) {
  count(toast(text, t("care.undo"), undo), SECONDS, () => {});
}

window.addEventListener("pagehide", () => waiting.forEach((batch) => send(batch, true)));
