// One place of the grid: made once, filled again and again, so that nothing moves and the
// keyboard's focus stays where it was.

import { offers } from "./api.js";
import { iconButton, make, picture } from "./dom.js";
import { has, number, percent, t } from "./words.js";

const short = (key) => key.split("/").at(-1);

export const nameOf = ({ label, key }) => label ?? short(key);

// "identical", "near-duplicate", "similar" in words; "" where nobody looked.
export const kindOf = (kind) => (kind && has(`search.kind.${kind}`) ? t(`search.kind.${kind}`) : "");

const spoken = (match) => (match.label ? `${match.label} (${short(match.key)})` : short(match.key));

function described(rank, match) {
  return [
    `${rank}. ${spoken(match)}`,
    kindOf(match.kind),
    t("search.said.distance", { distance: number(match.distance, 2) }),
    match.probability === null ? "" : t("search.said.chance", { chance: percent(match.probability) }),
  ].filter(Boolean).join(", ");
}

// on: { open, from, plus, minus }, each called with the match; marks(match) -> element or null.
export function makeTile(on) {
  const image = make("img", "", { width: 320, height: 320, alt: "", hidden: true });
  const open = make("button", "open", {}, make("span", "frame", {}, image));
  const acts = make("div", "acts");
  const pane = make("div", "pane", {}, open, acts);
  const parts = Object.fromEntries(
    ["label", "chance", "kind", "distance"].map((name) => [name, make("span", name)]),
  );
  const facts = make("div", "facts", {}, ...Object.values(parts));
  const item = make("li", "tile ghost", {}, pane, facts);
  const tile = { item, image, open, acts, ...parts, match: null };
  open.addEventListener("click", () => tile.match && on.open(tile.match));
  item.addEventListener("dragstart", (event) => {
    if (tile.match) event.dataTransfer.setData("application/x-vizinho-key", tile.match.key);
  });
  tile.buttons = ["from", "plus", "minus"].map((act) => {
    const button = iconButton(act === "from" ? "search" : act, `act act-${act}`, "");
    button.addEventListener("click", () => tile.match && on[act](tile.match));
    return [act, button];
  });
  acts.append(...tile.buttons.map(([, button]) => button));
  clear(tile);
  return tile;
}

// A place whose picture is still to come.
export function clear(tile) {
  tile.match = null;
  tile.item.className = "tile ghost";
  tile.item.setAttribute("aria-hidden", "true");
  tile.item.removeAttribute("title");
  delete tile.item.dataset.key;
  tile.open.disabled = true;
  tile.image.hidden = true;
  tile.image.removeAttribute("src");
  tile.marks?.remove();
  for (const [, button] of tile.buttons) button.hidden = true;
  for (const name of ["label", "chance", "kind", "distance"]) tile[name].textContent = "";
}

export function fill(tile, match, { rank, weight, marks }) {
  const name = nameOf(match);
  tile.match = match;
  tile.item.className = `tile kind-${match.kind ?? "none"}`;
  tile.item.classList.toggle("same", match.distance < 0.005);
  tile.item.removeAttribute("aria-hidden");
  tile.item.title = match.key;
  tile.item.dataset.key = match.key;
  tile.open.disabled = false;
  tile.open.setAttribute("aria-label", described(rank, match));
  picture(tile.image, match, name);
  tile.label.textContent = name;
  tile.chance.textContent = match.probability === null ? "" : percent(match.probability);
  tile.chance.title = t("search.chance.means");
  tile.kind.textContent = kindOf(match.kind);
  tile.distance.textContent = number(match.distance, 2);
  tile.distance.title = t("search.distance.means");
  for (const [act, button] of tile.buttons) {
    const pressed = (act === "plus" && weight > 0) || (act === "minus" && weight < 0);
    const label = t(`search.act.${act}`, { name: spoken(match) });
    button.hidden = act !== "from" && !offers("examples");
    button.setAttribute("aria-label", label);
    button.title = t(`search.act.${act}.short`);
    if (act !== "from") button.setAttribute("aria-pressed", String(pressed));
  }
  tile.marks?.remove();
  tile.marks = marks?.(match) ?? null;
  if (tile.marks) tile.acts.append(tile.marks);
}
