// Point at a part of the picture: draw a box on it, move it, resize it, with mouse, finger or keys.

import { by, make, style } from "./dom.js";
import { onLanguage, percent, t } from "./words.js";

const LEAST = 0.06; // sides of a part, as shares of the picture's
const STEP = 0.02; // one press of an arrow key
const PAUSE = 250; // ms without a change, then the results follow
const FIRST = { top: 0.2, left: 0.2, bottom: 0.8, right: 0.8 };
const CORNERS = ["top left", "top right", "bottom left", "bottom right"];
const ARROWS = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] };

const within = (x, low = 0, high = 1) => Math.min(Math.max(x, low), high);
const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

// As the address has it, so that what comes back from there is the same.
const rounded = (box) =>
  Object.fromEntries(Object.entries(box).map(([side, x]) => [side, Number(x.toFixed(4))]));

// The box with the named sides moved by (dx, dy); a side stops at the picture's edge, and before
// the side that is opposite.
function resized(box, sides, dx, dy) {
  const { top, left, bottom, right } = box;
  const next = { ...box };
  if (sides.includes("top")) next.top = within(top + dy, 0, bottom - LEAST);
  if (sides.includes("left")) next.left = within(left + dx, 0, right - LEAST);
  if (sides.includes("bottom")) next.bottom = within(bottom + dy, top + LEAST);
  if (sides.includes("right")) next.right = within(right + dx, left + LEAST);
  return next;
}

function moved({ top, left, bottom, right }, dx, dy) {
  const x = within(dx, -left, 1 - right);
  const y = within(dy, -top, 1 - bottom);
  return { top: top + y, left: left + x, bottom: bottom + y, right: right + x };
}

const between = ([ax, ay], [bx, by_]) => ({
  top: Math.min(ay, by_),
  left: Math.min(ax, bx),
  bottom: Math.max(ay, by_),
  right: Math.max(ax, bx),
});

// -> { set(crop) }; onchange(crop or null) hears what was chosen, crop = { top, left, bottom,
// right } in 0..1.
export function attach(figure, image, { onchange }) {
  style("crop.css");
  const move = make("button", "crop-move");
  const corners = CORNERS.map((name) => make("button", `crop-corner crop-${name.replace(" ", " crop-")}`));
  const box = make("div", "crop-box", { hidden: true }, move, ...corners);
  const area = make("div", "crop-area", {}, box);
  const toggle = make("button", "button second crop-toggle");
  const said = make("span", "unseen", { role: "status" });
  figure.append(area);
  by("part").append(toggle, said);

  let crop = null;
  let told = null; // what onchange has heard
  let drag = null; // { sides, from, box }
  let timer = 0;

  const words = () => {
    move.setAttribute("aria-label", t("crop.move"));
    corners.forEach((corner, at) => corner.setAttribute("aria-label", t(`crop.${CORNERS[at]}`)));
    toggle.textContent = t(crop ? "crop.clear" : "crop.start");
    toggle.title = t("crop.hint");
  };

  function draw(next) {
    crop = next && rounded(next);
    box.hidden = !crop;
    figure.classList.toggle("cropped", Boolean(crop));
    words();
    if (!crop) return;
    for (const [side, share] of Object.entries(crop)) {
      const inset = side === "bottom" || side === "right" ? 1 - share : share;
      box.style[side] = `${inset * 100}%`;
    }
  }

  function tell() {
    clearTimeout(timer);
    timer = 0;
    if (same(crop, told)) return;
    told = crop;
    said.textContent = crop ? spoken(crop) : t("crop.cleared");
    onchange(crop);
  }

  function change(next) {
    draw(next);
    clearTimeout(timer);
    timer = setTimeout(tell, PAUSE);
  }

  function clear() {
    drag = null;
    draw(null);
    tell();
    toggle.focus();
  }

  const at = ({ clientX, clientY }) => {
    const { left, top, width, height } = image.getBoundingClientRect();
    return [within((clientX - left) / width), within((clientY - top) / height)];
  };

  area.addEventListener("pointerdown", (event) => {
    if (event.button || !event.isPrimary) return;
    event.preventDefault(); // no picture is dragged away
    area.setPointerCapture(event.pointerId);
    const corner = corners.indexOf(event.target);
    const sides = corner >= 0 ? CORNERS[corner] : event.target === move ? "all" : null;
    if (sides) event.target.focus();
    drag = { sides, from: at(event), box: crop };
  });

  area.addEventListener("pointermove", (event) => {
    if (!drag || !event.isPrimary) return;
    const to = at(event);
    const [dx, dy] = [to[0] - drag.from[0], to[1] - drag.from[1]];
    if (drag.sides === "all") return change(moved(drag.box, dx, dy));
    if (drag.sides) return change(resized(drag.box, drag.sides, dx, dy));
    const drawn = between(drag.from, to);
    const large = drawn.right - drawn.left >= LEAST && drawn.bottom - drawn.top >= LEAST;
    if (large) change(drawn);
  });

  const end = () => {
    if (!drag) return;
    const drew = !drag.sides && crop !== drag.box;
    drag = null;
    tell();
    if (drew) move.focus({ preventScroll: true });
  };
  area.addEventListener("pointerup", end);
  area.addEventListener("pointercancel", end);

  box.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      event.preventDefault();
      return clear();
    }
    const arrow = ARROWS[event.key];
    if (!arrow || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const [dx, dy] = arrow.map((way) => way * STEP);
    const corner = corners.indexOf(event.target);
    if (corner >= 0) change(resized(crop, CORNERS[corner], dx, dy));
    else if (event.shiftKey) change(resized(crop, "bottom right", dx, dy));
    else change(moved(crop, dx, dy));
  });

  toggle.addEventListener("click", () => {
    if (crop) return clear();
    draw(FIRST);
    tell();
    move.focus();
  });

  onLanguage(words);
  words();
  return {
    // What the address says; not while somebody is pointing.
    set(next) {
      if (drag || timer) return;
      if (!same(next, told)) said.textContent = "";
      told = next;
      if (!same(next, crop)) draw(next);
    },
  };
}

const spoken = ({ top, left, bottom, right }) =>
  t("crop.said", {
    width: percent(right - left),
    height: percent(bottom - top),
    left: percent(left),
    top: percent(top),
  });
