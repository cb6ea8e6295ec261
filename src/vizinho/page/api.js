// The server, as functions; every failure becomes a Problem with words for a person.

import { has, megabytes, t } from "./words.js";

// Where it is: beside this page (also under a path of a proxy), or where the page was told.
const told = document.querySelector('meta[name="vizinho-api"]')?.content ?? "";
const base = new URL(told && !told.endsWith("/") ? `${told}/` : told, document.baseURI);

export const elsewhere = told !== "";

export const at = (path) => new URL(path, base).href;

// "." and ".." as parts of a path would lead elsewhere, whatever way they are escaped.
const LEADS_AWAY = /(^|\/)\.{1,2}(\/|$)/;

const spelled = (key) =>
  LEADS_AWAY.test(key) ? encodeURIComponent(key) : key.split("/").map(encodeURIComponent).join("/");

// A fresh way to a picture: the server knows where it is now, and links to a bucket expire.
export const pictureOf = (key) => at(`images/${spelled(key)}`);

export class Problem extends Error {
  constructor(title, detail = "", again = false, code = "") {
    super(title);
    this.title = title;
    this.detail = detail;
    this.again = again; // whether the same question may be answered later
    this.code = code;
    this.query = null; // which of several pictures it is about, where that is known
    this.said = ""; // the server's own words
  }

  of(query) {
    this.title = `${query.name}: ${this.title}`;
    this.query = query;
    return this;
  }
}

const named = (code, again = false, values = {}) =>
  new Problem(t(`error.${code}`, values), t(`error.${code}.do`, values), again, code);

export const away = () => named("away", true);

export const tooLarge = (bytes, limit) =>
  named("too_large", false, { has: megabytes(bytes), limit: megabytes(limit) });

// What a proxy before the server means by its status; mostly the server behind it is away.
const SPOKEN = { 413: () => named("proxy_413"), 429: () => named("proxy_429", true) };

function problemOf(status, error) {
  if (!error) return SPOKEN[status]?.() ?? away();
  return Object.assign(worded(status, error), { said: error.message });
}

function worded(status, { code, message, hint }) {
  const again = status >= 500;
  if (code === "too_large") return new Problem(t("error.too_large"), t("error.too_large.any"), false, code);
  if (code === "bad_field" && message.startsWith("image_url:")) return named("not_fetched", true);
  if (has(`error.${code}`)) return named(code, again);
  return new Problem(t("error.other"), `${message} ${hint}`.trim(), again, code);
}

async function fetched(path, options) {
  try {
    return await fetch(at(path), options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw away();
  }
}

// -> what the server said as JSON; with `whole`, { status, body, headers } instead.
async function ask(path, { whole = false, ...options } = {}) {
  const response = await fetched(path, options);
  const body = await response.json().catch((error) => {
    if (error.name === "AbortError") throw error;
    return null;
  });
  if (!response.ok || !body) throw problemOf(response.status, body?.error);
  return whole ? { status: response.status, body, headers: response.headers } : body;
}

const sent = (method, body, more = {}) => ({
  method,
  headers: { "Content-Type": "application/json" },
  body: JSON.stringify(body),
  ...more,
});

// What this server offers for its gallery: filled once by ready().
export const about = { model: null, features: new Set() };

export const offers = (feature) => about.features.has(feature);

let loading = null;

// Resolves when `about` is filled; asks anew after a failure.
export function ready() {
  loading ??= load().catch((error) => {
    loading = null;
    throw error;
  });
  return loading;
}

async function load() {
  about.model = await ask("v1/model");
  about.features = new Set(about.model.features ?? []);
  tell();
}

const listeners = new Set();

// fn() when `about` is filled, and when pictures were added or removed here.
export const onAbout = (fn) => listeners.add(fn);
const tell = () => listeners.forEach((fn) => fn());

export function counted(more) {
  about.model.images += more;
  tell();
}

export const pictures = (offset, limit, label) => {
  const asked = new URLSearchParams({ offset, limit });
  if (label != null) asked.set("label", label);
  return ask(`v1/images?${asked}`);
};

export const record = (key) => ask(`v1/images/${spelled(key)}`);

export const labels = () => ask("v1/labels");

// A picture to ask with, as JSON has it: file pictures need a form.
const given = ({ kind, key, url }) => (kind === "url" ? { image_url: url } : { key });

const NAMES = { filter: JSON.stringify, crop: JSON.stringify, examples: JSON.stringify };

function form(fields, files) {
  const made = new FormData();
  for (const { blob, name } of files) made.append("image", blob, name);
  for (const [name, value] of Object.entries(fields)) {
    if (value != null) made.append(name, NAMES[name]?.(value) ?? value);
  }
  return made;
}

// A request that carries one picture (a Query) and fields.
function withPicture(path, query, fields, signal) {
  const all = query.crop ? { ...fields, crop: query.crop } : fields;
  if (query.kind === "file") return ask(path, { method: "POST", body: form(all, [query]), signal });
  return ask(path, sent("POST", { ...given(query), ...all }, { signal }));
}

// A request that carries one picture or several with weights.
function withPictures(path, queries, fields, signal) {
  const [first] = queries;
  if (queries.length === 1 && first.weight > 0) return withPicture(path, first, fields, signal);
  const files = queries.filter(({ kind }) => kind === "file");
  const examples = queries.map((query) => ({
    ...(query.kind === "file" ? { image: files.indexOf(query) } : given(query)),
    weight: query.weight,
    ...(query.crop && { crop: query.crop }),
  }));
  const all = { ...fields, examples };
  if (!files.length) return ask(path, sent("POST", all, { signal }));
  return ask(path, { method: "POST", body: form(all, files), signal });
}

// fields: k, offset, filter, kinds.
export async function search(queries, fields, signal) {
  try {
    return await withPictures("v1/search", queries, fields, signal);
  } catch (error) {
    throw of(error, queries);
  }
}

// Of several pictures the server's words tell which one it can't take, by its place or its key.
function of(error, queries) {
  const said = error.said ?? "";
  const [, number, place] = said.match(/^(?:Example (\d+)|examples\[(\d+)\])/) ?? [];
  const named = queries.find(({ key }) => key && [`'${key}'`, `"${key}"`].some((text) => said.includes(text)));
  const query = queries[number ? number - 1 : place] ?? named;
  return query && queries.length > 1 ? error.of(query) : error;
}

// Which regions of the query and of the picture `key` made the match.
export const explain = (query, key, signal) => withPicture("v1/explain", query, { with: key }, signal);

// -> { status, body, headers }: 202 while it is being built.
export const map = (signal) => ask("v1/map", { whole: true, signal });

export const tile = (number, version) =>
  at(`v1/map/tiles/${number}?version=${encodeURIComponent(version)}`);

export const place = (queries, signal) => withPictures("v1/map/place", queries, {}, signal);

const encoded = (blob) =>
  new Promise((done, failed) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result.split(",")[1]);
    reader.onerror = () => failed(reader.error);
    reader.readAsDataURL(blob);
  });

// verdict: "right", "wrong", or null to take it back; hash: of a file's bytes that were sent before.
export async function mark({ kind, key, blob, hash, crop }, result, verdict) {
  const one = kind === "key" ? { key } : hash ? { hash } : { image_base64: await encoded(blob) };
  const query = crop ? { ...one, crop } : one;
  return ask("v1/feedback", sent("POST", { query, key: result, verdict }));
}

// query: only of this one, a key or a hash.
export const marks = (offset, limit, query) => {
  const asked = new URLSearchParams({ offset, limit });
  if (query) asked.set("query", query);
  return ask(`v1/feedback?${asked}`);
};

export const duplicates = (kind, offset, limit) => {
  const asked = new URLSearchParams({ offset, limit });
  if (kind) asked.set("kind", kind);
  return ask(`v1/duplicates?${asked}`, { whole: true });
};

export const labelAll = (keys, label) => ask("v1/images/label", sent("POST", { keys, label }));

// outlive: go on when the page is left.
export const removeAll = (keys, outlive = false) =>
  ask("v1/images/remove", sent("POST", { keys }, { keepalive: outlive }));
