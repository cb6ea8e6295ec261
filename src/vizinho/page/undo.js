// Removing with a way back: nothing is sent until the time to undo is over, so undoing loses
// nothing. Who leaves the page before that has removed: the request outlives the page.

import * as api from "./api.js";
import { announce } from "./dom.js";
import { asProblem } from "./problem.js";
import { count, say, toast } from "./toast.js";
import { plural, t } from "./words.js";

const SECONDS = 8; // to undo
const MOST = 60_000; // bytes that a browser lets outlive its page, all requests together

export const going = new Set(); // keys that are shown as gone
const waiting = new Set(); // { keys, toast }
const listeners = new Set();

// fn(sent) when keys begin to go, come back, or have gone: then `sent` is how many.
export const onGoing = (fn) => listeners.add(fn);
const tell = (sent = 0) => listeners.forEach((fn) => fn(sent));

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
    api.counted(-removed);
    if (mirrored) say(t("care.mirrored"));
    tell(removed);
  } catch (error) {
    say([plural("care.kept", batch.keys.length), `${asProblem(error).title}.`].join(" "));
  }
  batch.keys.forEach((key) => going.delete(key));
  tell();
}

window.addEventListener("pagehide", () => waiting.forEach((batch) => send(batch, true)));
