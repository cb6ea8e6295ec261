// What is chosen of the results: a label, an order, how many at a time. All of it is in the address.

import * as api from "./api.js";
import { by, make } from "./dom.js";
import { go, params } from "./router.js";
import { number, onLanguage, t } from "./words.js";

const K = 20;
const ANY = "*"; // no label has the first letter of the others' values
let labels = null;

// -> { label: string | "" for none | null for any, sort, k }
export function chosen() {
  const asked = params();
  const k = Number(asked.get("k"));
  return {
    label: asked.get("label"),
    sort: ["label", "name"].includes(asked.get("sort")) ? asked.get("sort") : "",
    k: Number.isInteger(k) && k >= 1 && k <= 100 ? k : K,
  };
}

export function wire() {
  by("label").addEventListener("change", ({ target: { value } }) =>
    go({ label: value === ANY ? null : value.slice(1) }),
  );
  by("sort").addEventListener("change", ({ target: { value } }) =>
    go({ sort: value || null }, { replace: true }),
  );
  by("k").addEventListener("change", ({ target: { value } }) =>
    go({ k: Number(value) === K ? null : value }),
  );
  onLanguage(draw);
  if (api.offers("labels")) learn();
}

async function learn() {
  try {
    labels = (await api.labels()).labels;
  } catch {
    return; // a filter less, and nothing that anybody waits for
  }
  draw();
}

const add = (select, value, textContent) =>
  select.append(make("option", "", { value, textContent }));

export function draw() {
  const { label, sort, k } = chosen();
  by("sort").value = sort;
  if (![...by("k").options].some(({ value }) => Number(value) === k)) add(by("k"), k, k);
  by("k").value = k;
  drawLabels(label);
}

function drawLabels(label) {
  const told = labels ?? [];
  by("label-tool").classList.toggle("absent", label === null && told.length < 2);
  const select = by("label");
  select.replaceChildren();
  add(select, ANY, t("search.label.any"));
  for (const { label: name, count } of told) {
    add(select, `=${name ?? ""}`, `${name ?? t("search.label.none")} (${number(count)})`);
  }
  const value = label === null ? ANY : `=${label}`;
  // A shared link may name a label that is gone, or not yet told.
  if (![...select.options].some((option) => option.value === value)) {
    add(select, value, label || t("search.label.none"));
  }
  select.value = value;
}
