// Lines at the foot of the window that go away by themselves.

import { announce, make } from "./dom.js";
import { onDialog } from "./router.js";
import { t } from "./words.js";

const SECONDS = 8;
const TICK = 250; // ms

let shelf = null;

// Over an open dialog, which leaves nothing else to be pressed.
const place = () => document.querySelector("dialog[open]") ?? document.querySelector("main");
onDialog(() => shelf?.childElementCount && place().append(shelf));

// A line at the foot of the window, with one thing to do; said to who listens, too.
export function toast(text, act, fn) {
  shelf ??= make("div", "shelf");
  place().append(shelf);
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
export function count({ node, bar }, seconds, over) {
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

// Said, and gone after a while.
export const say = (text) => count(toast(text), SECONDS, () => {});

// Done already, with a way back.
export function done(text, undo) {
  count(toast(text, t("care.undo"), undo), SECONDS, () => {});
}
