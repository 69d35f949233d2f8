// Choosing an image: dropped, pasted, from a file, the camera, or the prepared dataset.

import { at, json } from "./api.js";
import { h, select } from "./dom.js";
import { whole } from "./format.js";
import { go, read } from "./state.js";
import { add, keep, store } from "./store.js";
import { rove } from "./tiles.js";
import { wordOf } from "./words.js";

const A_PAGE = 48;

/** Show what went wrong at the bottom of the page, or nothing. */
export function errorLine(text) {
  const line = document.getElementById("error-line");
  line.hidden = !text;
  line.textContent = text ?? "";
}

/** Upload a file or photograph and look at it. */
async function use(blob, name) {
  errorLine(null);
  document.body.classList.add("busy");
  try {
    const image = await add(blob, name);
    go({
      ...read(),
      section: ["image", "network", "why", "compare"].includes(read().section) ? read().section : "image",
      parts: [],
      image: image.id,
    });
  } catch (error) {
    errorLine(error.message);
  } finally {
    document.body.classList.remove("busy");
  }
}

/** Take files that are dropped anywhere on the page or pasted into it. */
export function takeFiles() {
  const overlay = document.getElementById("overlay");
  const hasFile = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  let inside = 0; // dragenter and dragleave come for every element on the way
  window.addEventListener("dragenter", (event) => {
    if (hasFile(event)) overlay.hidden = ++inside === 0;
  });
  window.addEventListener("dragleave", (event) => {
    if (hasFile(event)) overlay.hidden = --inside <= 0;
  });
  window.addEventListener("dragover", (event) => hasFile(event) && event.preventDefault());
  window.addEventListener("drop", (event) => {
    if (!hasFile(event)) return;
    event.preventDefault();
    inside = 0;
    overlay.hidden = true;
    const [file] = event.dataTransfer.files;
    if (file) use(file, file.name);
  });
  window.addEventListener("paste", (event) => {
    const file = [...(event.clipboardData?.files ?? [])][0];
    if (file) use(file, file.name || "pasted image");
  });
}

/** The place where an image is given: drop zone, file, camera. */
export function dropZone() {
  const input = h("input", {
    type: "file",
    id: "file",
    accept: "image/*",
    class: "hidden-input",
    "data-testid": "file-input",
    onchange: () => input.files[0] && use(input.files[0], input.files[0].name),
  });
  const zone = h(
    "div",
    { class: "drop-zone", "data-testid": "drop-zone" },
    h("p", { class: "lead" }, "Drop a photograph anywhere on this page"),
    h("p", { class: "faint" }, "or paste one, or"),
    h("p", { class: "buttons" }, input, h("label", { for: "file", class: "button" }, "Choose a file"), cameraButton()),
    h(
      "p",
      { class: "faint small" },
      store.index.live ? "It stays on this machine." : "It stays in this browser, which computes the network itself.",
    ),
  );
  return zone;
}

function cameraButton() {
  if (!navigator.mediaDevices?.getUserMedia) return null;
  const button = h(
    "button",
    { type: "button", class: "button", hidden: true, onclick: () => camera(button.closest(".drop-zone")) },
    "Camera",
  );
  navigator.mediaDevices.enumerateDevices().then(
    (devices) => (button.hidden = !devices.some((device) => device.kind === "videoinput")),
    () => {},
  );
  return button;
}

async function camera(zone) {
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment", width: { ideal: 1280 } } });
  } catch (error) {
    return errorLine(`The camera is not given: ${error.message}`);
  }
  const video = h("video", { autoplay: true, playsinline: true, muted: true, "aria-label": "what the camera sees" });
  video.srcObject = stream;
  const close = () => {
    for (const track of stream.getTracks()) track.stop();
    box.remove();
  };
  const take = () => {
    if (!video.videoWidth) return; // it has not begun to see
    const canvas = h("canvas", { width: video.videoWidth, height: video.videoHeight });
    canvas.getContext("2d").drawImage(video, 0, 0);
    canvas.toBlob((blob) => use(blob, "camera.jpg"), "image/jpeg", 0.92);
    close();
  };
  const box = h(
    "div",
    { class: "camera" },
    video,
    h(
      "p",
      { class: "buttons" },
      h("button", { type: "button", class: "button strong", onclick: take }, "Take the photograph"),
      h("button", { type: "button", class: "button", onclick: close }, "Close"),
    ),
  );
  zone.append(box);
  box.querySelector("button").focus();
}

/** Thumbnails to choose from: the images that the page was given, or those of the dataset, class by class. */
export function gallery(net, chosen) {
  const box = h("div", { class: "gallery" });
  const given = store.index.images;
  if (!store.index.live || !store.index.data) box.append(thumbs(given, chosen, net));
  else fromDataset(box, net, chosen, given);
  return box;
}

function thumbs(images, chosen, net) {
  const grid = h("div", { class: "thumbs", role: "group", "aria-label": "images" });
  for (const image of images) {
    const name = image.label ? `${image.name}, ${wordOf(net, image.label)}` : image.name;
    grid.append(
      h(
        "button",
        {
          type: "button",
          class: "thumb",
          "aria-pressed": String(image.id === chosen),
          title: name,
          "data-image": image.id,
          onclick: () => go({ ...read(), image: image.id }),
        },
        h("img", { src: at.thumb(image.id), alt: name, loading: "lazy", width: 72, height: 72 }),
      ),
    );
  }
  rove(grid);
  return grid;
}

function fromDataset(box, net, chosen, given) {
  let start = 0;
  let label = "";
  const where = h("div", { class: "gallery-page" });
  const told = h("span", { class: "faint", "aria-live": "polite" });
  async function page() {
    let answer;
    try {
      answer = await json(at.samples("val", start, A_PAGE, label));
    } catch (error) {
      return where.replaceChildren(h("p", { class: "faint" }, error.message));
    }
    where.replaceChildren(thumbs(keep(answer.images), chosen, net));
    told.textContent = answer.total
      ? `${whole(start + 1)}–${whole(Math.min(answer.total, start + A_PAGE))} of ${whole(answer.total)}`
      : "none";
    back.disabled = start === 0;
    more.disabled = start + A_PAGE >= answer.total;
  }
  const turn = (by) => {
    start = Math.max(0, start + by);
    page();
  };
  const back = h(
    "button",
    { type: "button", class: "button", "aria-label": "earlier images", onclick: () => turn(-A_PAGE) },
    "‹",
  );
  const more = h("button", { type: "button", class: "button", "aria-label": "more images", onclick: () => turn(A_PAGE) }, "›");
  const classes = select(
    "class",
    [["", "all classes"], ...net.classes.map((name) => [name, wordOf(net, name)])],
    label,
    (value) => {
      [label, start] = [value, 0];
      page();
    },
  );
  if (given.length) box.append(thumbs(given, chosen, net));
  box.append(h("div", { class: "row" }, h("span", { class: "faint" }, "validation images:"), classes, back, told, more), where);
  page();
}
