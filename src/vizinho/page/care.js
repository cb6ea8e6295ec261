// Looking after the gallery: its pictures, adding, duplicates, what was said of results.

import * as api from "./api.js";
import { make, style } from "./dom.js";
import { address, go, params } from "./router.js";
import { onLanguage, t } from "./words.js";

const PARTS = {
  pictures: { load: () => import("./browse.js") },
  add: { load: () => import("./upload.js"), needs: "write" },
  duplicates: { load: () => import("./duplicates.js"), needs: "duplicates" },
  feedback: { load: () => import("./given.js"), needs: "feedback" },
};
const names = Object.keys(PARTS);

let nav = null;
let shown = null; // { name, module, box }
const boxes = {};

const there = (name) =>
  Object.hasOwn(PARTS, name) && (!PARTS[name].needs || api.offers(PARTS[name].needs));

function wanted() {
  const name = params().get("part");
  return there(name) ? name : "pictures";
}

// Whether a part is what the address asks for: an answer that comes later is nobody's any more.
export const here = (part) => params().get("view") === "care" && wanted() === part;

export async function show(main, asked) {
  await style("care.css");
  if (!nav) build(main);
  const name = wanted();
  const module = await PARTS[name].load();
  if (!here(name)) return;
  if (shown && shown.name !== name) leave();
  shown = { name, module, box: boxes[name] };
  shown.box.hidden = false;
  head();
  await module.show(shown.box, asked);
}

export function hide() {
  leave();
  shown = null;
}

function leave() {
  if (!shown) return; // its first part is still on its way
  shown.module.hide?.();
  shown.box.hidden = true;
}

function build(main) {
  main.className = "care";
  nav = make("nav", "parts");
  const parts = names.filter(there);
  for (const name of parts) {
    const link = make("a");
    link.dataset.part = name;
    link.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
      event.preventDefault();
      go({ ...NOTHING, part: name === "pictures" ? null : name });
    });
    nav.append(link);
    boxes[name] = make("section", `care-part part-${name}`, { hidden: true });
  }
  nav.hidden = parts.length < 2;
  main.append(nav, ...Object.values(boxes));
  onLanguage(head);
}

const NOTHING = { page: null, kind: null, label: null };

function head() {
  nav.setAttribute("aria-label", t("care.parts"));
  for (const link of nav.children) {
    const { part } = link.dataset;
    link.textContent = t(`care.part.${part}`);
    link.href = address({ ...NOTHING, view: "care", part: part === "pictures" ? null : part });
    const current = part === shown?.name;
    if (current) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
    if (current && nav.scrollWidth > nav.clientWidth) nav.scrollLeft = link.offsetLeft - 40;
  }
}

// Which page of a list the address asks for, from 0.
export const pageOf = (asked = params()) => Math.min(1e9, Math.max(0, Math.floor(Number(asked.get("page")) || 1) - 1));

// Whether there is no such page any more: then the last one is shown. total: undefined where nobody
// counts.
export function beyond({ offset, total }, page, there) {
  if (there || !offset) return false;
  const last = total ? Math.ceil(total / page) : 0;
  go({ page: last > 1 && (last - 1) * page < offset ? last : null }, { replace: true });
  return true;
}

// Backwards and forwards; draw(page, more, text) says where one is.
export function pager() {
  const node = make("div", "pager");
  const back = make("button", "button second");
  const text = make("span", "quiet");
  const on = make("button", "button second");
  node.append(back, text, on);
  const turn = (by) => go({ page: pageOf() + by + 1 || null });
  back.addEventListener("click", () => turn(-1));
  on.addEventListener("click", () => turn(1));
  const draw = (page, more, said) => {
    back.textContent = t("care.back.page");
    on.textContent = t("care.next.page");
    text.textContent = said;
    back.disabled = page === 0;
    on.disabled = !more;
    node.hidden = page === 0 && !more;
  };
  return { node, draw };
}

// A list of known labels for inputs to offer; the input takes any other text too.
export async function offerLabels(input) {
  const list = make("datalist", "", { id: `${input.id}-known` });
  input.after(list);
  input.setAttribute("list", list.id);
  if (!api.offers("labels")) return;
  const { labels } = await api.labels().catch(() => ({ labels: [] }));
  list.replaceChildren(...labels.filter(({ label }) => label).map(({ label }) => make("option", "", { value: label })));
}

export const kilobytes = (bytes, number) => `${number(bytes / 1000, bytes < 10_000 ? 1 : 0)} kB`;
