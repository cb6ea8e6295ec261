// The map view: the whole gallery on a plane, what is found lit on it. See also map-stage.js (what is
// seen), map-hands.js (mouse, fingers, keys) and map-draw.js (marks).

import * as api from "./api.js";
import { announce, by, icon, iconButton, ICONS, make, picture, style } from "./dom.js";
import { shape } from "./map-draw.js";
import { Stage } from "./map-stage.js";
import { complain } from "./problem.js";
import * as queries from "./queries.js";
import { go, params } from "./router.js";
import { number, onLanguage, percent, plural, t, translate } from "./words.js";

const LISTED = 60; // classes in the legend
const NEAREST = 10;
const [SOON, LATER] = [1000, 8000];

let parts = null;
let stage = null;
let map = null;
let pinned = -1;
let asked = null; // { signature, abort }
let timer = 0;
let writing = 0;
let visible = false;

export async function show(main) {
  visible = true;
  if (!parts) {
    await style("map.css");
    build(main);
  }
  if (!map) return load();
  fromAddress();
  return query();
}

export function hide() {
  visible = false;
  clearTimeout(timer);
  clearTimeout(writing);
}

function build(main) {
  main.className = "map";
  const button = (sign, name, act) => {
    const made = iconButton(sign, "map-button", "");
    Object.assign(made.dataset, { tLabel: name, tTitle: name });
    made.addEventListener("click", act);
    return made;
  };
  const said = (tag, className, name, props = {}) => {
    const made = make(tag, className, props);
    made.dataset.t = name;
    return made;
  };
  const canvas = make("canvas", "map-canvas", { tabIndex: 0, role: "application", "aria-describedby": "map-help" });
  canvas.dataset.tLabel = "map.label";
  ICONS.whole ??= "M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5";
  parts = {
    main,
    canvas,
    count: make("p", "map-count"),
    problem: make("div", "problem", { role: "alert", hidden: true }),
    wait: make("div", "map-wait", { hidden: true }),
    bar: make("progress", "", { max: 1 }),
    done: make("p", ""),
    tools: make("div", "map-tools", {}, button("plus", "map.in", () => stage.zoom(1.6, undefined, true)),
      button("minus", "map.out", () => stage.zoom(1 / 1.6, undefined, true)),
      button("whole", "map.whole", () => stage.whole())),
    asked: make("div", "map-asked", { hidden: true }),
    card: make("div", "map-card", { hidden: true }),
    legend: make("ul", "map-legend"),
    all: said("button", "link", "map.all", { hidden: true }),
    classes: make("section", "map-classes", { hidden: true }),
  };
  parts.bar.dataset.tLabel = "map.making";
  parts.wait.append(said("strong", "", "map.making"), parts.bar, parts.done);
  parts.classes.append(make("div", "row", {}, said("h2", "small-title", "map.classes"), parts.all), parts.legend);
  parts.all.addEventListener("click", () => toggle(() => true));
  const room = make("div", "map-stage", {}, canvas, parts.wait, parts.tools, parts.asked, parts.card);
  const help = said("p", "map-help", "map.help", { id: "map-help" });
  main.append(said("h2", "unseen", "map.title"), parts.count, parts.problem, room, parts.classes, help);
  stage = new Stage(canvas, { point, view: toAddress, lost: () => again(SOON) });
  onLanguage(words);
  document.documentElement.addEventListener("themechange", recolour);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", recolour);
  words();
}

function words() {
  translate(parts.main);
  if (!map) return;
  const { count, total, method, stale } = map;
  const shown = count < total ? t("map.part", { n: number(count), total: number(total) }) : plural("map.count", count);
  const how = t(method.startsWith("principal") ? "map.plain" : "map.how");
  parts.count.textContent = [shown, count ? how : "", stale ? t("map.stale") : ""].filter(Boolean).join(" ");
  legend();
  card(stage.chosen);
  bar();
}

function recolour() {
  stage.colour();
  if (map) legend();
}

function again(wait) {
  clearTimeout(timer);
  if (visible) timer = setTimeout(load, wait);
}

async function load() {
  complain(parts.problem, null);
  try {
    const { status, body } = await api.map();
    if (status === 202) return progress(body);
    const first = !map;
    const other = map?.version !== body.version;
    const was = map;
    map = body;
    if (other) take(first);
    else if (was.stale !== body.stale) words();
    if (body.stale) again(LATER);
    if (other) await query(first);
  } catch (error) {
    if (error.code !== "map_failed") complain(parts.problem, error, load);
    else complain(parts.problem, new api.Problem(error.title, error.detail, true), load);
    parts.wait.hidden = true;
  }
}

function progress({ done, of }) {
  if (parts.wait.hidden) announce(t("map.making"));
  parts.wait.hidden = false;
  parts.bar.value = done / of;
  parts.done.textContent = percent(done / of);
  again(SOON);
}

function take(first) {
  if (!parts.wait.hidden) announce(t("map.made"));
  parts.wait.hidden = true;
  parts.tools.hidden = !map.count;
  stage.take(map);
  pinned = -1;
  asked = null;
  if (first) fromAddress();
  words();
}

// The part that is seen, in the address and from it.

function fromAddress() {
  const [x, y, zoom] = ["x", "y", "zoom"].map((name) => parseFloat(params().get(name)));
  const now = stage.view;
  if (!(zoom > 0) || (Math.abs(now.zoom / zoom - 1) < 0.01 && Math.hypot(now.x - x, now.y - y) < 0.001)) return;
  stage.look({ x: x || 0, y: y || 0, zoom }, { told: false });
}

function toAddress({ x, y, zoom }) {
  clearTimeout(writing);
  writing = setTimeout(() => {
    const whole = zoom === 1 && x === 0.5 && y === 0.5;
    const [across, down, deep] = [x.toFixed(4), y.toFixed(4), zoom.toFixed(2)];
    go(whole ? { x: null, y: null, zoom: null } : { x: across, y: down, zoom: deep }, { replace: true });
  }, 300);
}

// Classes.

const nameOf = (label) => label ?? t("map.unlabelled");

function legend() {
  const { labels, label } = map;
  const counts = new Array(labels.length).fill(0);
  for (const each of label) counts[each] += 1;
  parts.classes.hidden = labels.length < 2;
  const focused = [...parts.legend.children].findIndex((item) => item.contains(document.activeElement));
  parts.legend.replaceChildren(...labels.slice(0, LISTED).map((name, at) => entry(name, at, counts[at])));
  if (labels.length > LISTED) {
    parts.legend.append(make("li", "map-more", { textContent: plural("map.more", labels.length - LISTED) }));
  }
  parts.legend.children[focused]?.querySelector("button")?.focus();
  parts.all.hidden = stage.seen.every(Boolean);
}

function entry(name, label, count) {
  const sign = make("canvas", "map-sign", { width: 36, height: 36, "aria-hidden": "true" });
  const context = sign.getContext("2d");
  shape(context, label, 18, 18, 11);
  context.fillStyle = stage.colourOf(label);
  context.fill();
  const words = make("span", "map-name", { textContent: nameOf(name) });
  const button = make("button", "map-class", { "aria-pressed": String(stage.seen[label]) },
    sign, words, make("span", "map-number", { textContent: number(count) }));
  button.addEventListener("click", () => toggle((on, at) => (at === label ? !on : on)));
  return make("li", "", {}, button);
}

function toggle(change) {
  stage.seen = stage.seen.map(change);
  stage.refresh();
  legend();
}

// The point that is looked at.

function point(i, how) {
  if (how === "enter") return queries.askKey(map.keys[i]);
  if (how !== "over") pinned = i;
  else if (i < 0 && pinned >= 0) return stage.choose(pinned, "walk");
  card(i);
  if (how === "walk" && i >= 0) announce(t("map.point", { name: map.keys[i], label: nameOf(map.labels[map.label[i]]) }));
}

function card(i) {
  parts.card.hidden = i < 0;
  parts.card.classList.toggle("pinned", i === pinned);
  if (i < 0) return;
  const key = map.keys[i];
  const label = nameOf(map.labels[map.label[i]]);
  if (parts.card.dataset.key !== key) {
    const image = make("img", "", { width: 160, height: 160 });
    parts.card.replaceChildren(make("span", "frame", {}, image));
    picture(image, { key, url: `/images/${key.split("/").map(encodeURIComponent).join("/")}` }, label);
  }
  parts.card.dataset.key = key;
  const from = make("button", "button second", { textContent: t("map.from") });
  from.addEventListener("click", () => queries.askKey(key));
  const words = make("div", "map-words", {}, make("strong", "", { textContent: label }),
    make("span", "map-key", { textContent: key, title: key }), from);
  parts.card.querySelector(".map-words")?.remove();
  parts.card.append(words);
}

// The present query and its nearest.

async function query(fly = false) {
  if (!map?.count) return;
  const set = queries.all();
  const signature = JSON.stringify(set.map(({ id, weight, crop }) => [id, weight, crop]));
  if (asked?.signature === signature) return;
  asked?.abort.abort();
  const mine = (asked = { signature, abort: new AbortController(), set });
  if (!set.some(({ weight }) => weight > 0)) return dark();
  try {
    await Promise.all(set.map(({ ready }) => ready));
    const { signal } = mine.abort;
    const [{ results }, at] = await Promise.all([api.search(set, { k: NEAREST }, signal), placeOf(set, signal)]);
    if (mine !== asked) return;
    const where = new Map(map.keys.map((key, i) => [key, i]));
    const near = results.map(({ key }) => where.get(key)).filter((i) => i !== undefined && i !== at.own);
    light({ ...at, near }, set, fly && params().has("zoom"));
  } catch (error) {
    if (mine !== asked || error.name === "AbortError") return;
    asked = null;
    dark();
    complain(parts.problem, error, () => query());
  }
}

// A picture of the gallery lies where it lies; any other is placed by the server.
async function placeOf(set, signal) {
  const [first] = set;
  const own = set.length === 1 && first.kind === "key" && !first.crop ? map.keys.indexOf(first.key) : -1;
  if (own >= 0) return { own, at: [map.x[own], map.y[own]] };
  const { x, y } = await api.place(set, signal);
  return { own, at: [x, y] };
}

function light(lit, set, stay) {
  const src = set[0].src;
  const image = src && lit.own < 0 ? Object.assign(new Image(), { src, onload: () => stage.refresh() }) : null;
  stage.lit = { ...lit, image };
  pinned = -1;
  stage.choose(-1, "pin");
  if (!stay) stage.fit([lit.at, ...lit.near.map((i) => [map.x[i], map.y[i]])]);
  bar();
  announce(parts.asked.textContent);
}

function dark() {
  stage.lit = null;
  stage.refresh();
  bar();
}

function bar() {
  parts.asked.hidden = !stage.lit;
  if (!stage.lit) return parts.asked.replaceChildren();
  const { set } = asked;
  const list = make("button", "link", { textContent: t("map.list") });
  list.addEventListener("click", () => go({ view: null }));
  const away = iconButton("close", "map-button", t("map.clear"));
  away.addEventListener("click", () => go({ key: null, url: null, like: null, unlike: null, crop: null }, { state: null }));
  const name = make("span", "map-key", { textContent: t("map.asked", { name: set[0].name }) });
  parts.asked.replaceChildren(name, list, away);
}
