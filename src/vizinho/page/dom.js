// Small helpers around the document.

import { at, pictureOf } from "./api.js";

const TINY = 96; // pictures this small are shown as the pixels they are
const SHOWN = 320; // pixels asked for; larger pictures are shrunk by the server
const SVG = "http://www.w3.org/2000/svg";

export const by = (id) => document.getElementById(id);

export function make(tag, className = "", props = {}, ...inside) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  for (const [name, value] of Object.entries(props)) {
    if (name.includes("-")) node.setAttribute(name, value);
    else node[name] = value;
  }
  if (tag === "button") node.type = "button";
  node.append(...inside);
  return node;
}

// A drawing of 24 x 24, as lines: the paths are all there is to say.
export function icon(path, className = "icon") {
  const drawing = document.createElementNS(SVG, "svg");
  const line = document.createElementNS(SVG, "path");
  const said = { viewBox: "0 0 24 24", class: className, "aria-hidden": "true", focusable: "false" };
  for (const [name, value] of Object.entries(said)) drawing.setAttribute(name, value);
  line.setAttribute("d", path);
  drawing.append(line);
  return drawing;
}

export const ICONS = {
  search: "M10.5 4a6.5 6.5 0 1 0 0 13a6.5 6.5 0 1 0 0-13M15.5 15.5L20 20",
  plus: "M12 5v14M5 12h14",
  minus: "M5 12h14",
  close: "M6 6l12 12M18 6L6 18",
  right: "M5 12.5l4.5 4.5L19 7.5",
};

export const iconButton = (name, className, label) =>
  make("button", className, { "aria-label": label, title: label }, icon(ICONS[name]));

// A path is the server's; a whole address (a bucket's, perhaps signed) is taken as it is.
export const small = (url, size = SHOWN) =>
  url.startsWith("/") ? at(`${url.slice(1)}?size=${size}`) : url;

// Show a picture of the gallery ({ key, url }), or one that has only an address ({ url }).
export function picture(image, { key, url }, alt, size = SHOWN) {
  if (!image.dataset.watched) watch(image);
  image.alt = alt;
  image.hidden = false;
  delete image.dataset.key;
  if (key !== undefined) image.dataset.key = key;
  const source = small(url, size);
  if (image.getAttribute("src") !== source) image.src = source;
}

function watch(image) {
  image.dataset.watched = "";
  image.addEventListener("load", () => {
    const side = Math.max(image.naturalWidth, image.naturalHeight);
    image.classList.toggle("tiny", side <= TINY);
  });
  // Links to a bucket expire while the page is open; the server is asked once for a fresh one.
  image.addEventListener("error", () => {
    const { key } = image.dataset;
    if (key === undefined) return;
    delete image.dataset.key;
    image.src = pictureOf(key);
  });
}

// Said to who listens rather than looks.
export function announce(text) {
  const said = by("said");
  // The same words twice are a change only if there was something else between.
  said.textContent = said.textContent === text ? `${text}\u00a0` : text;
}

const sheets = new Map();

// The style of a view that is loaded late; resolves when it holds.
export function style(name) {
  if (!sheets.has(name)) {
    const link = make("link", "", { rel: "stylesheet", href: new URL(name, import.meta.url).href });
    sheets.set(name, new Promise((done) => {
      link.onload = done;
      link.onerror = () => {
        sheets.delete(name); // asked for anew the next time
        link.remove();
        done();
      };
    }));
    document.head.append(link);
  }
  return sheets.get(name);
}

export const still = () => window.matchMedia("(prefers-reduced-motion: reduce)").matches;
