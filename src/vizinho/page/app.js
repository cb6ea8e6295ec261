// Starts the page, and shows the view that the address asks for.

import * as api from "./api.js";
import { by, make } from "./dom.js";
import { describe, topOne } from "./model.js";
import { complain } from "./problem.js";
import { address, go, listen, params } from "./router.js";
import * as theme from "./theme.js";
import { language, number, onLanguage, speak, t, translate } from "./words.js";

// A view is { show(main, params), hide() }; it is loaded when first asked for, and shown again
// whenever the address changes. It is there when the server offers one of the features it needs.
const VIEWS = {
  search: { load: () => import("./search.js"), needs: [] },
  map: { load: () => import("./map.js"), needs: ["map"] },
  care: { load: () => import("./care.js"), needs: [] },
};
const links = [...by("views").querySelectorAll("a")];

// The address of another view; what only the gallery's parts or the map ask for stays behind.
const toView = (view) => ({
  part: null, page: null, kind: null, x: null, y: null, zoom: null, view: view === "search" ? null : view,
});

let shown = null; // { name, module }

const there = (name) => {
  if (!Object.hasOwn(VIEWS, name)) return false;
  const { needs } = VIEWS[name];
  return !needs.length || needs.some(api.offers);
};

const wanted = () => {
  const name = params().get("view");
  return there(name) ? name : "search";
};

function room(name) {
  const known = by(`view-${name}`);
  if (known) return known;
  const made = make("div", "", { id: `view-${name}` });
  by("main").append(made);
  return made;
}

async function show() {
  // Only the search can do without the server: it takes a picture, and sends it when it can.
  const asked = params().get("view");
  if (!api.about.model && asked !== "search" && Object.hasOwn(VIEWS, asked)) return;
  const name = wanted();
  if (api.about.model) head(name);
  try {
    const module = await VIEWS[name].load();
    if (name !== wanted()) return; // they went on meanwhile
    if (shown && shown.name !== name) {
      shown.module.hide();
      room(shown.name).hidden = true;
    }
    const main = room(name);
    main.hidden = false;
    shown = { name, module };
    if (api.about.model) complain(by("trouble"), null);
    await module.show(main, params());
  } catch (error) {
    complain(by("trouble"), error, show);
  }
}

function head(name) {
  document.documentElement.dataset.view = name;
  document.title = t(`frame.title.${name}`);
  for (const link of links) {
    const { view } = link.dataset;
    link.hidden = !there(view);
    link.href = address(toView(view));
    if (view === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  by("views").classList.toggle("alone", links.filter((link) => !link.hidden).length < 2);
}

// A plain click stays on this page; a new tab is the browser's business.
const plain = (event) => !(event.ctrlKey || event.metaKey || event.shiftKey || event.button);

function wire() {
  for (const link of links) {
    link.addEventListener("click", (event) => {
      if (!plain(event)) return;
      event.preventDefault();
      go(toView(link.dataset.view));
    });
  }
  by("brand").addEventListener("click", (event) => {
    if (!plain(event)) return;
    event.preventDefault();
    const all = Object.fromEntries([...params().keys()].map((name) => [name, null]));
    go({ ...all, lang: params().get("lang") }, { state: null });
  });
  for (const button of by("languages").children) {
    button.addEventListener("click", () => tongue(button.dataset.language));
  }
  onLanguage(inLanguage);
  listen(show);
}

async function tongue(name) {
  try {
    await speak(name);
    if (api.about.model) complain(by("trouble"), null);
  } catch (error) {
    complain(by("trouble"), error, () => tongue(name));
  }
}

function inLanguage() {
  for (const button of by("languages").children) {
    button.setAttribute("aria-pressed", String(button.dataset.language === language()));
  }
  if (!api.about.model) return; // what views there are is not known yet
  facts();
  head(wanted());
}

function facts() {
  const { score, note } = describe(topOne(api.about.model.metrics));
  by("model-name").textContent = api.about.model.name;
  by("model-score").textContent = score;
  by("model-note").textContent = note;
  by("model-count").textContent = number(api.about.model.images);
}

async function start() {
  complain(by("trouble"), null);
  const known = api.ready();
  show();
  try {
    await known;
  } catch (error) {
    document.title = t("frame.title.search");
    complain(by("trouble"), error, start);
  }
}

let begun = false;

// Also when a picture to search with had the server asked again.
function learn() {
  facts();
  if (begun) return;
  begun = true;
  show();
  // What is dropped on the map, too, is searched with.
  if (wanted() === "map") VIEWS.search.load().then((search) => search.prepare());
}

translate();
document.documentElement.classList.add("ready");
theme.start();
api.onAbout(learn);
by("docs").hidden = api.elsewhere; // its documentation is a page of `vizinho serve` only
wire();
inLanguage();
start();
