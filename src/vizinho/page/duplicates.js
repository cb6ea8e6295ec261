// Pictures that are there more than once, group by group: what is kept and why, and what goes.

import * as api from "./api.js";
import { beyond, here, kilobytes, pageOf, pager } from "./care.js";
import { make, picture, style } from "./dom.js";
import { complain } from "./problem.js";
import { go, params } from "./router.js";
import { nameOf } from "./tile.js";
import { going, onGoing, remove } from "./undo.js";
import { has, number, onLanguage, plural, t } from "./words.js";

const PAGE = 20;
const ASK_SECONDS = 1;
const KINDS = ["", "identical", "near", "similar"];

let parts = null;
let found = null; // the page as the server gave it
let timer = 0;
let asking = 0;
const marked = new Map(); // key -> whether it goes, where somebody chose
const left = new Set(); // first keys of groups that stay as they are

export async function show(box) {
  await style("review.css");
  if (!parts) build(box);
  await load();
}

export function hide() {
  clearTimeout(timer);
}

function build(box) {
  parts = {
    title: make("h2", "title", { tabIndex: -1 }),
    kind: make("select"),
    kindText: make("span"),
    note: make("p", "status"),
    bar: make("progress", "", { hidden: true }),
    trouble: make("div", "problem", { role: "alert", hidden: true }),
    groups: make("div", "groups"),
    all: make("button", "button danger"),
    pages: pager(),
  };
  const tool = make("label", "tool", {}, parts.kindText, parts.kind);
  box.append(make("div", "row head", {}, parts.title, tool), parts.note, parts.bar, parts.trouble, parts.groups, parts.pages.node, parts.all);
  parts.kind.addEventListener("change", ({ target: { value } }) => go({ kind: value || null, page: null }));
  parts.all.addEventListener("click", () => away(shown().flatMap(goes)));
  onGoing((sent) => here("duplicates") && (sent ? load() : found && draw()));
  onLanguage(() => found && draw());
}

const kind = () => (KINDS.includes(params().get("kind")) ? params().get("kind") : "");

async function load() {
  clearTimeout(timer);
  const turn = (asking += 1);
  try {
    const { status, body } = await api.duplicates(kind(), pageOf() * PAGE, PAGE);
    if (turn !== asking || !here("duplicates")) return;
    complain(parts.trouble, null);
    if (status === 202) {
      timer = setTimeout(load, ASK_SECONDS * 1000);
      return building(body);
    }
    if (beyond(body, PAGE, body.groups.length)) return;
    found = body;
    draw();
  } catch (error) {
    if (turn === asking) complain(parts.trouble, error, load);
  }
}

function words() {
  parts.title.textContent = t("care.part.duplicates");
  parts.kindText.textContent = t("care.kind");
  parts.kind.replaceChildren(
    ...KINDS.map((value) => make("option", "", { value, textContent: t(`care.kind.${value || "copies"}`) })),
  );
  parts.kind.value = kind();
  parts.bar.setAttribute("aria-label", t("care.building"));
}

function building({ done, of }) {
  words();
  found = null;
  parts.bar.hidden = false;
  if (of) Object.assign(parts.bar, { max: of, value: done });
  else parts.bar.removeAttribute("value");
  const values = { done: number(done), of: number(of ?? 0) };
  const sofar = done ? t(of ? "care.of" : "care.compared", values) : "";
  parts.note.textContent = [t("care.building"), sofar].join(" ");
  parts.groups.replaceChildren();
  parts.all.hidden = parts.pages.node.hidden = true;
}

// Groups with what is not on its way out; what is left alone is folded away.
const alive = () =>
  found.groups
    .map((group) => ({ ...group, members: group.members.filter(({ key }) => !going.has(key)) }))
    .filter(({ members }) => members.length > 1);

const shown = () => alive().filter(({ members: [first] }) => !left.has(first.key));

const goesNow = ({ key, spare }) => marked.get(key) ?? spare;

// At least one of a group stays, whatever is marked.
const goes = ({ members }) => {
  const some = members.filter(goesNow).map(({ key }) => key);
  return some.length < members.length ? some : [];
};

function away(keys) {
  if (!keys.length) return;
  remove(keys);
  parts.title.focus();
}

function draw() {
  words();
  parts.bar.hidden = true;
  const groups = shown();
  const skipped = found.skipped ? plural("care.unread", found.skipped) : "";
  const counted = plural("care.groups", found.total, { of: number(found.pictures) });
  const none = t("care.groups.none", { of: number(found.pictures) });
  parts.note.textContent = [found.total ? counted : none, skipped].join(" ");
  parts.groups.replaceChildren(...groups.map(drawGroup));
  const from = number(found.offset + 1);
  const to = number(found.offset + found.groups.length);
  parts.pages.draw(found.offset / PAGE, found.next !== null, t("care.span.of", { from, to, of: number(found.total) }));
  drawAll(groups);
}

function drawAll(groups = shown()) {
  const all = groups.flatMap(goes).length;
  parts.all.hidden = groups.length < 2 || !all;
  parts.all.textContent = plural("care.remove.all", all);
}

function drawGroup(group) {
  const title = make("h3", "", {
    textContent: [t(`care.kind.${group.kind}`), plural("care.pictures", group.members.length)].join(" · "),
  });
  const go_ = make("button", "button danger");
  const stay = make("button", "button second", { textContent: t("care.leave") });
  const note = make("span", "quiet");
  const redraw = () => {
    const some = goes(group);
    go_.disabled = !some.length;
    go_.textContent = plural("care.remove.some", some.length);
    note.textContent = group.members.every(goesNow) ? t("care.one.stays") : "";
  };
  const members = group.members.map((member) => drawMember(member, group, () => {
    redraw();
    drawAll();
  }));
  go_.addEventListener("click", () => away(goes(group)));
  stay.addEventListener("click", () => {
    left.add(group.members[0].key);
    draw();
    parts.title.focus();
  });
  redraw();
  return make("section", "group", {}, title, make("ul", "members", {}, ...members), make("div", "bar-acts", {}, go_, stay, note));
}

function drawMember(member, group, changed) {
  const image = make("img", "", { width: 320, height: 320 });
  const name = nameOf(member);
  picture(image, member, name);
  const box = make("input", "", { type: "checkbox", checked: goesNow(member) });
  const item = make("li");
  const said = make("span");
  const draw_ = () => {
    item.className = `member ${box.checked ? "leaves" : "stays"}`;
    said.textContent = t(box.checked ? "care.leaves" : "care.stays");
  };
  box.setAttribute("aria-label", t("care.leaves.name", { name: member.key }));
  box.addEventListener("change", () => {
    marked.set(member.key, box.checked);
    draw_();
    changed();
  });
  draw_();
  const facts = `${number(member.width)} × ${number(member.height)}, ${kilobytes(member.bytes, number)}`;
  const why = member.keep ? t("care.keep", { why: told("why", group.why) }) : member.how && told("how", member.how);
  item.append(
    make("label", "", {}, make("span", "frame", {}, image), make("span", "choice", {}, box, said)),
    make("span", "pick-name", { textContent: name, title: member.key }),
    make("span", "quiet", { textContent: facts }),
    make("span", member.keep ? "kept" : "", { textContent: why || "\u00a0" }),
  );
  return item;
}

// The server's words, which are few, in the reader's language.
function told(what, text) {
  const one = (phrase) => {
    const [, share] = phrase.match(/^(\d+) % of the size$/) ?? [];
    if (share) return t("care.how.size", { share });
    const name = `care.${what}.${phrase.replace(/[^a-z]+/g, "-")}`;
    return has(name) ? t(name) : phrase;
  };
  return text.split(", ").map(one).join(", ");
}
