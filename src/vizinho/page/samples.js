// Pictures of the gallery to start from.

import * as api from "./api.js";
import { by, make, picture } from "./dom.js";
import { complain } from "./problem.js";
import { onLanguage, t } from "./words.js";

let shown = null;
let asking = false;
let failed = false;
let places = [];

export function wire(pick) {
  places = Array.from(by("strip").children, (item) => {
    const image = make("img", "", { width: 320, height: 320, alt: "", hidden: true });
    const button = make("button", "sample", { disabled: true }, make("span", "frame", {}, image));
    button.addEventListener("click", () => pick(button.dataset.key));
    item.append(button);
    return { item, button, image };
  });
  by("shuffle").addEventListener("click", shuffle);
  onLanguage(() => shown && draw());
}

export async function show() {
  if (api.about.model && !shown && !asking) await shuffle();
}

async function shuffle() {
  const count = api.about.model.images;
  const offset = Math.floor(Math.random() * Math.max(1, count - places.length + 1));
  asking = true;
  try {
    shown = (await api.pictures(offset, places.length)).images;
    draw();
    if (failed) complain(by("problem"), null);
    failed = false;
  } catch (error) {
    failed = true;
    complain(by("problem"), error, shuffle);
  } finally {
    asking = false;
  }
}

function draw() {
  const count = api.about.model.images;
  by("samples-title").textContent = t(shown.length ? "search.samples" : "search.empty");
  by("shuffle").hidden = count <= places.length;
  places.forEach(({ item, button, image }, at) => {
    const match = shown[at];
    item.hidden = !match;
    if (!match) return;
    button.disabled = false;
    button.dataset.key = match.key;
    picture(image, match, t("search.from", { name: match.label ?? match.key }));
  });
}
