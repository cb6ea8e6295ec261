// A result large beside the query, and over both the regions that made the match.

import * as api from "./api.js";
import { icon, make, picture, style } from "./dom.js";
import { all } from "./queries.js";
import { modal } from "./router.js";
import { kindOf, nameOf } from "./tile.js";
import { number, percent, t } from "./words.js";

const LARGE = 1024; // pixels asked of the server
const WARM = [255, 106, 0]; // speaks for the match
const COLD = [10, 100, 255]; // against it
const WAYS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
const PREVIOUS = "M15 5l-7 7l7 7";
const NEXT = "M9 5l7 7l-7 7";
const CLOSE = "M6 6l12 12M18 6L6 18";

let opening = false; // a double click opens one

let chosen = { heat: true, strength: 70 }; // kept from one comparison to the next

// Not "-0%".
const shareOf = (x) => percent(Math.abs(x) < 0.005 ? 0 : x);

const button = (path, label, className, act) => {
  const made = make("button", className, { "aria-label": t(label), title: t(label) }, icon(path));
  made.addEventListener("click", act);
  return made;
};

// One of the two pictures, with its heat map and its regions to walk through.
function pane(side, title, read) {
  const image = make("img", "", { alt: "", hidden: true });
  const canvas = make("canvas", "compare-heat");
  const grid = make("div", "compare-grid", { role: "grid", "aria-label": t(`compare.regions.${side}`) });
  const seen = make("div", "compare-seen", { hidden: true }, canvas, grid);
  const cut = make("div", "compare-cut", { hidden: true });
  const shown = make("div", "compare-picture", {}, image, cut, seen);
  const heading = make("h3", "small-title", { textContent: title });
  const root = make("section", "compare-pane", {}, heading, make("div", "compare-place", {}, shown));
  image.addEventListener("load", () => {
    const { naturalWidth: width, naturalHeight: height } = image;
    shown.style.aspectRatio = `${width} / ${height}`;
    shown.classList.toggle("wide", width >= height);
  });
  const over = ({ target }) => target.role === "gridcell" && read(target.ariaLabel);
  grid.addEventListener("pointerover", over);
  grid.addEventListener("focusin", over);
  grid.addEventListener("keydown", walk);
  return { root, image, canvas, grid, seen, cut, heading };
}

function walk(event) {
  const way = WAYS[event.key];
  if (!way) return;
  event.preventDefault();
  event.stopPropagation(); // here they go through regions, elsewhere through results
  const { row, column } = event.target.dataset;
  const next = this.querySelector(`[data-row="${+row + way[0]}"][data-column="${+column + way[1]}"]`);
  if (!next) return;
  event.target.tabIndex = -1;
  next.tabIndex = 0;
  next.focus();
}

function inset(node, { top, left, bottom, right }) {
  const sides = { top, left, bottom: 1 - bottom, right: 1 - right };
  for (const [side, share] of Object.entries(sides)) node.style[side] = `${share * 100}%`;
}

// The shares over a picture: as colours, and as numbers for whoever points at one.
function heat({ canvas, grid, seen }, { rows, columns, values, box }, whole, most) {
  inset(seen, box);
  Object.assign(canvas, { width: columns, height: rows });
  const drawing = canvas.getContext("2d");
  const data = drawing.createImageData(columns, rows);
  values.forEach((value, at) => {
    const strength = Math.round((255 * Math.abs(value / whole)) / most);
    data.data.set([...(value < 0 ? COLD : WARM), strength], 4 * at);
  });
  drawing.putImageData(data, 0, 0);
  grid.style.gridTemplate = `repeat(${rows}, 1fr) / repeat(${columns}, 1fr)`;
  const strongest = values.indexOf(Math.max(...values));
  grid.replaceChildren(
    ...Array.from({ length: rows }, (_, row) =>
      make("div", "", { role: "row" }, ...Array.from({ length: columns }, (__, column) => {
        const at = row * columns + column;
        const share = shareOf(values[at] / whole);
        const label = t("compare.share", { row: row + 1, column: column + 1, share });
        const cell = make("div", at === strongest ? "strongest" : "", { role: "gridcell", "aria-label": label });
        Object.assign(cell.dataset, { row, column });
        cell.tabIndex = at === strongest ? 0 : -1;
        cell.append(make("span", "", { textContent: share, "aria-hidden": "true" }));
        return cell;
      })),
    ),
  );
}

const fact = (name, value) =>
  value && make("div", "", {}, make("dt", "", { textContent: t(name) }), make("dd", "", { textContent: value }));

const facts = ({ label, kind, probability, distance }) =>
  [
    fact("compare.label", label),
    fact("compare.kind", kindOf(kind)),
    fact("compare.chance", probability === null ? "" : percent(probability)),
    fact("compare.distance", number(distance, 2)),
  ].filter(Boolean);

function summed({ similarity, query, match }) {
  const said = { similarity: number(similarity, 2) };
  if (similarity <= 0) return t("compare.apart", said);
  if (!query.bias && !match.bias) return t("compare.sum", said);
  const share = ({ bias }) => percent(1 - bias / similarity);
  return t("compare.sum.bias", { ...said, query: share(query), match: share(match) });
}

// The tools over the pictures: a switch, how strong, what the colours mean.
function tools(dialog) {
  const toggle = make("input", "", { type: "checkbox", role: "switch", checked: chosen.heat });
  const range = make("input", "", { type: "range", min: 10, max: 100, value: chosen.strength });
  range.setAttribute("aria-label", t("compare.strength"));
  range.title = t("compare.strength");
  const low = make("span");
  const high = make("span");
  const bar = make("span", "compare-bar");
  const scale = make("div", "compare-scale", { role: "img" }, low, bar, high);
  const reading = make("p", "compare-reading");
  const sum = make("p", "compare-sum");
  const row = make("div", "compare-row", {}, make("label", "", {}, toggle, t("compare.heat")), range, scale);
  const root = make("div", "compare-tools", {}, row, reading, sum);
  const apply = () => {
    chosen = { heat: toggle.checked, strength: Number(range.value) };
    dialog.classList.toggle("heated", chosen.heat);
    dialog.style.setProperty("--strength", chosen.strength / 100);
    range.disabled = !chosen.heat;
  };
  toggle.addEventListener("change", apply);
  range.addEventListener("input", apply);
  apply();
  const limits = (most, both) => {
    scale.hidden = !most;
    bar.classList.toggle("both", both);
    low.textContent = both ? t("compare.against", { share: percent(-most) }) : percent(0);
    high.textContent = t("compare.for", { share: percent(most) });
    scale.setAttribute("aria-label", `${low.textContent} – ${high.textContent}`);
  };
  limits(0);
  return { root, reading, sum, limits };
}

export async function open({ query, results, index }) {
  if (opening || document.querySelector("dialog.compare")) return;
  opening = true;
  await style("compare.css");
  opening = false;
  const dialog = make("dialog", "compare", { "aria-labelledby": "compare-title" });
  const explains = api.offers("explain");
  const tool = tools(dialog);
  const read = (text) => (tool.reading.textContent = text);
  const several = all().length > 1;
  const panes = {
    query: pane("query", t(several ? "compare.several" : "compare.query"), read),
    match: pane("match", "", read),
  };
  const at = make("p", "compare-at", { role: "status" });
  const told = make("dl", "compare-facts");
  const previous = button(PREVIOUS, "compare.previous", "round", () => turn(-1));
  const next = button(NEXT, "compare.next", "round", () => turn(1));
  const close = button(CLOSE, "compare.close", "round", () => dialog.close());
  const title = make("h2", "title", { id: "compare-title", textContent: t("compare.title") });
  const asked = new Map(); // key -> promise of its explanation
  const leaving = new AbortController();

  if (query.src) picture(panes.query.image, { key: query.key, url: sharp(query) }, t("compare.query"), LARGE);
  else panes.query.seen.before(make("p", "compare-away", { textContent: t("compare.away") }));
  if (query.crop && query.src) {
    panes.query.cut.hidden = false;
    inset(panes.query.cut, query.crop);
  }

  function turn(by) {
    if (!results[index + by]) return;
    index += by;
    draw();
  }

  function draw() {
    const result = results[index];
    at.textContent = t("compare.at", { at: number(index + 1), of: number(results.length), name: nameOf(result) });
    picture(panes.match.image, result, nameOf(result), LARGE);
    panes.match.heading.textContent = result.key;
    told.replaceChildren(...facts(result));
    // Not disabled: the focus would be lost at the end, and with it the arrow keys.
    previous.ariaDisabled = String(index === 0);
    next.ariaDisabled = String(index === results.length - 1);
    if (explains) explain(result);
  }

  async function explain(result) {
    const { key } = result;
    for (const { seen } of Object.values(panes)) seen.hidden = true;
    read(t("compare.busy"));
    tool.sum.textContent = "";
    tool.limits(0);
    try {
      if (!asked.has(key)) asked.set(key, api.explain(query, key, leaving.signal));
      const found = await asked.get(key);
      if (results[index] === result) lay(found);
    } catch (error) {
      asked.delete(key);
      if (error.name === "AbortError" || results[index] !== result) return;
      read([error.title, error.detail].filter(Boolean).join(". ") || t("error.other"));
    }
  }

  function lay(found) {
    tool.sum.textContent = summed(found);
    const whole = found.similarity;
    read(whole > 0 ? t("compare.point") : "");
    if (whole <= 0) return;
    const shares = [...found.query.values, ...found.match.values].map((value) => value / whole);
    const most = Math.max(...shares.map(Math.abs));
    tool.limits(most, shares.some((share) => share < -0.005));
    for (const [name, shown] of Object.entries(panes)) {
      heat(shown, found[name], whole, most || 1);
      shown.seen.hidden = false;
    }
  }

  dialog.append(
    make("div", "compare-head", {}, title, at, previous, next, close),
    make("div", "compare-pair", {}, panes.query.root, panes.match.root),
    told,
  );
  if (explains) dialog.append(tool.root);
  dialog.addEventListener("keydown", ({ key, target }) => {
    if (target.type === "range" || !["ArrowLeft", "ArrowRight"].includes(key)) return;
    turn(key === "ArrowLeft" ? -1 : 1);
  });
  dialog.addEventListener("click", ({ target }) => target === dialog && dialog.close());
  dialog.addEventListener("close", () => leaving.abort());
  document.body.append(dialog);
  const closed = modal(dialog);
  draw();
  await closed;
}

// The query as large as it is there: a picture of the gallery is asked for larger.
const sharp = ({ kind, key, src }) => (kind === "key" ? `${api.pictureOf(key)}?size=${LARGE}` : src);
