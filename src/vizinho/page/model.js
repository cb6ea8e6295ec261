// The model's line at the foot of the page: its name, and what it measured.

import { date, percent, plural, t } from "./words.js";

// Metrics carry their protocol and may lie one level down, by data set; test beats the rest.
export function topOne(metrics) {
  const found = [];
  const visit = (value, path) => {
    if (!value || typeof value !== "object" || Array.isArray(value)) return;
    if (typeof value.precision_at_1 === "number") found.push({ path, value });
    for (const [name, inner] of Object.entries(value)) visit(inner, `${path}/${name}`);
  };
  visit(metrics, "");
  const best = found.find((each) => isTest(each)) ?? found[0];
  if (!best) return null;
  const { precision_at_1: share, queries, references, n, images, date } = best.value;
  return {
    share,
    count: queries ?? n ?? images ?? references ?? null,
    date: date ?? metrics.date ?? null,
    set: best.value.dataset ?? best.value.split ?? null,
    test: isTest(best),
  };
}

const isTest = ({ path, value }) =>
  /test/i.test(`${path} ${value.split ?? ""} ${value.dataset ?? ""}`);

export function describe(top) {
  if (!top) return { score: t("frame.unmeasured"), note: "" };
  const on = top.test ? "frame.on.test" : "frame.on";
  const where = [top.count === null ? "" : plural(on, top.count), top.date ? month(top.date) : ""];
  return { score: percent(top.share, 2), note: where.filter(Boolean).join(", ") };
}

const month = (text) =>
  Number.isNaN(new Date(text).getTime()) ? text : date(text, { month: "short", year: "numeric" });
