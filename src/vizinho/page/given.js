// What was said of results, newest first, to look through, take back and take along.

import * as api from "./api.js";
import { beyond, here, pageOf, pager } from "./care.js";
import { make, picture, style } from "./dom.js";
import { marks } from "./marks.js";
import { complain } from "./problem.js";
import { date, number, onLanguage, plural, t } from "./words.js";

const PAGE = 50;
let parts = null;
let found = null;
let asking = 0;

export async function show(box) {
  await style("review.css");
  if (!parts) build(box);
  await load();
}

function build(box) {
  parts = {
    title: make("h2", "title"),
    file: make("a", "button second", { href: api.at("v1/feedback/export"), download: "feedback.zip" }),
    note: make("p", "status"),
    trouble: make("div", "problem", { role: "alert", hidden: true }),
    list: make("ul", "given"),
    pages: pager(),
  };
  box.append(make("div", "row head", {}, parts.title, parts.file), parts.note, parts.trouble, parts.list, parts.pages.node);
  onLanguage(() => found && draw());
}

async function load() {
  const turn = (asking += 1);
  try {
    const told = await api.marks(pageOf() * PAGE, PAGE);
    if (turn !== asking || !here("feedback")) return;
    complain(parts.trouble, null);
    if (beyond({ offset: told.offset, total: told.right + told.wrong }, PAGE, told.marks.length)) return;
    found = told;
    draw();
  } catch (error) {
    complain(parts.trouble, error, load);
  }
}

function draw() {
  const { right, wrong, offset, next } = found;
  parts.title.textContent = t("care.part.feedback");
  parts.file.textContent = t("care.export");
  parts.file.hidden = !(right + wrong);
  const right_ = plural("care.given.right", right);
  const wrong_ = plural("care.given.wrong", wrong);
  parts.note.textContent = right + wrong
    ? [`${right_}, ${wrong_}.`, t("care.given.for")].join(" ")
    : t("care.given.none");
  parts.list.replaceChildren(...found.marks.map(drawMark));
  const span = { from: number(offset + 1), to: number(offset + found.marks.length), of: number(right + wrong) };
  parts.pages.draw(offset / PAGE, next !== null, t("care.span.of", span));
}

function shown(url, key, alt) {
  const image = make("img", "", { width: 160, height: 160, alt, hidden: !url });
  if (url) picture(image, key ? { key, url } : { url }, alt, 160);
  return make("span", "frame", {}, image);
}

function drawMark(mark) {
  const { query, key, url, label, verdict, distance, time } = mark;
  const asked = query.key ?? t("search.yours");
  const name = label ?? key;
  const as = { id: query.key ? `key:${query.key}` : query.hash, kind: query.key ? "key" : "hash", key: query.key, hash: query.hash, crop: query.crop, weight: 1 };
  const gone = url ? "" : t("care.gone");
  const facts = [query.crop && t("care.part.of"), t("search.said.distance", { distance: number(distance, 2) }), date(time, { dateStyle: "medium" }), gone];
  return make(
    "li",
    `mark ${verdict}`,
    {},
    shown(query.url, query.key, asked),
    make("span", "arrow", { textContent: "→", "aria-hidden": "true" }),
    shown(url, key, name),
    make("span", "mark-facts", {}, make("b", "", { textContent: name }), make("span", "quiet", { textContent: facts.filter(Boolean).join(" · ") })),
    marks(as, { key, label }, verdict),
  );
}
