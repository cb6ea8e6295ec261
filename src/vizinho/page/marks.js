// Right or wrong, said of a result: two buttons, of which one may be pressed.

import * as api from "./api.js";
import { announce, iconButton, make } from "./dom.js";
import { asProblem } from "./problem.js";
import { nameOf } from "./tile.js";
import { say } from "./toast.js";
import { t } from "./words.js";

const DRAWN = { right: "right", wrong: "close" };
const said = new Map(); // place -> verdict
const learned = new Map(); // key of a query -> promise: what the server has is known

const place = ({ id, crop }, key) =>
  JSON.stringify([id, crop && [crop.top, crop.left, crop.bottom, crop.right], key]);

// What was said of the results of a picture of the gallery, here or on another day.
async function learn(query) {
  const { marks: found } = await api.marks(0, 200, query.key);
  for (const mark of found) {
    const at = place({ ...query, crop: mark.query.crop }, mark.key);
    if (!said.has(at)) said.set(at, mark.verdict);
  }
}

// -> an element for the result `match`; null for a query whose bytes are not at hand. `known` is
// what is known to have been said.
export function marks(query, match, known) {
  if (query.kind === "url" || query.weight < 0) return null;
  const asked = { ...query }; // its crop may be another by the time that a button is pressed
  const at = place(asked, match.key);
  const name = nameOf(match);
  const box = make("span", "marks", { role: "group", "aria-label": t("care.marks") });
  const draw = () => {
    for (const button of box.children) {
      button.setAttribute("aria-pressed", said.get(at) === button.dataset.verdict);
    }
  };
  for (const verdict of Object.keys(DRAWN)) {
    const button = iconButton(DRAWN[verdict], `act mark-${verdict}`, t(`care.mark.${verdict}`, { name }));
    button.dataset.verdict = verdict;
    button.addEventListener("click", () => press(verdict));
    box.append(button);
  }
  async function press(verdict) {
    const before = said.get(at);
    const next = before === verdict ? null : verdict;
    said.set(at, next);
    draw();
    try {
      await api.mark(asked, match.key, next);
      announce(t(`care.marked.${next ?? "none"}`, { name }));
    } catch (error) {
      const { title } = asProblem(error);
      said.set(at, before);
      draw();
      say([t("care.unmarked", { name }), `${title}.`].join(" "));
    }
  }
  if (known) said.set(at, known);
  else if (query.kind === "key") {
    if (!learned.has(query.key)) learned.set(query.key, learn(query).catch(() => learned.delete(query.key)));
    learned.get(query.key).then(draw);
  }
  draw();
  return box;
}
