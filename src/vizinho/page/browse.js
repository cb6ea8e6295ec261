// The gallery's pictures, page by page; several are chosen to be labelled or removed.

import * as api from "./api.js";
import { beyond, here, offerLabels, pageOf, pager } from "./care.js";
import { make, picture } from "./dom.js";
import { address, go, params } from "./router.js";
import { nameOf } from "./tile.js";
import { asProblem, complain } from "./problem.js";
import { done, say } from "./toast.js";
import { going, onGoing, remove } from "./undo.js";
import { number, onLanguage, plural, t } from "./words.js";

const PAGE = 60;
const parts = {};
let root = null;
let list = null; // the page as the server gave it
let labels = [];
let last = 0; // where a range begins
let asking = 0;

export async function show(box) {
  if (!root) build(box);
  await load();
}

function build(box) {
  root = box;
  Object.assign(parts, {
    title: make("h2", "title", { tabIndex: -1 }),
    label: make("select"),
    labelText: make("span"),
    note: make("p", "status"),
    trouble: make("div", "problem", { role: "alert", hidden: true }),
    grid: make("ul", "grid picks"),
    bar: make("form", "bar", { hidden: true }),
    pages: pager(),
  });
  const tool = make("label", "tool", {}, parts.labelText, parts.label);
  tool.hidden = !api.offers("labels");
  box.append(make("div", "row head", {}, parts.title, tool), parts.note, parts.trouble, parts.grid, parts.pages.node, parts.bar);
  parts.label.addEventListener("change", ({ target: { value } }) =>
    go({ label: value === "*" ? null : value.slice(1), page: null }),
  );
  if (api.offers("write")) writable();
  onGoing((sent) => (sent ? load() : list && draw()));
  onLanguage(() => list && draw());
}

function writable() {
  const { bar, grid } = parts;
  Object.assign(parts, {
    chosen: make("span", "bar-count"),
    text: make("input", "", { type: "text", id: "care-label", autocomplete: "off" }),
    apply: make("button", "button second"),
    away: make("button", "button danger"),
    none: make("button", "link"),
  });
  bar.append(parts.chosen, parts.text, parts.apply, parts.away, parts.none);
  parts.apply.type = "submit";
  bar.addEventListener("submit", (event) => {
    event.preventDefault();
    relabel(parts.text.value.trim() || null);
  });
  parts.away.addEventListener("click", () => removeChosen());
  parts.none.addEventListener("click", () => choose(() => false));
  grid.addEventListener("click", range);
  grid.addEventListener("change", drawBar);
  grid.addEventListener("keydown", keys);
  offerLabels(parts.text);
}

const boxes = () => [...parts.grid.querySelectorAll("input")];
const chosen = () => boxes().filter((each) => each.checked && !each.disabled).map((each) => each.value);

function choose(which) {
  boxes().forEach((each, at) => {
    each.checked = which(each, at);
  });
  drawBar();
}

// With the shift key, all from the last one to this.
function range({ target, shiftKey }) {
  if (target.type !== "checkbox") return;
  const all = boxes();
  const at = all.indexOf(target);
  const [from, to] = [Math.min(at, last), Math.max(at, last)];
  if (shiftKey) all.slice(from, to + 1).forEach((each) => (each.checked = target.checked));
  last = at;
  drawBar();
}

// Arrows go from picture to picture, Ctrl+A chooses all, Escape none, Delete removes.
function keys(event) {
  const all = boxes();
  const at = all.indexOf(event.target);
  if (at < 0) return;
  const wide = getComputedStyle(parts.grid).gridTemplateColumns.split(" ").length;
  const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -wide, ArrowDown: wide }[event.key];
  if (step) all[at + step]?.focus();
  else if (event.key === "a" && (event.ctrlKey || event.metaKey)) choose(() => true);
  else if (event.key === "Escape") choose(() => false);
  else if (event.key === "Delete" && chosen().length) removeChosen();
  else return;
  event.preventDefault();
}

async function load() {
  if (!here("pictures")) return; // it is asked anew when it is shown again
  const turn = (asking += 1);
  const asked = params();
  const page = pageOf(asked);
  try {
    const [found, known] = await Promise.all([
      api.pictures(page * PAGE, PAGE, asked.get("label")),
      api.offers("labels") ? api.labels() : { labels: [] },
    ]);
    if (turn !== asking || !here("pictures")) return;
    const turned = list && (list.offset !== found.offset || list.label !== asked.get("label"));
    labels = known.labels;
    const label = asked.get("label");
    const total = found.total ?? labels.find((each) => each.label === label)?.count;
    complain(parts.trouble, null);
    if (beyond({ offset: found.offset, total }, PAGE, found.images.length)) return;
    list = { ...found, label, total };
    draw();
    if (turned) parts.title.focus();
  } catch (error) {
    if (turn === asking) complain(parts.trouble, error, load);
  }
}

function draw() {
  const held = document.activeElement?.value;
  const kept = new Set(chosen());
  parts.grid.setAttribute("aria-label", t("care.part.pictures"));
  parts.title.textContent = t("care.part.pictures");
  parts.labelText.textContent = t("search.label");
  drawLabels();
  const { total } = list;
  const there = list.images.length;
  const span = { from: number(list.offset + 1), to: number(list.offset + there), of: number(total ?? 0) };
  const none = list.label === null ? "search.empty" : "search.filtered";
  const where = !there ? t(none) : total ? t("care.span.of", span) : t("care.span", span);
  parts.note.textContent = where;
  parts.grid.replaceChildren(...list.images.map((match) => pick(match, kept)));
  parts.pages.draw(list.offset / PAGE, list.next !== null, where);
  boxes().find((each) => each.value === held)?.focus();
  drawBar();
}

function drawLabels() {
  const option = (value, textContent) => make("option", "", { value, textContent });
  const named = labels.filter(({ label }) => label);
  const options = named.map(({ label, count }) => option(`=${label}`, `${label} (${number(count)})`));
  const known = list.label === null || named.some(({ label }) => label === list.label);
  parts.label.replaceChildren(option("*", t("search.label.any")), ...options);
  if (!known) parts.label.append(option(`=${list.label}`, list.label));
  parts.label.value = list.label === null ? "*" : `=${list.label}`;
}

function pick(match, kept) {
  const name = nameOf(match);
  const gone = going.has(match.key);
  const image = make("img", "", { width: 320, height: 320 });
  picture(image, match, "");
  const frame = make("span", "frame", {}, image);
  const link = make("a", "pick-name", { href: address({ view: null, part: null, page: null, label: null, key: match.key }), textContent: name, title: match.key });
  link.setAttribute("aria-label", t("search.from", { name: `${name} (${match.key})` }));
  const item = make("li", gone ? "pick going" : "pick");
  item.dataset.key = match.key;
  if (api.offers("write")) {
    const box = make("input", "", { type: "checkbox", value: match.key, checked: kept.has(match.key), disabled: gone });
    box.setAttribute("aria-label", t("care.choose", { name: `${name} (${match.key})` }));
    item.append(make("label", "pane", {}, box, frame));
  } else {
    image.alt = name;
    item.append(make("a", "pane", { href: link.href, "aria-hidden": "true", tabIndex: -1 }, frame));
  }
  item.append(link);
  return item;
}

function drawBar() {
  if (!parts.chosen) return;
  const { length } = chosen();
  parts.bar.hidden = !length;
  parts.chosen.textContent = plural("care.chosen", length);
  parts.text.placeholder = t("care.label");
  parts.text.setAttribute("aria-label", t("care.label"));
  parts.apply.textContent = t("care.label.set");
  parts.away.textContent = t("care.remove");
  parts.none.textContent = t("care.choose.none");
}

function removeChosen() {
  const keys = chosen();
  const at = boxes().findIndex((each) => each.checked);
  choose(() => false);
  remove(keys);
  // The keyboard goes on where it was.
  (boxes().slice(at).find((each) => !each.disabled) ?? parts.title).focus();
}

async function relabel(label) {
  const keys = chosen();
  const before = Map.groupBy(list.images.filter(({ key }) => keys.includes(key)), (match) => match.label);
  const undo = () => Promise.all([...before].map(([old, of]) => labelled(of.map(({ key }) => key), old)));
  if (!(await labelled(keys, label))) return;
  choose(() => false);
  parts.title.focus();
  const text = label === null ? plural("care.unlabelled", keys.length) : plural("care.labelled", keys.length, { label });
  done(text, undo);
}

async function labelled(keys, label) {
  try {
    await api.labelAll(keys, label);
  } catch (error) {
    const { title, detail } = asProblem(error);
    say(`${title}. ${detail}`);
    return false;
  }
  await load();
  return true;
}
