// The server, as functions; every failure becomes a Problem with words for a person.

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

const megabytes = (bytes) => `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB`;

async function ask(path, options) {
  let response;
  try {
    response = await fetch(path, options);
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
  // Without our JSON it is a proxy that speaks, and the server behind it is away.
  if (!error) return away();
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
