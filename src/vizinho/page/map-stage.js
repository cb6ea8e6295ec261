// The canvas of the map: the part that is seen, frame by frame, drawn only when something changes.

import * as api from "./api.js";
import { still } from "./dom.js";
import { listen } from "./map-hands.js";
import { Grid, LARGEST, middles, PALETTE, Raster, shape } from "./map-draw.js";

const DEEPEST = 400;
const NAMED = 40; // more classes than this are not written on the map
const TILES = 96; // held at a time, a megabyte each
const AT_ONCE = 3;
const WHOLE = { x: 0.5, y: 0.5, zoom: 1 };

export class Stage {
  // on: { point(i, how), view(view), lost() }; i is -1 for none, how "over", "pin" or "walk".
  constructor(canvas, on) {
    Object.assign(this, { canvas, on, view: WHOLE, aim: WHOLE, chosen: -1, lit: null, map: null });
    this.context = canvas.getContext("2d");
    this.tiles = new Map();
    this.asked = [];
    this.loading = 0;
    new ResizeObserver(() => this.resize()).observe(canvas);
    listen(this);
  }

  take(map) {
    const [x, y, label] = [map.x, map.y, map.label].map((each) => Int32Array.from(each));
    const kept = this.map?.labels.join() === map.labels.join() ? this.seen : null;
    Object.assign(this, { map, grid: new Grid({ x, y, label }), chosen: -1, asked: [] });
    this.seen = kept ?? map.labels.map(() => true);
    this.middles = map.labels.length <= NAMED ? middles(this.grid, map.labels.length) : [];
    this.tiles.clear();
    this.near = Math.max(1, Math.sqrt(map.count) / 36); // from this zoom on, thumbnails
    this.colour();
    this.refresh();
  }

  colour() {
    const look = getComputedStyle(this.canvas);
    const dark = look.backgroundColor.match(/\d+/g)[0] < 128;
    Object.assign(this, { ink: look.color, ground: look.backgroundColor, accent: look.caretColor });
    this.palette = PALETTE[dark ? "dark" : "light"];
    const count = Math.min(this.map?.labels.length ?? 0, 70);
    this.colours = Array.from({ length: count }, (_, label) => this.colourOf(label));
    this.refresh();
  }

  colourOf(label) {
    return this.palette[label % this.palette.length];
  }

  resize() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (!width) return;
    this.ratio = Math.min(devicePixelRatio || 1, 2);
    Object.assign(this, { width, height });
    Object.assign(this.canvas, { width: Math.round(width * this.ratio), height: Math.round(height * this.ratio) });
    this.raster = new Raster(this.canvas.width, this.canvas.height);
    this.draw();
  }

  // Pixels a place is wide; where a point is on the screen; which place is there.
  get unit() {
    return (Math.min(this.width, this.height) * 0.9 * this.view.zoom) / LARGEST;
  }

  screen(x, y) {
    const { unit, view } = this;
    return [(x - view.x * LARGEST) * unit + this.width / 2, (y - view.y * LARGEST) * unit + this.height / 2];
  }

  of(i) {
    return this.screen(this.grid.x[i], this.grid.y[i]);
  }

  place(px, py) {
    const { unit, view } = this;
    return [(px - this.width / 2) / unit + view.x * LARGEST, (py - this.height / 2) / unit + view.y * LARGEST];
  }

  look({ x, y, zoom }, { told = true, slow = false } = {}) {
    const inside = (value) => Math.min(Math.max(value, -0.2), 1.2);
    const aim = { x: inside(x), y: inside(y), zoom: Math.min(Math.max(zoom, 0.5), DEEPEST) };
    cancelAnimationFrame(this.moving);
    if (told) this.on.view(aim);
    this.aim = aim; // where several quick steps go on from
    if (!slow || still() || !this.width) {
      this.view = aim;
      this.refresh();
      return;
    }
    const from = this.view;
    const start = performance.now();
    const step = (now) => {
      const share = Math.min(Math.max((now - start) / 260, 0), 1);
      const way = 1 - (1 - share) ** 3;
      const zoom = from.zoom * (aim.zoom / from.zoom) ** way;
      // Along the zoom, so that what is aimed at grows out of its place.
      const part = aim.zoom === from.zoom ? way : (1 / zoom - 1 / from.zoom) / (1 / aim.zoom - 1 / from.zoom);
      this.view = { zoom, x: from.x + (aim.x - from.x) * part, y: from.y + (aim.y - from.y) * part };
      this.draw();
      if (share < 1) this.moving = requestAnimationFrame(step);
      else this.view = aim;
    };
    this.moving = requestAnimationFrame(step);
  }

  // Around a place on the screen, which stays there.
  zoom(factor, [px, py] = this.middle(), slow = false) {
    const { x, y, zoom: before } = this.aim;
    const zoom = Math.min(Math.max(before * factor, 0.5), DEEPEST);
    const share = (1 - before / zoom) / (this.unit * LARGEST);
    this.look({ x: x + (px - this.width / 2) * share, y: y + (py - this.height / 2) * share, zoom }, { slow });
  }

  pan(dx, dy, slow = false) {
    const { x, y, zoom } = this.aim;
    this.look({ x: x - dx / this.unit / LARGEST, y: y - dy / this.unit / LARGEST, zoom }, { slow });
  }

  whole() {
    this.look(WHOLE, { slow: true });
  }

  // The chosen point, or the middle.
  middle() {
    return this.chosen >= 0 ? this.of(this.chosen) : [this.width / 2, this.height / 2];
  }

  // Such that all of these places are seen.
  fit(places) {
    const [xs, ys] = [0, 1].map((i) => places.map((each) => each[i] / LARGEST));
    const [left, right, top, bottom] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
    const zoom = Math.min(0.6 / Math.max(right - left, bottom - top, 1e-6), 12 * this.near);
    this.look({ x: (left + right) / 2, y: (top + bottom) / 2, zoom }, { slow: true });
  }

  choose(i, how) {
    if (i === this.chosen && how === "over") return;
    this.chosen = i;
    this.on.point(i, how);
    this.refresh();
  }

  refresh() {
    if (this.waiting || !this.width) return;
    this.waiting = true;
    requestAnimationFrame(() => this.draw());
  }

  draw() {
    this.waiting = false;
    if (!this.map || !this.width) return;
    const { context, raster, ratio, grid, seen, view, unit } = this;
    const [left, top] = this.screen(0, 0);
    this.radius = Math.min(Math.max(2.3 * (10_000 / this.map.count) ** 0.25, 1.3), 4) * Math.max(view.zoom, 1) ** 0.4;
    this.radius = Math.round(Math.min(this.radius, 7) * 4) / 4;
    raster.start(this.colours, this.ground, this.radius * ratio);
    const spread = { scale: unit * ratio, left: left * ratio, top: top * ratio };
    const box = this.box();
    grid.within(box, (from, to) => raster.points(grid, from, to, seen, spread));
    raster.put(context);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    if (this.lit) {
      Object.assign(context, { globalAlpha: 0.72, fillStyle: this.ground });
      context.fillRect(0, 0, this.width, this.height);
      context.globalAlpha = 1;
    }
    this.asked = [];
    this.side = 0;
    if (view.zoom >= this.near && !this.lit) this.pictures(box);
    else if (!this.lit) this.names();
    if (this.lit) this.query();
    if (this.chosen >= 0 && seen[grid.label[this.chosen]]) this.ring(this.chosen);
    this.fetch();
    const { dataset } = this.canvas;
    Object.assign(dataset, { zoom: view.zoom.toFixed(2), side: Math.round(this.side), lit: this.lit?.near.length ?? 0 });
  }

  box() {
    const [[left, top], [right, bottom]] = [this.place(0, 0), this.place(this.width, this.height)];
    return { left, top, right, bottom };
  }

  // Thumbnails where there is room: of each small square the first point.
  pictures(box) {
    const { grid, seen, unit } = this;
    this.side = Math.min(30 * (this.view.zoom / this.near) ** 0.6, 72);
    const cell = (this.side + 8) / unit;
    const taken = new Set();
    grid.within(box, (from, to) => {
      for (let n = from; n < to; n += 1) {
        const i = grid.order[n];
        if (!seen[grid.label[i]]) continue;
        const square = Math.floor(grid.y[i] / cell) * 65536 + Math.floor(grid.x[i] / cell);
        if (taken.has(square)) continue;
        taken.add(square);
        this.picture(i, ...this.of(i), this.side);
      }
    });
  }

  // Whether there was something to show of it.
  picture(i, x, y, side, edge = 2, colour = this.colourOf(this.grid.label[i])) {
    const { count, columns, side: part } = this.map.tile;
    const number = Math.floor(i / count);
    const tile = this.tiles.get(number);
    if (!tile?.complete || !tile.naturalWidth) {
      if (!tile && !this.asked.includes(number)) this.asked.push(number);
      return false;
    }
    // The newest at the end: the oldest go first.
    this.tiles.delete(number);
    this.tiles.set(number, tile);
    const { context } = this;
    const from = i % count;
    context.fillStyle = colour;
    context.fillRect(x - side / 2 - edge, y - side / 2 - edge, side + 2 * edge, side + 2 * edge);
    const at = [(from % columns) * part, Math.floor(from / columns) * part, part, part];
    context.drawImage(tile, ...at, x - side / 2, y - side / 2, side, side);
    return true;
  }

  fetch() {
    while (this.loading < AT_ONCE && this.asked.length) {
      const number = this.asked.shift();
      const tile = new Image();
      const { version } = this.map;
      this.loading += 1;
      this.tiles.set(number, tile);
      tile.src = api.tile(number, version);
      const done = () => {
        this.loading -= 1;
        if (this.tiles.size > TILES) this.tiles.delete(this.tiles.keys().next().value);
        this.refresh();
      };
      tile.decode().then(done, () => {
        if (this.map.version === version) this.on.lost();
        done();
      });
    }
  }

  names() {
    const { context, map, seen, colours } = this;
    Object.assign(context, { font: "600 14px system-ui, sans-serif", textAlign: "center", textBaseline: "middle" });
    Object.assign(context, { lineJoin: "round", lineWidth: 5, strokeStyle: this.ground, fillStyle: this.ink });
    const before = [];
    this.middles.forEach(([x, y], label) => {
      if (!seen[label] || map.labels[label] == null || colours.length < 2) return;
      const [px, py] = this.screen(x, y);
      const half = context.measureText(map.labels[label]).width / 2 + 4;
      if (before.some((each) => Math.abs(each[0] - px) < each[2] + half && Math.abs(each[1] - py) < 18)) return;
      before.push([px, py, half]);
      context.strokeText(map.labels[label], px, py);
      context.fillText(map.labels[label], px, py);
    });
  }

  // The query, its nearest, and a line to each.
  query() {
    const { context, lit } = this;
    const [x, y] = this.screen(...lit.at);
    Object.assign(context, { strokeStyle: this.accent, lineWidth: 1.5 });
    context.beginPath();
    for (const i of lit.near) {
      context.moveTo(x, y);
      context.lineTo(...this.of(i));
    }
    context.stroke();
    // Far off they would hide each other: then marks say where they are.
    const side = Math.min(22 * Math.max(this.view.zoom, 1) ** 0.35, 64);
    for (const i of [...lit.near].reverse()) {
      if (!this.picture(i, ...this.of(i), side)) this.mark(i, this.radius + 2);
    }
    const own = side * 1.3;
    context.fillStyle = this.accent;
    context.fillRect(x - own / 2 - 4, y - own / 2 - 4, own + 8, own + 8);
    if (lit.own >= 0 && this.picture(lit.own, x, y, own, 3, this.accent)) return;
    if (lit.image?.complete && lit.image.naturalWidth) {
      context.drawImage(lit.image, x - own / 2, y - own / 2, own, own);
    }
  }

  mark(i, r) {
    const { context } = this;
    shape(context, this.grid.label[i], ...this.of(i), r);
    context.fillStyle = this.colourOf(this.grid.label[i]);
    context.fill();
  }

  ring(i) {
    const { context } = this;
    const [x, y] = this.of(i);
    const side = Math.max(this.side, 26) * 1.25;
    if (!this.picture(i, x, y, side, 3)) this.mark(i, this.radius + 3);
    Object.assign(context, { strokeStyle: this.ink, lineWidth: 2 });
    context.strokeRect(x - side / 2 - 5, y - side / 2 - 5, side + 10, side + 10);
  }
}
