// What the page says, in the reader's language. The words are in words.LANGUAGE.js, those of errors
// in words.errors.LANGUAGE.js, by name; names begin with the view they belong to, and both languages
// have the same ones.

import { go, params } from "./router.js";

const LOADERS = {
  en: () => [import("./words.en.js"), import("./words.errors.en.js")],
  pt: () => [import("./words.pt.js"), import("./words.errors.pt.js")],
};
const LOCALES = { en: "en", pt: "pt-BR" };
const listeners = new Set();

let code = document.documentElement.lang.startsWith("pt") ? "pt" : "en"; // early.js has chosen
let words = await load(code);

async function load(language) {
  const files = await Promise.all(LOADERS[language]());
  return Object.assign({}, ...files.map((file) => file.default));
}

export const language = () => code;

export const locale = () => LOCALES[code];

const put = (text, values) =>
  text.replace(/\{(\w+)\}/g, (all, name) => (name in values ? values[name] : all));

export function t(name, values = {}) {
  return put(words[name] ?? name, values);
}

// Of { one, other }, what fits n; {n} is n written as the language writes numbers.
export function plural(name, n, values = {}) {
  const forms = words[name];
  const form = forms[new Intl.PluralRules(locale()).select(n)] ?? forms.other;
  return put(form, { n: number(n), ...values });
}

export const has = (name) => name in words;

export const number = (n, digits) =>
  n.toLocaleString(locale(), { minimumFractionDigits: digits, maximumFractionDigits: digits });

// 0.973 -> "97%". Certainty is not claimed where there is only nearly some.
export function percent(x, digits = 0) {
  const step = 10 ** -(digits + 2);
  const write = (share) =>
    share.toLocaleString(locale(), { style: "percent", minimumFractionDigits: digits, maximumFractionDigits: digits });
  if (x > 1 - step && x < 1) return `> ${write(1 - step)}`;
  if (x > 0 && x < step) return `< ${write(step)}`;
  return write(x);
}

export const date = (value, options) =>
  new Date(value).toLocaleDateString(locale(), { timeZone: "UTC", ...options });

export const megabytes = (bytes) => `${number(bytes / 1e6, bytes < 1e7 ? 1 : 0)} MB`;

// fn() after the language has changed: say again what you said.
export function onLanguage(fn) {
  listeners.add(fn);
  return () => listeners.delete(fn);
}

// Fill in what the HTML leaves to us: data-t="name", data-t-label, data-t-title, data-t-placeholder.
const ATTRIBUTES = { tLabel: "aria-label", tTitle: "title", tPlaceholder: "placeholder" };
const MARKED = "[data-t], [data-t-label], [data-t-title], [data-t-placeholder]";

export function translate(root = document) {
  for (const node of root.querySelectorAll(MARKED)) {
    if (node.dataset.t) node.textContent = t(node.dataset.t);
    for (const [mark, attribute] of Object.entries(ATTRIBUTES)) {
      if (node.dataset[mark]) node.setAttribute(attribute, t(node.dataset[mark]));
    }
  }
}

export async function speak(next) {
  words = await load(next);
  code = next;
  try {
    localStorage.setItem("lang", next);
  } catch {
    // not kept, then
  }
  document.documentElement.lang = locale();
  translate();
  listeners.forEach((fn) => fn());
  if (params().has("lang")) go({ lang: next }, { replace: true });
}
