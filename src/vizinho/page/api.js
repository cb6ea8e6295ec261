// The server, as functions; every failure becomes a Problem with words for a person.

// Where it is: beside this page (also under a path of a proxy), or where the page was told.
const told = document.querySelector('meta[name="vizinho-api"]')?.content ?? "";
const base = new URL(told && !told.endsWith("/") ? `${told}/` : told, document.baseURI);

export const elsewhere = told !== "";

export const at = (path) => new URL(path, base).href;

// A fresh way to a picture: the server knows where it is now, and links to a bucket expire.
export const pictureOf = (key) => at(`images/${key.split("/").map(encodeURIComponent).join("/")}`);

export class Problem extends Error {
  constructor(title, detail, again = false) {
    super(title);
    this.title = title;
    this.detail = detail;
    this.again = again; // whether the same question may be answered later
  }
}

const TITLES = {
  not_an_image: "This is not a picture",
  unreadable_image: "This picture is damaged",
  image_too_large: "This picture has too many pixels",
  too_large: "This file is too large",
  queue_full: "The server is busy",
  gallery_busy: "The server is busy",
  key_not_found: "That picture is gone",
};

export const away = () =>
  new Problem(
    "The server does not answer",
    "It may have been stopped, or the network is down. Your picture is still here.",
    true,
  );

export const tooLarge = (bytes, limit) =>
  new Problem(
    TITLES.too_large,
    `It has ${megabytes(bytes)}, and the server takes at most ${megabytes(limit)}.`,
  );

const SPOKEN = {
  413: () => new Problem(TITLES.too_large, "What stands before the server refused to pass it on."),
  429: () => new Problem(TITLES.queue_full, "Too many ask at once. Try again in a moment.", true),
};

const megabytes = (bytes) => `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB`;

async function ask(path, options) {
  let response;
  try {
    response = await fetch(at(path), options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw away();
  }
  const body = await response.json().catch((error) => {
    if (error.name === "AbortError") throw error;
    return null;
  });
  if (response.ok && body) return body;
  throw problemOf(response.status, body?.error);
}

function problemOf(status, error) {
  // Without our JSON it is a proxy that speaks; mostly the server behind it is away.
  if (!error) return SPOKEN[status]?.() ?? away();
  const title = TITLES[error.code] ?? "That did not work";
  return new Problem(title, `${error.message} ${error.hint}`.trim(), status >= 500);
}

export const model = () => ask("v1/model");

export const pictures = (offset, limit) => ask(`v1/images?offset=${offset}&limit=${limit}`);

export function searchFile(blob, name, k, signal) {
  const form = new FormData();
  form.append("image", blob, name);
  form.append("k", k);
  return ask("v1/search", { method: "POST", body: form, signal });
}

export function searchKey(key, k, signal) {
  const headers = { "Content-Type": "application/json" };
  return ask("v1/search", { method: "POST", headers, body: JSON.stringify({ key, k }), signal });
}
