// The pictures that are asked with: what the address and history.state say, as Query objects
// { id, kind: "file"|"key"|"url", key?, url?, blob?, name, src, weight, crop }.
//
// key or url is the picture asked with, like and unlike (both repeatable) are pictures of the
// gallery beside it. Files can't be in an address: history.state holds their ids, and they stay in
// memory while the page lives.

import { pictureOf } from "./api.js";
import { go, params, state } from "./router.js";
import { prepare } from "./shrink.js";

export const MOST = 8; // pictures in one question; the API's limit
const KEPT = 60; // files held in memory
const SIDES = ["top", "left", "bottom", "right"];

const files = new Map(); // id -> record
let serial = 0;

// A file becomes a record at once; record.ready resolves when it can be shown and sent.
function keep(file) {
  const id = `${Date.now()}-${(serial += 1)}`; // ids of an earlier life of the page stay unknown
  const record = { id, kind: "file", name: file.name, src: null, blob: null };
  record.ready = prepare(file).then(({ blob, from, width, height }) => {
    Object.assign(record, { blob, from, sent: { width, height } });
    if (from) record.src = URL.createObjectURL(file);
  });
  record.ready.catch(() => {}); // told to who asks with it
  files.set(id, record);
  const [[oldest, { src }]] = files;
  if (files.size > KEPT) {
    if (src) URL.revokeObjectURL(src);
    files.delete(oldest);
  }
  return id;
}

const ofKey = (key, weight) => ({
  id: `key:${key}`,
  kind: "key",
  key,
  name: key.split("/").at(-1),
  src: `${pictureOf(key)}?size=320`,
  weight,
  crop: null,
});

const ofUrl = (url) => ({
  id: `url:${url}`,
  kind: "url",
  url,
  name: url,
  src: null, // the policy lets this page show no picture of another host
  weight: 1,
  crop: null,
});

// The pictures in the order they are shown in; files that are gone are left out.
export function all() {
  const asked = params();
  const named = (name) => asked.getAll(name).filter(Boolean);
  const held = (state().files ?? []).filter(({ id }) => files.has(id));
  const found = [
    ...held.map(({ id, weight }) => Object.assign(files.get(id), { weight, crop: null })),
    ...named("key").slice(0, 1).map((key) => ofKey(key, 1)),
    ...named("url").slice(0, 1).map(ofUrl),
    ...named("like").map((key) => ofKey(key, 1)),
    ...named("unlike").map((key) => ofKey(key, -1)),
  ];
  const once = new Map(found.map((query) => [query.id, query]));
  const list = [...once.values()].slice(0, MOST);
  if (list.length) list[0].crop = readCrop(asked.get("crop"));
  return list;
}

// Whether the address of now had a file that this page no longer has (it was reloaded).
export const lost = () => (state().files ?? []).some(({ id }) => !files.has(id));

function readCrop(text) {
  const ends = (text ?? "").split(",").map(Number);
  const [top, left, bottom, right] = ends;
  const good = ends.length === 4 && ends.every((x) => x >= 0 && x <= 1) && top < bottom && left < right;
  return good ? { top, left, bottom, right } : null;
}

export const writeCrop = (crop) =>
  crop && SIDES.map((side) => Number(crop[side].toFixed(4))).join(",");

// Write a list back: where it is the question, and the crop goes with the first picture.
function write(list, { crop = null } = {}) {
  const keys = list.filter(({ kind }) => kind === "key");
  const [main] = list[0]?.kind === "key" && list[0].weight > 0 ? keys : [null];
  const rest = keys.filter((query) => query !== main);
  go(
    {
      key: main?.key ?? null,
      url: list.find(({ kind }) => kind === "url")?.url ?? null,
      like: rest.filter(({ weight }) => weight > 0).map(({ key }) => key),
      unlike: rest.filter(({ weight }) => weight < 0).map(({ key }) => key),
      crop: writeCrop(crop),
    },
    { state: stateOf(list) },
  );
}

function stateOf(list) {
  const held = list.filter(({ kind }) => kind === "file").map(({ id, weight }) => ({ id, weight }));
  return held.length ? { files: held } : null;
}

// Ask anew with one picture, or several. The label of the last question is no part of a new one.
function ask(list) {
  const held = stateOf(list);
  const keys = list.filter(({ kind }) => kind === "key").map(({ key }) => key);
  const url = list.find(({ kind }) => kind === "url")?.url ?? null;
  const none = { like: null, unlike: null, crop: null, label: null };
  go({ ...none, key: keys[0] ?? null, url }, { state: held });
}

const fresh = (file) => ({ id: keep(file), kind: "file", weight: 1 });

// false when there were more than one question takes.
export function askFiles(list) {
  ask(list.slice(0, MOST).map(fresh));
  return list.length <= MOST;
}

export const askKey = (key) => ask([ofKey(key, 1)]);

export const askUrl = (url) => ask([ofUrl(url)]);

const cropOf = (list) => list[0]?.crop ?? null;

// false when there is no room for more.
export function addFiles(list) {
  const before = all();
  const room = MOST - before.length;
  if (room > 0) write([...before, ...list.slice(0, room).map(fresh)], { crop: keepCrop(before) });
  return list.length <= room;
}

// Files stand before keys in the order of all(): a crop of a key would go to another picture.
const keepCrop = (before) => (before[0]?.kind === "file" ? cropOf(before) : null);

export function addKey(key, weight) {
  const before = all();
  const known = before.find((query) => query.key === key);
  if (known) known.weight = weight;
  else if (before.length >= MOST) return false;
  write(known ? before : [...before, ofKey(key, weight)], { crop: cropOf(before) });
  return true;
}

export function remove(query) {
  const before = all();
  const left = before.filter(({ id }) => id !== query.id);
  if (!left.length) return ask([]);
  write(left, { crop: left[0].id === before[0].id ? cropOf(before) : null });
}

export function flip(query) {
  const list = all();
  const [first] = list;
  const one = list.find(({ id }) => id === query.id);
  one.weight = -one.weight;
  write(list, { crop: one === first ? null : cropOf(list) }); // the first may not stay the first
}

export function crop(box) {
  // Moving a crop about is one step back, not fifty.
  go({ crop: writeCrop(box) }, { replace: params().has("crop") && box !== null });
}
