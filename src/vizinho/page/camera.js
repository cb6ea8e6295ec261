// A picture from the camera: seen live in a dialog where the browser allows it, else through the
// device's own camera app.

import { make } from "./dom.js";
import { modal } from "./router.js";
import { t } from "./words.js";

const QUALITY = 0.92;

// -> a File, or null when they thought better of it.
export function take() {
  return new Promise((done) => open(done));
}

function open(done) {
  const video = make("video", "camera-live", { muted: true, playsInline: true, autoplay: true });
  video.setAttribute("aria-label", t("camera.live"));
  const note = make("p", "camera-note", { textContent: t("camera.wait"), role: "status" });
  const shoot = make("button", "button", { textContent: t("camera.take"), disabled: true });
  const turn = make("button", "button second", { textContent: t("camera.turn"), hidden: true });
  const app = make("button", "button", { textContent: t("camera.app"), hidden: true });
  const cancel = make("button", "button second", { textContent: t("camera.cancel") });
  const title = make("h2", "title", { id: "camera-title", textContent: t("camera.title") });
  const row = make("div", "camera-row", {}, shoot, app, turn, cancel);
  const dialog = make("dialog", "camera", { "aria-labelledby": "camera-title" }, title, video, note, row);
  let stream = null;
  let facing = "environment";
  let answer = null;

  const stop = () => stream?.getTracks().forEach((track) => track.stop());

  async function start() {
    stop();
    try {
      // Absent where the page came over plain http from another machine.
      if (!navigator.mediaDevices) throw new DOMException("", "NotSupportedError");
      stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: facing }, audio: false });
      if (!dialog.open) return stop();
      video.srcObject = stream;
      await video.play();
      note.textContent = "";
      shoot.disabled = false;
      shoot.focus();
      const all = await navigator.mediaDevices.enumerateDevices();
      turn.hidden = all.filter(({ kind }) => kind === "videoinput").length < 2;
    } catch (error) {
      if (!dialog.open) return;
      const known = ["NotAllowedError", "NotFoundError", "NotReadableError"].includes(error.name);
      note.textContent = t(known ? `camera.${error.name}` : "camera.unsupported");
      shoot.hidden = video.hidden = true;
      app.hidden = false;
      app.focus();
    }
  }

  shoot.addEventListener("click", async () => {
    answer = await frame(video);
    dialog.close();
  });
  turn.addEventListener("click", () => {
    facing = facing === "environment" ? "user" : "environment";
    start();
  });
  app.addEventListener("click", () => {
    const input = make("input", "", { type: "file", accept: "image/*" });
    input.setAttribute("capture", "environment"); // a desktop's browser has no such property
    input.addEventListener("change", () => {
      answer = input.files[0] ?? null;
      dialog.close();
    });
    input.click();
  });
  cancel.addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", stop);
  document.body.append(dialog);
  modal(dialog).then(() => done(answer));
  start();
}

async function frame(video) {
  const canvas = make("canvas", "", { width: video.videoWidth, height: video.videoHeight });
  canvas.getContext("2d").drawImage(video, 0, 0);
  const blob = await new Promise((made) => canvas.toBlob(made, "image/jpeg", QUALITY));
  return new File([blob], `${t("camera.name")}.jpg`, { type: "image/jpeg" });
}
