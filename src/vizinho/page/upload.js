// Adding many pictures: a few requests at a time, each with some files, with honest progress.

import * as api from "./api.js";
import { here, offerLabels } from "./care.js";
import { announce, make } from "./dom.js";
import { dropped, HIDDEN } from "./folders.js";
import { address, go } from "./router.js";
import { upload } from "./sending.js";
import { has, language, megabytes, number, onLanguage, plural, t } from "./words.js";

const AT_ONCE = 2; // requests; the server writes one after the other anyway
const FILES = 8; // in one request
const BYTES = 8_000_000;
const TRIES = 5;
const SHOWN = 200;

let parts = null;
let run = null;

export async function show(box) {
  if (!parts) build(box);
}

function build(box) {
  const input = (props) => make("input", "unseen", { type: "file", multiple: true, tabIndex: -1, "aria-hidden": "true", ...props });
  parts = {
    title: make("h2", "title"),
    zone: make("div", "zone"),
    invite: make("strong"),
    note: make("span", "quiet"),
    files: input({ accept: "image/*", id: "add-files" }),
    folder: input({ webkitdirectory: true, id: "add-folder" }),
    choose: make("button", "button"),
    chooseFolder: make("button", "button second"),
    labelText: make("span"),
    label: make("input", "", { type: "text", id: "add-label", autocomplete: "off" }),
    sending: make("div", "sending", { hidden: true }),
    bar: make("progress", "", { max: 1, value: 0 }),
    told: make("p", "status"),
    acts: make("div", "bar-acts"),
    list: make("div", "skips"),
  };
  const { zone, files, folder, choose, chooseFolder } = parts;
  zone.append(parts.invite, parts.note, make("div", "bar-acts", {}, choose, chooseFolder), files, folder);
  parts.sending.append(parts.bar, parts.told, parts.acts, parts.list);
  const label = make("label", "tool", {}, parts.labelText, parts.label);
  box.append(parts.title, label, zone, parts.sending);
  offerLabels(parts.label);
  for (const [button, field] of [[choose, files], [chooseFolder, folder]]) {
    button.addEventListener("click", () => field.click());
    field.addEventListener("change", () => {
      take([...field.files].map((file) => ({ file, name: file.webkitRelativePath || file.name })));
      field.value = "";
    });
  }
  dropping();
  onLanguage(draw);
  draw();
}

function dropping() {
  const over = async (event) => {
    if (!here("add") || !event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    parts.zone.classList.toggle("over", event.type === "dragover");
    if (event.type === "drop") take(await dropped(event.dataTransfer));
  };
  for (const name of ["dragover", "dragleave", "drop"]) document.addEventListener(name, over);
}

const skip = (name, code, reason = "") => run.skipped.push({ name, code, reason });

function take(found) {
  const files = found.filter(({ name }) => !HIDDEN.test(name.split("/").at(-1)));
  if (!files.length) return;
  if (!run || run.over) {
    run = { queue: [], files: 0, done: 0, bytes: 0, sent: 0, added: 0, there: [], skipped: [], failed: [], open: new Map(), requests: new Set(), over: false, begun: performance.now(), before: 0 };
  }
  const limit = api.about.model.max_upload_bytes;
  const good = [];
  for (const each of files) {
    const { type, size } = each.file;
    if (type && !type.startsWith("image/")) skip(each.name, "not_an_image");
    else if (!size) skip(each.name, "unreadable_image");
    else if (size > limit) skip(each.name, "too_large");
    else good.push(each);
  }
  queue(good);
}

function queue(files) {
  const label = parts.label.value.trim();
  run.files += files.length;
  run.bytes += files.reduce((sum, { file }) => sum + file.size, 0);
  const most = Math.min(BYTES, api.about.model.max_upload_bytes);
  let batch = null;
  for (const each of files) {
    if (!batch || batch.files.length === FILES || batch.size + each.file.size > most) {
      batch = { files: [], size: 0, label, tries: 0 };
      run.queue.push(batch);
    }
    batch.files.push(each);
    batch.size += each.file.size;
  }
  announce(plural("care.sending", run.files));
  work();
}

function work() {
  const now = run;
  while (now.open.size < AT_ONCE && now.queue.length) {
    const batch = now.queue.shift();
    now.open.set(batch, 0);
    send(now, batch).finally(() => {
      now.open.delete(batch);
      if (now === run) work();
    });
  }
  if (!now.open.size && !now.over) finish();
  draw();
}

const wait = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));

async function send(now, batch) {
  for (;;) {
    const { status, body, again } = await post(now, batch);
    now.open.set(batch, 0);
    if (now.over) return;
    if (status === 201) return took(now, batch, body);
    if (status === 413 && batch.files.length > 1) {
      // What stands before the server takes less: one by one, then.
      for (const each of batch.files) now.queue.push({ files: [each], size: each.file.size, label: batch.label, tries: 0 });
      return;
    }
    if (status >= 400 && status < 500 && status !== 429) {
      const { code, message } = body?.error ?? { code: status === 413 ? "too_large" : "other", message: "" };
      for (const { name } of batch.files) now.skipped.push({ name, code, reason: message });
      return passed(now, batch);
    }
    const code = body?.error?.code ?? "away";
    if (code === "disk_full" || (batch.tries += 1) >= TRIES) {
      now.failed.push(...batch.files.map((each) => ({ ...each, code })));
      return passed(now, batch);
    }
    await wait(again || 2 ** batch.tries / 2);
    if (now.over) return;
  }
}

function post(now, batch) {
  const form = new FormData();
  if (batch.label) form.append("label", batch.label);
  form.append("keep_names", "true");
  for (const { file, name } of batch.files) form.append("image", file, name);
  return upload(form, now.requests, (share) => {
    now.open.set(batch, batch.size * share);
    draw();
  });
}

function took(now, batch, body) {
  now.added += body.added;
  now.there.push(...body.there);
  now.skipped.push(...body.skipped);
  api.counted(body.added);
  passed(now, batch);
}

function passed(now, batch) {
  now.done += batch.files.length;
  now.sent += batch.size;
}

function stop() {
  run.over = run.stopped = true;
  run.queue.length = 0;
  run.requests.forEach((request) => request.abort());
  finish();
}

function finish() {
  run.over = true;
  draw();
  announce(summary());
}

function again() {
  const files = run.failed.splice(0);
  run.over = run.stopped = false;
  run.done -= files.length;
  run.files -= files.length;
  for (const { file } of files) {
    run.sent -= file.size;
    run.bytes -= file.size;
  }
  Object.assign(run, { begun: performance.now(), before: run.sent });
  queue(files);
}

function summary() {
  const said = [plural("care.added", run.added)];
  if (run.there.length) said.push(plural("care.there", run.there.length));
  if (run.skipped.length) said.push(plural("care.skipped", run.skipped.length));
  if (run.failed.length) said.push(plural("care.failed", run.failed.length));
  if (run.stopped) said.push(t("care.stopped", { n: number(run.files - run.done) }));
  return `${said.join(", ")}.`;
}

function sofar() {
  const sent = run.sent + [...run.open.values()].reduce((sum, bytes) => sum + bytes, 0);
  const seconds = (performance.now() - run.begun) / 1000;
  const rate = (sent - run.before) / seconds;
  parts.bar.value = run.bytes ? sent / run.bytes : 0;
  const left = (run.bytes - sent) / rate;
  return [
    t("care.of.files", { done: number(run.done), of: number(run.files) }),
    t("care.of.bytes", { done: megabytes(sent), of: megabytes(run.bytes) }),
    seconds > 1 ? `${megabytes(rate)}/s` : "",
    seconds > 2 && Number.isFinite(left) ? time(left) : "",
  ].filter(Boolean).join(" · ");
}

const time = (seconds) =>
  seconds < 90 ? t("care.seconds", { n: number(Math.ceil(seconds)) }) : t("care.minutes", { n: number(Math.ceil(seconds / 60)) });

function reason({ code, reason: text }) {
  if (code === "image_too_large") return [t("error.image_too_large"), t("error.image_too_large.do")].join(". ");
  return has(`error.${code}`) && code !== "other" ? t(`error.${code}`) : text;
}

function draw() {
  if (!parts) return;
  parts.title.textContent = t("care.part.add");
  parts.labelText.textContent = t("care.label.all");
  parts.invite.textContent = t("care.drop");
  parts.note.textContent = t("search.formats");
  parts.choose.textContent = t("care.files");
  parts.chooseFolder.textContent = t("care.folder");
  parts.files.setAttribute("aria-label", t("care.files"));
  parts.folder.setAttribute("aria-label", t("care.folder"));
  parts.bar.setAttribute("aria-label", t("care.part.add"));
  parts.sending.hidden = !run;
  if (!run) return;
  parts.bar.hidden = run.over;
  parts.told.textContent = run.over ? summary() : sofar();
  const act = (name, fn) => {
    const button = make("button", "button second", { textContent: t(name) });
    button.addEventListener("click", fn);
    return button;
  };
  const acts = run.over
    ? [run.failed.length && act("care.retry", again), run.added && act("care.see", () => go({ part: null, label: null, page: null }))]
    : [act("care.stop", stop)];
  // Not made anew while nothing changed: the focus would be lost.
  const shape = `${language()} ${run.over} ${run.failed.length} ${run.added > 0}`;
  if (parts.acts.dataset.shape !== shape) parts.acts.replaceChildren(...acts.filter(Boolean));
  parts.acts.dataset.shape = shape;
  lists();
}

function lists() {
  const shape = `${language()} ${run.skipped.length} ${run.there.length} ${run.failed.length}`;
  if (parts.list.dataset.shape === shape) return;
  parts.list.dataset.shape = shape;
  const section = (title, lines, open) => {
    if (!lines.length) return null;
    const shown = lines.slice(0, SHOWN).map((line) => make("li", "", {}, ...line));
    if (lines.length > SHOWN) shown.push(make("li", "", { textContent: plural("care.more", lines.length - SHOWN) }));
    return make("details", "", { open }, make("summary", "", { textContent: title }), make("ul", "", {}, ...shown));
  };
  const named = (name, what) => [make("b", "", { textContent: name }), what];
  const link = (key) => make("a", "link", { textContent: key, href: address({ view: null, part: null, key }) });
  parts.list.replaceChildren(
    ...[
      section(plural("care.skipped", run.skipped.length), run.skipped.map((each) => named(each.name, reason(each))), true),
      section(plural("care.failed", run.failed.length), run.failed.map((each) => named(each.name, reason(each))), true),
      section(plural("care.there", run.there.length), run.there.map(({ name, key }) => named(name, link(key))), false),
    ].filter(Boolean),
  );
}

window.addEventListener("beforeunload", (event) => {
  if (run && !run.over) event.preventDefault();
});
