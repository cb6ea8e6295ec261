// The address bar holds what is shown: its query string is the state of the page, so back, forward,
// reload and a shared link work. What no address can hold (an uploaded picture) is in history.state.

const listeners = new Set();

export const params = () => new URLSearchParams(location.search);

export const state = () => history.state ?? {};

// fn(params) after every change, by us or by the browser's own buttons.
export function listen(fn) {
  listeners.add(fn);
  return () => listeners.delete(fn);
}

// The address after changes: null takes a name away, a list gives it several values.
export function address(changes, from = params()) {
  for (const [name, value] of Object.entries(changes)) {
    from.delete(name);
    for (const each of [value].flat()) if (each != null) from.append(name, each);
  }
  // Only what must be escaped: people read addresses.
  const query = from.toString().replaceAll("%2F", "/").replaceAll("%2C", ",");
  return query ? `?${query}` : location.pathname;
}

export function go(changes, { replace = false, state: kept = history.state } = {}) {
  const next = address(changes);
  const same = new URL(next, location.href).search === location.search && kept === history.state;
  history[replace || same ? "replaceState" : "pushState"](kept, "", next);
  tell();
}

const tell = () => listeners.forEach((fn) => fn(params()));

// A dialog is not there again after a reload, or on the way forward: back to before it, then.
function passOver() {
  if (!history.state?.dialog || document.querySelector("dialog[open]")) return false;
  history.back();
  return true;
}

window.addEventListener("popstate", () => passOver() || tell());
passOver();

const dialogs = new Set();

// fn() when a dialog has opened or closed.
export const onDialog = (fn) => dialogs.add(fn);

// Show a dialog until it is closed, which the way back does, too; then the history is as before.
export async function modal(dialog) {
  history.pushState({ ...history.state, dialog: true }, "");
  const back = () => dialog.close();
  window.addEventListener("popstate", back, { once: true });
  dialog.showModal();
  dialogs.forEach((fn) => fn());
  await once(dialog, "close");
  window.removeEventListener("popstate", back);
  dialogs.forEach((fn) => fn());
  dialog.remove();
  if (!history.state?.dialog) return;
  history.back();
  await once(window, "popstate");
}

const once = (target, name) => new Promise((done) => target.addEventListener(name, done, { once: true }));
