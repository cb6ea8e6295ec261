// One question at a time: a newer one calls the older off.

import * as api from "./api.js";
import { listen } from "./drop.js";
import { describe, topOne } from "./model.js";
import { prepare } from "./shrink.js";
import * as view from "./view.js";

let limit = Infinity;
let count = 0;
let asked = null; // the AbortController of the question under way

async function search(question) {
  asked?.abort();
  const mine = new AbortController();
  asked = mine;
  view.problem(null);
  view.busy(true);
  try {
    const answer = await question(mine.signal);
    if (mine !== asked) return;
    view.results(answer.results);
    view.status(summary(answer));
    view.busy(false);
    view.reveal();
  } catch (error) {
    if (mine !== asked) return;
    view.busy(false);
    view.results([]);
    view.problem(asProblem(error), () => search(question));
  }
}

function asProblem(error) {
  if (error instanceof api.Problem) return error;
  console.error(error);
  return new api.Problem("Something broke on this page", "Reload it and try again.");
}

function summary({ results, known, took_ms: took }) {
  if (!results.length) return "The gallery is empty";
  if (known === false) return "Nothing in the gallery is alike. The best guesses:";
  const [first] = results;
  const nearest = `nearest: ${first.label ?? first.key} at ${first.distance.toFixed(2)}`;
  return `${results.length} found in ${Math.max(1, Math.round(took))} ms, ${nearest}`;
}

const searchKey = (key, url) => {
  view.query(url, key, "from the gallery", key);
  return search((signal) => api.searchKey(key, view.TEN, signal));
};

async function searchFile(file) {
  view.query(null, file.name);
  await search(async (signal) => {
    const { blob, width, height, from } = await prepare(file);
    if (signal.aborted) throw new DOMException("", "AbortError");
    if (from) view.query(URL.createObjectURL(file), file.name, sizes(from, { width, height }));
    if (blob.size > limit) throw api.tooLarge(blob.size, limit);
    return api.searchFile(blob, file.name, view.TEN, signal);
  });
}

function sizes(from, sent) {
  const text = `${from.width} \u00d7 ${from.height}`;
  return sent.width === from.width ? text : `${text}, sent as ${sent.width} \u00d7 ${sent.height}`;
}

async function shuffle() {
  try {
    const offset = Math.floor(Math.random() * Math.max(1, count - view.SAMPLES + 1));
    view.strip((await api.pictures(offset, view.SAMPLES)).images);
  } catch (error) {
    view.problem(asProblem(error), shuffle);
  }
}

async function start() {
  try {
    const model = await api.model();
    limit = model.max_upload_bytes;
    count = model.images;
    view.model(model.name, describe(topOne(model.metrics)), count);
  } catch (error) {
    view.problem(asProblem(error), start);
    return;
  }
  view.problem(null);
  await shuffle();
}

view.build(searchKey);
view.parts.docs.hidden = api.elsewhere; // its documentation is a page of `vizinho serve` only
listen({ ...view.parts, button: view.parts.choose, take: searchFile });
view.parts.shuffle.addEventListener("click", shuffle);
start();
