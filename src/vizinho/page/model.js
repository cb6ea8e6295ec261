// The model's line above the box: its name, and what it measured.

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
  if (!top) return { score: "not measured", note: "" };
  const where = [
    top.count === null ? "" : `on ${top.count.toLocaleString("en")}${top.test ? " test" : ""} pictures`,
    top.date ? shortDate(top.date) : "",
  ].filter(Boolean);
  const note = where.length ? where.join(", ").replace(/^o/, "O") : "";
  return { score: `${(top.share * 100).toFixed(2)} %`, note };
}

function shortDate(text) {
  const date = new Date(text);
  if (Number.isNaN(date.getTime())) return String(text);
  return date.toLocaleDateString("en", { month: "short", year: "numeric", timeZone: "UTC" });
}
