// Section "Image": the photograph, what the network sees of it, five labels, and the ten crops with their own answers.

import { at, json, numbers } from "./api.js";
import { bars, judgement } from "./answers.js";
import { dropZone, gallery } from "./choose.js";
import { paintRGB } from "./colours.js";
import { canvasOf, h, imageOf, svg, switcher } from "./dom.js";
import { percent } from "./format.js";
import { nameOf, store } from "./store.js";
import { wordOf } from "./words.js";

const PLACES = ["top left", "top right", "bottom left", "bottom right", "centre"];

/** Draw the section into `body`. */
export async function show(body, { image, run }, net) {
  if (!image) {
    body.append(h("h1", null, "Which image?"), dropZone(), gallery(net, image));
    return;
  }
  const square = at.square(run, image);
  const [answer, picture] = await Promise.all([json(at.answer(run, image)), imageOf(square)]);
  const stage = squareWithCrops(square, net, answer, image);
  body.append(
    h("h1", { class: "visually-hidden" }, `${nameOf(image)}: what the network sees, and what it says`),
    h(
      "div",
      { class: "image-top" },
      h("div", { class: "seen-row" }, stage.figure, seen(run, image, net), lessMean(run, image, net)),
      labels(answer, net),
    ),
    h(
      "section",
      { class: "block" },
      h("h2", null, "Ten looks at it"),
      tenWords(net),
      tenCrops(answer, picture, net, stage.highlight),
    ),
    h("section", { class: "block choose" }, h("h2", null, "Another image"), dropZone(), gallery(net, image)),
  );
}

function figure(title, words, ...children) {
  return h("figure", null, h("div", { class: "frame" }, children), h("figcaption", null, h("b", null, title), " ", words));
}

function squareWithCrops(url, net, answer, image) {
  const [side, crop] = [net.image_size, net.input_size];
  const rectangles = answer.crops
    .slice(0, 5)
    .map(({ x, y }) => svg("rect", { x: x + 0.5, y: y + 0.5, width: crop - 1, height: crop - 1 }));
  const drawing = svg("svg", { viewBox: `0 0 ${side} ${side}`, class: "crops", "aria-hidden": "true" }, rectangles);
  const highlight = (chosen) =>
    rectangles.forEach((rectangle, k) => rectangle.classList.toggle("on", k === chosen % 5 && chosen !== null));
  highlight(4);
  const picture = h("img", { src: url, alt: `${nameOf(image)}, cut to a square`, width: side, height: side });
  return {
    highlight: (k) => highlight(k ?? 4),
    figure: figure("The square.", `The shorter side becomes ${side} pixels, the middle is kept.`, picture, drawing),
  };
}

function seen(run, image, net) {
  const crop = net.input_size;
  const picture = h("img", { src: at.seen(run, image), alt: "the centre crop", width: crop, height: crop });
  return figure("The crop.", `${crop}×${crop} of its pixels: one look.`, picture);
}

function lessMean(run, image, net) {
  const crop = net.input_size;
  const canvas = canvasOf(crop, crop, { role: "img", "aria-label": "the centre crop less the mean image; grey is 0" });
  const scale = net.input_scale ?? 1;
  numbers(at.input(run, image)).then(
    (values) => paintRGB(canvas, values, 0, 160 * scale),
    () => {},
  );
  return figure(
    "Less the mean.",
    "The mean of all training images is taken off; grey is 0. These are the numbers that go in.",
    canvas,
  );
}

function labels(answer, net) {
  const list = h("div", null, bars(answer.top, answer.label, net));
  const choose = (views) => list.replaceChildren(bars(views === 10 ? answer.top : answer.centre, answer.label, net));
  return h(
    "section",
    { class: "answer" },
    h(
      "div",
      { class: "row" },
      h("h2", null, answer.top.length === 5 ? "Five labels" : "Its labels"),
      switcher(
        "views",
        [
          [10, "mean of ten crops"],
          [1, "centre crop"],
        ],
        10,
        choose,
      ),
    ),
    list,
    judgement(answer.top, answer.label, net),
    h("p", { class: "faint small" }, `Computed in ${answer.milliseconds.toFixed(0)} ms${inWords(answer.precision ?? net.precision)}.`),
  );
}

const tenWords = (net) =>
  h(
    "p",
    { class: "words" },
    `The network sees four corners and the centre, ${net.input_size}×${net.input_size} pixels ` +
      "each, and their mirror images; its answer is the mean of ten (§4.1). Point at a crop to see " +
      "where it lies.",
  );

function tenCrops(answer, picture, net, highlight) {
  const list = h("ul", { class: "ten" });
  const scale = picture.naturalWidth / net.image_size; // a set may have been prepared larger than the recipe's images
  answer.crops.forEach(({ x, y, mirrored, top }, k) => {
    const canvas = canvasOf(112, 112, { "aria-hidden": "true" });
    const pen = canvas.getContext("2d");
    if (mirrored) pen.setTransform(-1, 0, 0, 1, 112, 0);
    pen.drawImage(picture, x * scale, y * scale, net.input_size * scale, net.input_size * scale, 0, 0, 112, 112);
    const place = PLACES[k % 5] + (mirrored ? ", mirrored" : "");
    const right = top[0].label === answer.label;
    list.append(
      h(
        "li",
        null,
        h(
          "button",
          {
            type: "button",
            class: "ten-crop",
            "aria-label": `${place}: ${top.map((one) => `${wordOf(net, one.label)} ${percent(one.probability)}`).join(", ")}`,
            onpointerenter: () => highlight(k),
            onfocus: () => highlight(k),
            onpointerleave: () => highlight(null),
            onblur: () => highlight(null),
          },
          canvas,
          h("span", { class: "faint" }, place),
          h("b", { class: right ? "right" : null }, wordOf(net, top[0].label)),
          h("span", null, percent(top[0].probability)),
        ),
      ),
    );
  });
  return list;
}

/** In what labels are computed, where it is not float32, as all other numbers of the page are. */
function inWords(precision) {
  return precision.startsWith("float32") ? "" : `, in ${precision.split(" ")[0]}, as alexnet predict does; all other numbers in float32`;
}
