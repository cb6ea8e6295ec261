// The search view: one question at a time, a newer one calls the older off.

import * as api from "./api.js";
import * as ask from "./ask.js";
import { announce, by } from "./dom.js";
import { complain } from "./problem.js";
import * as queries from "./queries.js";
import * as results from "./results.js";
import * as samples from "./samples.js";
import { say } from "./toast.js";
import * as tools from "./tools.js";
import { t } from "./words.js";

const FARTHEST = 10_000; // the API's largest offset
const SLOW = 4000; // ms after which waiting is explained
const KEPT = 30; // answers that back and forward find again at once

const answers = new Map(); // signature -> found
let wired = false;
let asked = null; // the AbortController of the question under way
let shown = null; // { signature, found, failed }
let slow = 0;

export async function show() {
  if (!wired) wire();
  const set = queries.all();
  ask.draw(set);
  tools.draw();
  document.documentElement.toggleAttribute("data-asked", set.length > 0);
  document.documentElement.classList.add("drawn");
  if (set.length) return answer(set);
  asked?.abort();
  wait(false);
  shown = null;
  results.empty();
  calm();
  if (queries.lost()) trouble(new api.Problem(t("search.lost"), t("search.lost.do")));
  return samples.show();
}

export function hide() {}

// What is dropped or pasted on the map is searched with, too.
export function prepare() {
  if (!wired) wire();
}

function wire() {
  wired = true;
  results.build({ open: enlarge, from: ({ key }) => queries.askKey(key), plus: weigh(1), minus: weigh(-1) });
  ask.wire(trouble, calm);
  samples.wire(queries.askKey);
  tools.wire();
  by("next").addEventListener("click", () => more({ focus: true }));
  watchScrolling();
}

// What makes two questions the same; sorting is no question.
const signatureOf = (set, { k, label }) =>
  JSON.stringify([set.map(({ id, weight, crop }) => [id, weight, crop]), k, label]);

function fieldsOf({ k, label }, offset) {
  const fields = { k, offset };
  if (label !== null) fields.filter = { label: label === "" ? null : label };
  if (api.offers("kinds")) fields.kinds = true;
  return fields;
}

async function answer(set) {
  const chosen = tools.chosen();
  const signature = signatureOf(set, chosen);
  if (shown?.signature === signature && !shown.failed) {
    if (shown.found) sorted(chosen.sort);
    return;
  }
  asked?.abort();
  const mine = (asked = new AbortController());
  shown = { signature, found: null, failed: false };
  clearTrouble();
  const known = answers.get(signature);
  if (known) return present(known, chosen.sort);
  wait(true, chosen.k);
  try {
    const found = await question(set, chosen, mine.signal);
    if (mine !== asked) return;
    answers.set(signature, found);
    if (answers.size > KEPT) answers.delete(answers.keys().next().value);
    present(found, chosen.sort);
    results.reveal();
  } catch (error) {
    if (mine !== asked) return;
    shown.failed = true;
    wait(false);
    results.empty();
    results.status(t("search.none"), { quiet: true });
    if (api.about.model) trouble(error, () => answer(queries.all())); // else the frame has said it
  }
}

async function question(set, chosen, signal) {
  await Promise.all(set.map((query) => query.ready));
  signal.throwIfAborted();
  ask.draw(set); // now there is something to see of a file
  await api.ready();
  if (!set.some(({ weight }) => weight > 0)) {
    throw new api.Problem(t("search.minus"), t("search.minus.do"));
  }
  if (set.length > 1 && !api.offers("examples")) {
    throw new api.Problem(t("search.single"), t("search.single.do"));
  }
  await results.learn();
  for (const query of set) {
    const { blob } = query;
    const limit = api.about.model.max_upload_bytes;
    if (!blob || blob.size <= limit) continue;
    const problem = api.tooLarge(blob.size, limit);
    throw set.length > 1 ? problem.of(query) : problem;
  }
  signal.throwIfAborted();
  const { results: list, known, took_ms: took } = await api.search(set, fieldsOf(chosen, 0), signal);
  const more = list.length === chosen.k;
  return { results: list, known, took, queries: set, more, filtered: chosen.label !== null };
}

function present(found, sort) {
  wait(false);
  found.sort = sort;
  shown.found = found;
  results.draw(found);
}

function sorted(sort) {
  if (shown.found.sort === sort) return;
  shown.found.sort = sort;
  results.draw(shown.found, { quiet: true });
  announce(t("search.sorted", { order: t(`search.sort.${sort || "distance"}`) }));
}

function wait(is, k) {
  clearTimeout(slow);
  results.busy(is);
  if (!is) return;
  results.status(t("search.busy"));
  if (!results.inGrid()) results.empty(k);
  slow = setTimeout(() => results.status(t("search.slow")), SLOW);
}

function trouble(error, again) {
  complain(by("problem"), error, again);
  ask.blame(error?.query);
}

function calm() {
  trouble(null);
  by("problem").hidden = false; // an alert must be there before it has something to say
}

function clearTrouble() {
  calm();
  complain(by("more-problem"), null);
}

// The next results, below those that are there.
async function more({ focus = false } = {}) {
  const { found } = shown ?? {};
  if (!found?.more) return;
  found.jump ||= focus;
  if (found.loading) return;
  Object.assign(found, { loading: true, failed: false });
  complain(by("more-problem"), null);
  const chosen = tools.chosen();
  const before = found.results.length;
  const signal = asked?.signal;
  results.draw(found, { ghosts: chosen.k, quiet: true });
  results.busy(true);
  try {
    const offset = before;
    const next = await api.search(found.queries, fieldsOf(chosen, offset), signal);
    const held = new Set(found.results.map(({ key }) => key));
    found.results.push(...next.results.filter(({ key }) => !held.has(key)));
    found.more = next.results.length === chosen.k && offset + chosen.k <= FARTHEST;
  } catch (error) {
    if (error.name === "AbortError") return;
    found.failed = true;
    if (shown?.found === found) complain(by("more-problem"), error, () => more({ focus }));
  } finally {
    found.loading = false;
  }
  if (shown?.found !== found) return;
  results.busy(false);
  // A button that goes away takes the focus with it.
  const jump = found.jump || (!found.more && document.activeElement === by("next"));
  found.jump = false;
  results.draw(found, { quiet: true });
  announce(by("status").textContent);
  if (jump && !found.failed) results.focus(before);
}

// More on scroll: only once somebody scrolls, only while they are in order of distance (sorted
// anew, they would jump), and not below guesses that are not alike anyway.
function watchScrolling() {
  let near = false;
  let willing = false;
  const load = () => {
    const { found } = shown ?? {};
    if (!near || !willing || !found || found.failed) return;
    if (!found.sort && found.known !== false) more();
  };
  new IntersectionObserver(
    (seen) => {
      near = seen.at(-1).isIntersecting;
      load();
    },
    { rootMargin: "400px 0px" },
  ).observe(by("more"));
  for (const kind of ["wheel", "touchmove", "scroll", "keydown"]) {
    window.addEventListener(kind, (event) => {
      if (kind === "keydown" && !["PageDown", "End", "ArrowDown", " "].includes(event.key)) return;
      willing = true;
      load();
    }, { passive: true });
  }
}

const weigh = (weight) => ({ key }) => {
  const one = queries.all().find((query) => query.key === key);
  if (one?.weight === weight) return queries.remove(one);
  if (!queries.addKey(key, weight)) say(t("search.full", { most: queries.MOST }));
};

async function enlarge(match) {
  try {
    const large = await import("./compare.js");
    calm();
    const query = queries.all().find(({ weight }) => weight > 0);
    const list = results.list();
    const index = list.findIndex(({ key }) => key === match.key);
    large.open({ query, result: match, results: list, index });
  } catch (error) {
    trouble(error, () => enlarge(match));
  }
}
