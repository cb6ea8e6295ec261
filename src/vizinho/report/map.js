"use strict";
// The map of the embeddings: one canvas over the data that embedding_map.py wrote into the page.
(() => {
  const $ = (id) => document.getElementById(id);
  const data = JSON.parse($("map-data").textContent);
  const canvas = $("map-canvas");
  const context = canvas.getContext("2d");
  const atlas = $("map-atlas");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const count = data.x.length;
  const shown = data.classes.map(() => true);
  const view = { zoom: 1, x: 0.5, y: 0.5 };
  const LARGEST_ZOOM = 60;
  const PICTURES_FROM = 3;
  let width = 1;
  let height = 1;
  let chosen = -1;
  let waiting = false;

  const palette = () => data.palette[dark.matches ? "dark" : "light"];
  const colour = (label) => palette()[label % palette().length];
  const unit = () => Math.min(width, height) * 0.94 * view.zoom;
  const screenX = (i) => (data.x[i] / 10000 - view.x) * unit() + width / 2;
  const screenY = (i) => (data.y[i] / 10000 - view.y) * unit() + height / 2;
  const wrong = (i) => data.near[i] !== data.label[i];
  const visible = (i) => shown[data.label[i]] && (!$("map-wrong").checked || wrong(i));
  const side = () => Math.min(Math.max(11 * view.zoom ** 0.75, 11), 72);
  const radius = () => Math.min((width < 500 ? 2 : 2.8) * Math.max(view.zoom, 1) ** 0.4, 9);

  // Seven shapes and ten colours: no two of seventy classes look alike, in grey neither of seven.
  const SHAPES = [
    (x, y, r) => context.arc(x, y, r, 0, 7),
    (x, y, r) => context.rect(x - r * 0.9, y - r * 0.9, r * 1.8, r * 1.8),
    (x, y, r) => polygon([[x, y - r * 1.3], [x + r * 1.2, y + r], [x - r * 1.2, y + r]]),
    (x, y, r) => polygon([[x, y - r * 1.4], [x + r * 1.4, y], [x, y + r * 1.4], [x - r * 1.4, y]]),
    (x, y, r) => polygon([[x, y + r * 1.3], [x + r * 1.2, y - r], [x - r * 1.2, y - r]]),
    (x, y, r) => {
      context.rect(x - r * 1.4, y - r * 0.5, r * 2.8, r);
      context.rect(x - r * 0.5, y - r * 1.4, r, r * 2.8);
    },
    (x, y, r) => polygon([[x - r * 1.4, y - r], [x + r * 1.4, y - r], [x, y], [x + r * 1.4, y + r],
      [x - r * 1.4, y + r], [x, y]]),
  ];

  function polygon(corners) {
    corners.forEach(([x, y], i) => (i ? context.lineTo(x, y) : context.moveTo(x, y)));
    context.closePath();
  }

  function withPictures() {
    const way = $("map-show").value;
    return way === "pictures" || (way === "auto" && view.zoom >= PICTURES_FROM);
  }

  function picture(target, i, x, y, size) {
    const column = (i % data.columns) * data.side;
    const row = Math.floor(i / data.columns) * data.side;
    target.drawImage(atlas, column, row, data.side, data.side, x, y, size, size);
  }

  function draw() {
    waiting = false;
    const ratio = devicePixelRatio || 1;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    const pictures = withPictures();
    const size = pictures ? side() : radius() * 2;
    context.imageSmoothingEnabled = size < data.side;
    for (let i = 0; i < count; i += 1) {
      const x = screenX(i);
      const y = screenY(i);
      if (!visible(i) || x < -size || y < -size || x > width + size || y > height + size) continue;
      mark(i, x, y, size, pictures);
    }
    if (chosen < 0 || !visible(chosen)) return;
    mark(chosen, screenX(chosen), screenY(chosen), size * 1.25, pictures);
    context.strokeStyle = getComputedStyle(canvas).color;
    context.lineWidth = 2;
    context.beginPath();
    const reach = pictures ? size * 0.95 : size + 3;
    context.arc(screenX(chosen), screenY(chosen), reach, 0, 7);
    context.stroke();
  }

  function mark(i, x, y, size, pictures) {
    context.fillStyle = colour(data.label[i]);
    if (pictures) {
      const edge = size > 24 ? 3 : 2;
      context.fillRect(x - size / 2 - edge, y - size / 2 - edge, size + 2 * edge, size + 2 * edge);
      picture(context, i, x - size / 2, y - size / 2, size);
      return;
    }
    context.beginPath();
    SHAPES[data.label[i] % SHAPES.length](x, y, size / 2);
    context.fill();
  }

  function refresh() {
    if (!waiting) requestAnimationFrame(draw);
    waiting = true;
    canvas.dataset.zoom = view.zoom.toFixed(3);
  }

  function zoomBy(factor, x = width / 2, y = height / 2) {
    const before = unit();
    view.zoom = Math.min(Math.max(view.zoom * factor, 0.5), LARGEST_ZOOM);
    // The place under the pointer stays there.
    view.x += (x - width / 2) * (1 / before - 1 / unit());
    view.y += (y - height / 2) * (1 / before - 1 / unit());
    refresh();
  }

  function panBy(x, y) {
    view.x = Math.min(Math.max(view.x - x / unit(), -0.2), 1.2);
    view.y = Math.min(Math.max(view.y - y / unit(), -0.2), 1.2);
    refresh();
  }

  function fit() {
    Object.assign(view, { zoom: 1, x: 0.5, y: 0.5 });
    refresh();
  }

  function choose(i) {
    if (i === chosen) return;
    chosen = i;
    $("map-card").hidden = i < 0;
    $("map-hint").hidden = i >= 0;
    if (i >= 0) {
      const target = $("map-picture").getContext("2d");
      target.imageSmoothingEnabled = false;
      picture(target, i, 0, 0, $("map-picture").width);
      $("map-class").textContent = data.classes[data.label[i]];
      $("map-name").textContent = data.name[i];
      const found = `${data.classes[data.near[i]]} at ${data.distance[i].toFixed(2)}`;
      $("map-near").textContent = `nearest: ${found}${wrong(i) ? ", wrong" : ""}`;
      $("map-near").className = wrong(i) ? "wrong" : "";
    }
    refresh();
  }

  function nearestTo(x, y, reach) {
    let best = -1;
    let least = reach * reach;
    for (let i = 0; i < count; i += 1) {
      if (!visible(i)) continue;
      const apart = (screenX(i) - x) ** 2 + (screenY(i) - y) ** 2;
      if (apart <= least) [best, least] = [i, apart];
    }
    return best;
  }

  // The next picture in a direction: near, and more ahead than beside.
  function step(dx, dy) {
    if (chosen < 0 || !visible(chosen)) {
      choose(nearestTo(width / 2, height / 2, Infinity));
      return;
    }
    const [x, y] = [screenX(chosen), screenY(chosen)];
    let best = -1;
    let least = Infinity;
    for (let i = 0; i < count; i += 1) {
      const [right, down] = [screenX(i) - x, screenY(i) - y];
      const ahead = right * dx + down * dy;
      const beside = Math.abs(right * dy) + Math.abs(down * dx);
      if (i === chosen || !visible(i) || ahead < 1 || ahead < beside) continue;
      if (ahead + 2 * beside < least) [best, least] = [i, ahead + 2 * beside];
    }
    if (best < 0) return;
    choose(best);
    const [toX, toY] = [screenX(best), screenY(best)];
    if (toX < 20 || toY < 20 || toX > width - 20 || toY > height - 20) {
      panBy(width / 2 - toX, height / 2 - toY);
    }
  }

  const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const arrow = ARROWS[event.key];
    if (arrow && event.shiftKey) panBy(arrow[0] * -60, arrow[1] * -60);
    else if (arrow) step(...arrow);
    else if (event.key === "+" || event.key === "=") zoomBy(1.5);
    else if (event.key === "-") zoomBy(1 / 1.5);
    else if (event.key === "0") fit();
    else if (event.key === "Escape") choose(-1);
    else return;
    event.preventDefault();
  });

  // Without focus the wheel scrolls the page, as everywhere else on it.
  canvas.addEventListener("wheel", (event) => {
    if (document.activeElement !== canvas && !event.ctrlKey) return;
    event.preventDefault();
    zoomBy(Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.0015)), event.offsetX, event.offsetY);
  }, { passive: false });

  const fingers = new Map();
  canvas.addEventListener("pointerdown", (event) => {
    canvas.focus({ preventScroll: true });
    canvas.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, event);
    choose(nearestTo(event.offsetX, event.offsetY, Math.max(14, side() * 0.7)));
  });
  canvas.addEventListener("pointermove", (event) => {
    const last = fingers.get(event.pointerId);
    if (!last) {
      choose(nearestTo(event.offsetX, event.offsetY, withPictures() ? side() * 0.7 : 14));
      return;
    }
    const other = [...fingers.values()].find((each) => each.pointerId !== event.pointerId);
    if (other) {
      const apart = (each) => Math.hypot(each.offsetX - other.offsetX, each.offsetY - other.offsetY);
      zoomBy(apart(event) / Math.max(apart(last), 1), other.offsetX, other.offsetY);
    } else panBy(event.offsetX - last.offsetX, event.offsetY - last.offsetY);
    fingers.set(event.pointerId, event);
  });
  for (const end of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(end, (event) => fingers.delete(event.pointerId));
  }

  function legend() {
    data.classes.forEach((name, label) => {
      const entry = document.createElement("label");
      const box = document.createElement("input");
      box.type = "checkbox";
      box.checked = true;
      box.addEventListener("change", () => {
        shown[label] = box.checked;
        refresh();
      });
      const sign = document.createElement("span");
      sign.className = "sign";
      entry.append(box, sign, name);
      $("map-legend").append(entry);
    });
    signs();
  }

  // A class's sign is the mark it has on the map, drawn by the same code and kept as a picture.
  function signs() {
    const ratio = devicePixelRatio || 1;
    [...$("map-legend").querySelectorAll(".sign")].forEach((sign, label) => {
      canvas.width = canvas.height = 16 * ratio;
      context.setTransform(ratio, 0, 0, ratio, 0, 0);
      context.fillStyle = colour(label);
      context.beginPath();
      SHAPES[label % SHAPES.length](8, 8, 5);
      context.fill();
      sign.style.backgroundImage = `url(${canvas.toDataURL()})`;
    });
    resize();
  }

  function resize() {
    ({ clientWidth: width, clientHeight: height } = canvas);
    const ratio = devicePixelRatio || 1;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    draw();
    refresh();
  }

  function every(on) {
    shown.fill(on);
    for (const box of $("map-legend").querySelectorAll("input")) box.checked = on;
    refresh();
  }

  $("map-in").addEventListener("click", () => zoomBy(1.5));
  $("map-out").addEventListener("click", () => zoomBy(1 / 1.5));
  $("map-fit").addEventListener("click", fit);
  $("map-all").addEventListener("click", () => every(true));
  $("map-none").addEventListener("click", () => every(false));
  $("map-show").addEventListener("change", refresh);
  $("map-wrong").addEventListener("change", refresh);
  dark.addEventListener("change", signs);
  $("map").hidden = false;
  legend();
  new ResizeObserver(resize).observe(canvas);
  atlas.decode().then(refresh, refresh);
})();
