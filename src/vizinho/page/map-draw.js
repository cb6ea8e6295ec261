// How the map is drawn: marks as pixels, so that 100,000 of them take milliseconds on any machine;
// and which points are where, found by a grid.

// Any two are apart for people with and without colour blindness: vizinho/report/embedding_map.py.
export const PALETTE = {
  light: "#0c64a8 #ba4900 #00946d #d368b1 #999521 #33207f #0097f7 #775a6c #881939 #111111".split(" "),
  dark: "#745dd1 #eba008 #009961 #c86db4 #ffe553 #8c9aff #eb5100 #bfaaaf #97e0ff #ffffff".split(" "),
};

export const LARGEST = 65535; // places are whole numbers up to this
const CELLS = 128; // a side of the grid
const WIDE = LARGEST / CELLS + 1e-9;

const polygon = (context, x, y, r, corners) => {
  corners.forEach(([dx, dy], i) => context[i ? "lineTo" : "moveTo"](x + dx * r, y + dy * r));
  context.closePath();
};
const up = [[0, -1.3], [1.2, 1], [-1.2, 1]];
const plus = [[-0.5, -1.3], [0.5, -1.3], [0.5, -0.5], [1.3, -0.5], [1.3, 0.5], [0.5, 0.5], [0.5, 1.3], [-0.5, 1.3],
  [-0.5, 0.5], [-1.3, 0.5], [-1.3, -0.5], [-0.5, -0.5]];
// Seven shapes and ten colours: no two of seventy classes look alike, in grey neither of seven.
const SHAPES = [
  (context, x, y, r) => context.arc(x, y, r, 0, 7),
  (context, x, y, r) => context.rect(x - r * 0.9, y - r * 0.9, r * 1.8, r * 1.8),
  (...at) => polygon(...at, up),
  (...at) => polygon(...at, [[0, -1.4], [1.4, 0], [0, 1.4], [-1.4, 0]]),
  (...at) => polygon(...at, up.map(([x, y]) => [x, -y])),
  (...at) => polygon(...at, plus),
  (...at) => polygon(...at, [[-1.3, -1.1], [1.3, -1.1], [0, 0], [1.3, 1.1], [-1.3, 1.1], [0, 0]]),
];

export function shape(context, label, x, y, r) {
  context.beginPath();
  SHAPES[label % SHAPES.length](context, x, y, r);
}

// A mark as offsets into pixels `width` wide: those that are whole, and its edges.
function stamp(label, colour, ground, r, width) {
  const half = Math.ceil(r * 1.5 + 1);
  const side = 2 * half + 1;
  const context = new OffscreenCanvas(side, side).getContext("2d", { willReadFrequently: true });
  shape(context, label, half + 0.5, half + 0.5, r);
  // A faint rim of the ground parts marks that lie upon each other.
  Object.assign(context, { strokeStyle: ground, lineWidth: Math.min(2, r * 0.6), fillStyle: colour });
  context.globalAlpha = 0.5;
  context.stroke();
  context.globalAlpha = 1;
  context.fill();
  const found = new Uint32Array(context.getImageData(0, 0, side, side).data.buffer);
  const place = (i) => (Math.floor(i / side) - half) * width + (i % side) - half;
  const all = [...found.keys()];
  const whole = all.filter((i) => found[i] >>> 24 > 235);
  const edge = all.filter((i) => found[i] >>> 24 <= 235 && found[i] >>> 24 > 40);
  // Of an edge: what is kept of the pixel below, and what comes on top, two colours in one number.
  const share = (i) => (found[i] >>> 24) + 1;
  return {
    colour: opaque(colour),
    whole: Int32Array.from(whole, place),
    edge: Int32Array.from(edge, place),
    kept: Int32Array.from(edge, (i) => 256 - share(i)),
    redBlue: Int32Array.from(edge, (i) => Math.imul(found[i] & 0xff00ff, share(i))),
    green: Int32Array.from(edge, (i) => ((found[i] >>> 8) & 255) * share(i)),
  };
}

// "#0c64a8" or "rgb(12, 100, 168)" as a pixel.
export function opaque(colour) {
  const [red, green, blue] = colour.startsWith("#")
    ? [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16))
    : colour.match(/\d+/g).map(Number);
  return (0xff000000 | (blue << 16) | (green << 8) | red) >>> 0;
}

// Pixels to draw marks into; MARGIN more on each side, so that no mark has to be cut.
const MARGIN = 32;
export class Raster {
  constructor(width, height) {
    this.width = width + 2 * MARGIN;
    this.height = height + 2 * MARGIN;
    this.image = new ImageData(this.width, this.height);
    this.pixels = new Uint32Array(this.image.data.buffer);
  }

  // Begin anew, with marks of these colours and this radius.
  start(colours, ground, r) {
    this.pixels.fill(opaque(ground));
    const name = `${colours} ${ground} ${r} ${this.width}`;
    if (this.name !== name) {
      this.marks = colours.map((colour, label) => stamp(label, colour, ground, r, this.width));
      this.name = name;
    }
  }

  // Marks of the points `from` to `to` of the grid's order, which are at x * scale + left.
  points({ x, y, label, order }, from, to, seen, { scale, left, top }) {
    const { pixels, marks, width, height } = this;
    for (let n = from; n < to; n += 1) {
      const i = order[n];
      if (!seen[label[i]]) continue;
      const px = Math.round(x[i] * scale + left) + MARGIN;
      const py = Math.round(y[i] * scale + top) + MARGIN;
      if (px < MARGIN / 2 || py < MARGIN / 2 || px >= width - MARGIN / 2 || py >= height - MARGIN / 2) continue;
      const { colour, whole, edge, kept, redBlue, green } = marks[label[i] % marks.length];
      const middle = py * width + px;
      for (let j = 0; j < whole.length; j += 1) pixels[middle + whole[j]] = colour;
      for (let j = 0; j < edge.length; j += 1) {
        const below = pixels[middle + edge[j]];
        const both = ((Math.imul(below & 0xff00ff, kept[j]) + redBlue[j]) >>> 8) & 0xff00ff;
        pixels[middle + edge[j]] = 0xff000000 | both | ((((below >>> 8) & 255) * kept[j] + green[j]) & 0xff00);
      }
    }
  }

  put(context) {
    context.putImageData(this.image, -MARGIN, -MARGIN);
  }
}

const cellOf = (value) => Math.min(Math.max(Math.floor(value / WIDE), 0), CELLS - 1);

// Points by cell: `order` holds their numbers, `starts` where each cell's begin.
export class Grid {
  constructor({ x, y, label }) {
    Object.assign(this, { x, y, label });
    const cell = x.map((_, i) => cellOf(y[i]) * CELLS + cellOf(x[i]));
    this.starts = new Uint32Array(CELLS * CELLS + 1);
    for (const each of cell) this.starts[each + 1] += 1;
    for (let i = 0; i < CELLS * CELLS; i += 1) this.starts[i + 1] += this.starts[i];
    const next = this.starts.slice();
    this.order = new Uint32Array(x.length);
    cell.forEach((each, i) => {
      this.order[next[each]] = i;
      next[each] += 1;
    });
  }

  // Calls fn(from, to) for each row of cells that a box of places touches.
  within({ left, top, right, bottom }, fn) {
    for (let row = cellOf(top); row <= cellOf(bottom); row += 1) {
      fn(this.starts[row * CELLS + cellOf(left)], this.starts[row * CELLS + cellOf(right) + 1]);
    }
  }

  // The point nearest to a place, at most `reach` away, or -1.
  nearest(px, py, reach, seen) {
    let best = -1;
    let least = reach * reach;
    this.within({ left: px - reach, top: py - reach, right: px + reach, bottom: py + reach }, (from, to) => {
      for (let n = from; n < to; n += 1) {
        const i = this.order[n];
        const apart = (this.x[i] - px) ** 2 + (this.y[i] - py) ** 2;
        if (apart <= least && seen[this.label[i]]) [best, least] = [i, apart];
      }
    });
    return best;
  }

  // The next point in a direction: near, and more ahead than beside.
  step(start, dx, dy, seen) {
    const { x, y } = this;
    let best = -1;
    let least = Infinity;
    for (let i = 0; i < x.length; i += 1) {
      const [right, down] = [x[i] - x[start], y[i] - y[start]];
      const ahead = right * dx + down * dy;
      const far = ahead + 2 * Math.abs(right * dy + down * dx);
      if (ahead >= 1 && far < least && far <= 3 * ahead && seen[this.label[i]]) [best, least] = [i, far];
    }
    return best;
  }
}

// Where a class is written: the middle of its points, across and down.
export function middles({ x, y, label }, count) {
  const of = Array.from({ length: count }, () => [[], []]);
  label.forEach((each, i) => {
    if (each >= count) return;
    of[each][0].push(x[i]);
    of[each][1].push(y[i]);
  });
  const middle = (list) => list.sort((a, b) => a - b)[list.length >> 1];
  return of.map((both) => both.map(middle));
}
