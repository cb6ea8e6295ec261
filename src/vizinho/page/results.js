// The grid of what was found, and what is said about it.

import { offers } from "./api.js";
import { announce, by, still } from "./dom.js";
import { clear, fill, makeTile, nameOf } from "./tile.js";
import { number, onLanguage, plural, t } from "./words.js";

const tiles = [];
let makeMarks = null; // of marks.js, where the server keeps feedback
let on = {};
let now = null; // what is shown, to say it again in another language

export function build(acts) {
  on = acts;
  onLanguage(() => now && draw(now, { quiet: true }));
}

// Where the server keeps feedback: its buttons, before the first tile is filled.
export async function learn() {
  if (offers("feedback")) makeMarks ??= (await import("./marks.js")).marks;
}

function places(count) {
  while (tiles.length < count) {
    const tile = makeTile(on);
    tiles.push(tile);
    by("grid").append(tile.item);
  }
  tiles.forEach((tile, at) => {
    tile.item.hidden = at >= count;
    if (at >= count) clear(tile);
  });
}

// In the order they are looked at; found's own order is by distance.
const ORDERS = {
  label: (a, b) => compare(a.label ?? "\uffff", b.label ?? "\uffff") || a.distance - b.distance,
  name: (a, b) => compare(a.key, b.key),
};
const compare = (a, b) => a.localeCompare(b, undefined, { numeric: true });

const ordered = (results, sort) => (ORDERS[sort] ? results.toSorted(ORDERS[sort]) : results);

// found: { results, known, took, queries, more }; ghosts: places for what is on its way.
export function draw(found, { ghosts = 0, quiet = false } = {}) {
  const { queries, known } = found;
  const results = known === false ? found.results.map(asGuess) : found.results;
  now = { ...found, results };
  places(results.length + ghosts);
  const [query] = queries;
  const marks = makeMarks && queries.length === 1 ? (match) => makeMarks(query, match) : null;
  // A single picture is what all of this is about; signs tell several apart.
  const weights = new Map(queries.map(({ key, weight }) => [key, queries.length > 1 && weight]));
  const ranks = new Map(results.map((match, at) => [match.key, at + 1]));
  const shown = ordered(results, found.sort);
  tiles.slice(0, results.length + ghosts).forEach((tile, at) => {
    const match = shown[at];
    if (!match) return clear(tile);
    fill(tile, match, { rank: ranks.get(match.key), weight: weights.get(match.key), marks });
  });
  by("status").classList.toggle("alone", known === false);
  by("grid").classList.toggle("guesses", known === false);
  by("next").hidden = !found.more;
  by("legend").textContent = legend(now);
  status(summary(now), { quiet });
}

// Beside "nothing here is alike" a chance, which holds only if its kind is here, would deny it.
const asGuess = (match) => ({
  ...match,
  probability: null,
  kind: match.kind === "similar" ? null : match.kind,
});

// What a large view goes through, in the order on the screen.
export const list = () => (now ? ordered(now.results, now.sort) : []);

function summary({ results, known, took, filtered }) {
  if (!results.length) return t(filtered ? "search.filtered" : "search.empty");
  if (known === false) return plural("search.guesses", results.length);
  const [first] = results;
  const values = {
    ms: number(Math.max(1, Math.round(took))),
    name: nameOf(first),
    distance: number(first.distance, 2),
  };
  return plural("search.summary", results.length, values);
}

function legend({ results, queries }) {
  if (!results.length) return "";
  if (queries.length > 1) return t("search.legend.several");
  const parts = [t("search.legend.distance")];
  if (results[0].probability !== null) parts.push(t("search.legend.chance"));
  return parts.join(" ");
}

export function status(text, { quiet = false } = {}) {
  by("status").textContent = text;
  if (!quiet) announce(text);
}

export function busy(is) {
  by("found").classList.toggle("busy", is);
  by("grid").setAttribute("aria-busy", String(is));
}

// Nothing was asked, or nothing came: no results stay beside a question they don't answer.
export function empty(ghosts = 0) {
  now = null;
  places(ghosts);
  tiles.slice(0, ghosts).forEach(clear);
  by("status").classList.remove("alone");
  by("grid").classList.remove("guesses");
  by("next").hidden = true;
  by("legend").textContent = "";
}

export const inGrid = () => tiles.some(({ match }) => match);

// On a phone the results lie under the fold.
export function reveal() {
  const top = by("found").getBoundingClientRect().top;
  if (top < window.innerHeight * 0.75) return;
  if (by("shown").contains(document.activeElement)) return; // not away from who points at a part
  by("found").scrollIntoView({ behavior: still() ? "auto" : "smooth", block: "start" });
}


export const focus = (at) => tiles[at]?.open.focus();
