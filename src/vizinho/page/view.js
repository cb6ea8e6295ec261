// What is on the screen. The places are in the HTML, their tiles are made once and filled again
// and again: nothing moves, and the keyboard's focus stays where it was.

import { at, pictureOf } from "./api.js";

const TINY = 96; // pictures this small are shown as the pixels they are
const SHOWN = 320; // pixels asked for; larger pictures are shrunk by the server

const by = (id) => document.getElementById(id);

export const parts = {
  box: by("drop"),
  input: by("file"),
  choose: by("choose"),
  shuffle: by("shuffle"),
  docs: document.querySelector(".top-link"),
};

const make = (tag, className) => Object.assign(document.createElement(tag), { className });

function slot(item, kind) {
  const button = make("button", kind);
  const frame = make("span", "frame");
  const image = make("img", "");
  Object.assign(button, { type: "button", disabled: true });
  Object.assign(image, { width: SHOWN, height: SHOWN, alt: "", hidden: true });
  watch(image);
  frame.append(image);
  button.append(frame);
  item.replaceChildren(button);
  return { item, button, image };
}

function watch(image) {
  image.addEventListener("load", () => pixelate(image));
  image.addEventListener("error", () => again(image));
}

function pixelate(image) {
  image.classList.toggle("tiny", Math.max(image.naturalWidth, image.naturalHeight) <= TINY);
}

// Links to a bucket expire while the page is open; the server is asked once for a fresh one.
function again(image) {
  const { key } = image.dataset;
  if (key === undefined) return;
  delete image.dataset.key;
  image.src = pictureOf(key);
}

function show(image, url, alt, key) {
  image.alt = alt;
  image.hidden = false;
  delete image.dataset.key;
  if (key !== undefined) image.dataset.key = key;
  if (image.getAttribute("src") !== url) image.src = url;
}

const samples = Array.from(by("strip").children, (item) => slot(item, "sample"));
const tiles = Array.from(by("grid").children, (item) => {
  const tile = slot(item, "tile");
  const facts = make("span", "facts");
  tile.label = make("span", "label");
  tile.distance = make("span", "distance");
  facts.append(tile.label, tile.distance);
  tile.button.append(facts);
  return tile;
});

export const TEN = tiles.length;
export const SAMPLES = samples.length;

export function build(pick) {
  const wire = ({ button }) =>
    button.addEventListener("click", () => pick(button.dataset.key, button.dataset.url));
  [...samples, ...tiles].forEach(wire);
  tiles.forEach(empty);
  watch(by("query-image"));
}

// A path is the server's; a whole address (a bucket's, perhaps signed) is taken as it is.
const small = (url) => (url.startsWith("/") ? at(`${url.slice(1)}?size=${SHOWN}`) : url);

function fill({ button, image }, picture, alt) {
  button.disabled = false;
  Object.assign(button.dataset, { key: picture.key, url: small(picture.url) });
  show(image, small(picture.url), alt, picture.key);
}

export function model(name, { score, note }, count) {
  by("model-name").textContent = name;
  by("model-score").textContent = score;
  by("model-note").textContent = note || "\u00a0";
  by("samples-title").textContent =
    count > SAMPLES ? `Or pick one of ${count.toLocaleString("en")}` : "Or pick one of these";
}

export function strip(pictures) {
  samples.forEach((sample, at) => {
    const picture = pictures[at];
    sample.item.hidden = !picture;
    if (picture) fill(sample, picture, `Search from ${picture.label ?? picture.key}`);
  });
  by("samples").hidden = pictures.length === 0;
}

let preview = null;

// url is a picture of the gallery, with its key, or a blob: of a file that was chosen.
export function query(url, name, size = "\u00a0", key = undefined) {
  if (preview) URL.revokeObjectURL(preview);
  preview = url?.startsWith("blob:") ? url : null;
  const image = by("query-image");
  parts.box.classList.toggle("full", Boolean(url));
  by("query-name").textContent = name;
  by("query-size").textContent = size;
  if (url) {
    show(image, url, "Your picture", key);
  } else {
    image.hidden = true;
    image.removeAttribute("src");
  }
}

export function busy(on) {
  by("found").classList.toggle("busy", on);
  by("grid").setAttribute("aria-busy", String(on));
  if (on) status("Searching\u2026");
}

export function status(text) {
  by("status").textContent = text;
}

export function results(found) {
  tiles.forEach((tile, at) => {
    const match = found[at];
    tile.item.hidden = found.length > 0 && !match;
    if (!match) return empty(tile);
    const distance = match.distance.toFixed(2);
    const name = match.label ?? match.key.split("/").at(-1);
    tile.item.removeAttribute("aria-hidden");
    fill(tile, match, name);
    tile.button.setAttribute("aria-label", `${at + 1}. ${name}, distance ${distance}`);
    tile.label.textContent = name;
    tile.distance.textContent = distance;
    tile.button.title = match.key;
    tile.button.classList.toggle("same", distance === "0.00");
  });
}

function empty({ item, button, image, label, distance }) {
  item.setAttribute("aria-hidden", "true");
  button.disabled = true;
  button.removeAttribute("title");
  button.removeAttribute("aria-label");
  button.classList.remove("same");
  image.hidden = true;
  image.removeAttribute("src");
  label.textContent = distance.textContent = "";
}

export function problem(error, retry) {
  const box = by("problem");
  if (!error) return box.replaceChildren();
  const title = Object.assign(make("strong", ""), { textContent: error.title });
  const detail = Object.assign(make("span", ""), { textContent: `${error.detail} ` });
  box.replaceChildren(title, detail);
  if (error.again) {
    const again = Object.assign(make("button", "link"), { type: "button" });
    again.textContent = "Try again";
    again.addEventListener("click", retry);
    box.append(again);
  }
  status("No results");
}

// On a phone the results lie under the fold.
export function reveal() {
  const top = by("found").getBoundingClientRect().top;
  if (top < window.innerHeight * 0.75) return;
  const still = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
  by("found").scrollIntoView({ behavior: still ? "auto" : "smooth", block: "start" });
}
