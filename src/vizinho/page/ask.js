// All ways to ask: the file button, drop, paste, an address, the camera; and what is shown of the
// question: its first picture large, all of them as chips with their sign.

import * as api from "./api.js";
import { by, iconButton, make, picture } from "./dom.js";
import { listen } from "./drop.js";
import * as queries from "./queries.js";
import { say } from "./toast.js";
import { number, onLanguage, plural, t } from "./words.js";

let adding = false; // what the file dialog is open for
let trouble = () => {};
let calm = () => {};
let cropper = null;
let blamed = null; // id of the picture that the server can't take

// complain(error, again) says what went wrong, clear() that it is over.
export function wire(complain, clear) {
  trouble = complain;
  calm = clear;
  const input = by("file");
  by("choose").addEventListener("click", () => browse(false));
  input.addEventListener("change", () => {
    const files = [...input.files];
    input.value = ""; // so that the same file can be chosen again
    if (files.length) takeFiles(files, adding);
    adding = false;
  });
  input.addEventListener("cancel", () => {
    adding = false;
  });
  by("camera").addEventListener("click", shoot);
  by("restart").addEventListener("click", () => by("brand").click());
  by("address").addEventListener("submit", (event) => {
    event.preventDefault();
    takeAddress(by("address-text").value.trim());
    by("address-text").value = "";
  });
  const busyElsewhere = () => document.documentElement.dataset.view === "care";
  const on = { files: takeFiles, address: takeAddress, key: queries.askKey };
  listen(by("drop"), on, () => !busyElsewhere() && !document.querySelector("dialog[open]"));
  const early = [...input.files, ...window.early];
  input.value = "";
  window.early = null; // from now on they come to us
  if (early.length) takeFiles(early);
  by("query-image").addEventListener("load", ({ target }) => {
    const { naturalWidth: width, naturalHeight: height } = target;
    // The figure is as the picture is, so that what is drawn over it lies over the picture.
    by("shown").style.aspectRatio = `${width} / ${height}`;
    by("shown").classList.toggle("broad", width >= height);
  });
  onLanguage(() => draw(queries.all()));
}

function browse(add) {
  adding = add;
  by("file").click();
}

function takeFiles(files, add = false) {
  const pictures = files.filter(({ type }) => !type || type.startsWith("image/"));
  const list = pictures.length ? pictures : files; // the server says what a film is
  const several = !api.about.model || api.offers("examples");
  const all = add ? queries.addFiles(list) : queries.askFiles(several ? list : list.slice(0, 1));
  if (list.length < files.length) say(plural("search.strange", files.length - list.length));
  if (!all) say(t("search.cut", { most: queries.MOST }));
}

function takeAddress(text) {
  const ours = api.at("images/");
  const { href } = new URL(text, document.baseURI);
  if (href.startsWith(ours)) {
    const path = new URL(href).pathname.slice(new URL(ours).pathname.length);
    return queries.askKey(path.split("/").map(decodeURIComponent).join("/"));
  }
  if (!api.about.model || api.offers("image_url")) return queries.askUrl(text);
  trouble(new api.Problem(t("error.image_url_off"), t("error.image_url_off.do")));
}

async function shoot() {
  try {
    const { take } = await import("./camera.js");
    calm();
    const file = await take();
    if (file) takeFiles([file]);
  } catch (error) {
    trouble(error, shoot);
  }
}

export function draw(set) {
  const [first] = set;
  by("drop").classList.toggle("full", Boolean(first));
  by("shown").hidden = !first?.src;
  by("restart").hidden = !first;
  by("address").hidden = !api.offers("image_url");
  by("query-name").textContent = first?.name ?? t("search.formats");
  by("query-size").textContent = first ? sizeOf(first) : "\u00a0";
  if (first?.src) large(first);
  else by("query-image").removeAttribute("src");
  chips(set);
}

function large(first) {
  const image = by("query-image");
  if (first.kind === "key") picture(image, { key: first.key, url: first.src }, t("search.yours"));
  else picture(image, { url: first.src }, t("search.yours"));
  crop(first);
}

// The tools to point at a part of the picture come when there is a picture.
async function crop(first) {
  try {
    const { attach } = await import("./crop.js");
    cropper ??= attach(by("shown"), by("query-image"), { onchange: queries.crop });
    cropper?.set?.(first.crop);
  } catch (error) {
    console.error(error);
  }
}

function sizeOf({ kind, from, sent, crop: part }) {
  if (kind !== "file") return t(`search.size.${kind}`);
  if (!from) return "\u00a0";
  const text = `${number(from.width)} \u00d7 ${number(from.height)}`.replaceAll(/[.,]/g, "");
  if (sent.width === from.width) return text;
  return t("search.size.sent", { size: text, sent: `${sent.width} \u00d7 ${sent.height}` });
}

function chips(set) {
  const several = api.offers("examples");
  by("set").hidden = !set.length || (!several && set.length < 2);
  const focused = document.activeElement?.dataset?.chip;
  by("chips").replaceChildren(...set.map((query) => chip(query, set)));
  if (several && set.length < queries.MOST) {
    const add = iconButton("plus", "chip-add", t("search.add"));
    add.dataset.chip = "add";
    add.addEventListener("click", () => browse(true));
    by("chips").append(make("li", "", {}, add));
  }
  if (focused) refocus(focused);
}

function refocus(name) {
  const same = [...by("chips").querySelectorAll("[data-chip]")].find((one) => one.dataset.chip === name);
  (same ?? by("chips").querySelector("button") ?? by("choose")).focus();
}

// Mark the picture that a problem is about; null for none.
export function blame(query) {
  const id = query?.id ?? null;
  if (id === blamed) return;
  blamed = id;
  chips(queries.all());
}

function chip(query, set) {
  const plus = query.weight > 0;
  const image = make("img", "", { width: 64, height: 64, alt: "" });
  const alt = t(plus ? "search.chip.plus" : "search.chip.minus", { name: query.name });
  if (query.src) picture(image, { key: query.key, url: query.src }, alt);
  else image.hidden = true;
  const item = make("li", `chip${plus ? "" : " against"}${query.id === blamed ? " bad" : ""}`, { title: query.name }, make("span", "frame", {}, image));
  if (set.length > 1 && query.kind !== "url") {
    const sign = iconButton(plus ? "plus" : "minus", "chip-sign", t("search.chip.flip", { name: query.name }));
    sign.dataset.chip = `sign ${query.id}`;
    sign.addEventListener("click", () => queries.flip(query));
    item.append(sign);
  }
  const away = iconButton("close", "chip-away", t("search.chip.remove", { name: query.name }));
  away.dataset.chip = `away ${query.id}`;
  away.addEventListener("click", () => queries.remove(query));
  item.append(away);
  return item;
}
