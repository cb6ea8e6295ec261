// Hands on the map: mouse, wheel, fingers and keys.

import { LARGEST } from "./map-draw.js";

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const STILL = 4; // pixels within which a press is no drag
const EDGE = 40;

export function listen(stage) {
  const { canvas } = stage;
  const on = (name, fn, options) =>
    canvas.addEventListener(name, (event) => stage.map?.count && fn(event), options);
  on("keydown", (event) => {
    if (!event.ctrlKey && !event.metaKey && !event.altKey && key(stage, event)) event.preventDefault();
  });
  on("wheel", (event) => {
    event.preventDefault();
    const way = Math.max(-120, Math.min(120, event.deltaY * (event.deltaMode ? 30 : 1)));
    stage.zoom(Math.exp(-way * (event.ctrlKey ? 0.01 : 0.0025)), [event.offsetX, event.offsetY]);
  }, { passive: false });
  on("dblclick", (event) => stage.zoom(2, [event.offsetX, event.offsetY], true));
  fingers(stage, on);
}

function fingers(stage, on) {
  const down = new Map();
  let moved = 0;
  on("pointerdown", (event) => {
    if (event.button) return;
    stage.canvas.setPointerCapture(event.pointerId);
    down.set(event.pointerId, event);
    moved = down.size > 1 ? Infinity : 0;
  });
  on("pointermove", (event) => {
    const last = down.get(event.pointerId);
    if (!last) return stage.choose(at(stage, event), "over");
    const [dx, dy] = [event.offsetX - last.offsetX, event.offsetY - last.offsetY];
    moved += Math.abs(dx) + Math.abs(dy);
    const other = [...down.values()].find(({ pointerId }) => pointerId !== event.pointerId);
    if (other) {
      const apart = (each) => Math.hypot(each.offsetX - other.offsetX, each.offsetY - other.offsetY);
      stage.zoom(apart(event) / Math.max(apart(last), 1), [other.offsetX, other.offsetY]);
    } else if (moved > STILL) stage.pan(dx, dy);
    down.set(event.pointerId, event);
  });
  on("pointerup", (event) => {
    if (down.delete(event.pointerId) && moved <= STILL) stage.choose(at(stage, event), "pin");
  });
  on("pointercancel", (event) => down.delete(event.pointerId));
  on("pointerleave", () => down.size || stage.choose(-1, "over"));
}

function at(stage, { offsetX, offsetY }) {
  const reach = Math.max(stage.side * 0.6, 12) / stage.unit;
  return stage.grid.nearest(...stage.place(offsetX, offsetY), reach, stage.seen);
}

// Whether the key meant something.
function key(stage, { key: name, shiftKey }) {
  const arrow = ARROWS[name];
  if (arrow && shiftKey) stage.pan(arrow[0] * -80, arrow[1] * -80, true);
  else if (arrow) walk(stage, arrow);
  else if (name === "+" || name === "=") stage.zoom(1.6, stage.middle(), true);
  else if (name === "-") stage.zoom(1 / 1.6, stage.middle(), true);
  else if (name === "0") stage.whole();
  else if (name === "Escape") stage.choose(-1, "pin");
  else if (name === "Enter" && stage.chosen >= 0) stage.on.point(stage.chosen, "enter");
  else return false;
  return true;
}

// From point to point.
function walk(stage, [dx, dy]) {
  const { grid, seen, chosen, width, height } = stage;
  const next = chosen >= 0 && seen[grid.label[chosen]]
    ? grid.step(chosen, dx, dy, seen)
    : grid.nearest(...stage.place(width / 2, height / 2), LARGEST * 2, seen);
  if (next < 0) return;
  stage.choose(next, "walk");
  const [x, y] = stage.of(next);
  const outside = x < EDGE || y < EDGE || x > width - EDGE || y > height - EDGE;
  if (outside) stage.pan(width / 2 - x, height / 2 - y, true);
}
