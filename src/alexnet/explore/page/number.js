// Section "How a number comes about": one number of one map, with everything that it was computed from.

import { at, numbers } from "./api.js";
import { largestOf } from "./colours.js";
import { h, keepingFocus, select } from "./dom.js";
import { digits } from "./format.js";
import { drawMap, mapBox } from "./map.js";
import * as convolution from "./number-convolution.js";
import * as normalization from "./number-normalization.js";
import * as pooling from "./number-pooling.js";
import * as units from "./number-units.js";
import { go, link, read } from "./state.js";
import { columnOf, columnsOf, inputOf, stepOf } from "./store.js";
import { strip } from "./strips.js";
import { describe, KINDS, sizeOf } from "./words.js";

const PANELS = {
  convolution: convolution.panel,
  normalization: normalization.panel,
  pooling: pooling.panel,
  activation: units.activation,
  dropout: units.dropout,
  full: units.full,
  "batch-normalization": units.unexplained,
};

/** Draw the section into `body`; gives {update} for another number. */
export async function show(body, route, net) {
  body.append(h("h1", null, "How a number comes about"));
  if (!route.image) {
    body.append(h("p", null, h("a", { href: link({ section: "image" }) }, "Choose an image"), " first."));
    return {};
  }
  const parts = {
    steering: h("div", { class: "steering" }),
    head: h("div", { class: "number-head" }),
    panel: h("div", { class: "number-panel", "data-testid": "pixel-inspector" }),
  };
  body.append(parts.steering, parts.head, parts.panel);
  let shown = null; // {name, values, input}: what was read of the step
  let turn = 0;
  async function update(now) {
    const mine = ++turn;
    const name = stepOf(net, now.parts[0]) ? now.parts[0] : net.steps[0].name;
    const { step, before } = stepOf(net, name);
    if (shown?.name !== name) {
      const [values, input] = await Promise.all([numbers(at.step(net.id, now.image, name)), inputOf(net, now.image, before)]);
      if (mine !== turn) return;
      shown = { name, values, input, output: null };
    }
    const place = placeOf(step, now.parts, shown.values);
    const about = {
      net,
      route: now,
      step,
      before,
      ...place,
      values: shown.values,
      input: shown.input,
      column: columnOf(step, place.kernel),
    };
    about.value = shown.values[place.index];
    about.go = (parts) => go({ section: "number", parts }, true);
    await draw(parts, about, shown, () => mine === turn);
  }
  await update(route);
  return { update };
}

// Kernel (or unit), row and column that an address names; else where the step's largest number lies.
function placeOf(step, parts, values) {
  const [count, height = 1, width = 1] = step.shape;
  const given = parts.slice(1).map(Number);
  const within = (value, most) => Number.isInteger(value) && value >= 0 && value < most;
  if (!within(given[0], count)) {
    const largest = values.indexOf(values.reduce((most, value) => (value > most ? value : most), -Infinity));
    return {
      kernel: Math.floor(largest / (height * width)),
      y: Math.floor(largest / width) % height,
      x: largest % width,
      index: largest,
    };
  }
  const [kernel, y = height >> 1, x = width >> 1] = given;
  const row = within(y, height) ? y : height >> 1;
  const column = within(x, width) ? x : width >> 1;
  return { kernel, y: row, x: column, index: (kernel * height + row) * width + column };
}

async function draw(parts, about, shown, wanted) {
  steer(parts, about);
  const { step, kernel, y, x, value } = about;
  const flat = step.shape.length === 1;
  const place = flat ? `unit ${kernel}` : `kernel ${kernel}, row ${y}, column ${x}`;
  const heading = h(
    "div",
    { class: `number-title column-${about.column + 1}` },
    h(
      "p",
      { class: "faint" },
      `${step.name}, ${KINDS[step.kind]}${step.columns === 2 ? `, column ${about.column + 1} of the network` : ""}`,
    ),
    h(
      "p",
      { class: "big-number", "aria-live": "polite" },
      h("span", null, `${step.name} [${place}] = `),
      h("b", null, digits(value, 6)),
    ),
    h("p", { class: "words faint small" }, describe(step, about.before)),
    travel(about),
  );
  const reading = () => wanted() && parts.panel.replaceChildren(h("p", { class: "waiting" }, "Reading the weights …"));
  const waiting = setTimeout(reading, 500);
  let drawn;
  try {
    drawn = await PANELS[step.kind](about);
  } finally {
    clearTimeout(waiting);
  }
  if (!wanted()) return;
  if (flat) outputUnits(shown, about);
  else outputMap(shown, about);
  keepingFocus(parts.head, () => setHead(parts.head, heading, drawn.source, shown.output.figure));
  parts.panel.className = `number-panel column-${about.column + 1} kind-${step.kind}`;
  parts.panel.replaceChildren(...drawn.lines);
}

// The title and the two maps. The right one stays in the page while another pixel is chosen, so that it keeps the keyboard.
function setHead(head, heading, source, figure) {
  if (head.contains(figure)) {
    head.firstElementChild.replaceWith(heading);
    if (source) figure.parentElement.firstElementChild.replaceWith(source);
    return;
  }
  const arrow = h("span", { class: "arrow", "aria-hidden": "true" }, "→");
  head.replaceChildren(heading, source ? h("div", { class: "number-maps" }, source, arrow, figure) : figure);
}

// The map that the number lies in, in a box that stays over movements.
function outputMap(shown, about) {
  const { step, kernel, y, x, values } = about;
  const [, height, width] = step.shape;
  if (!shown.output) {
    const box = mapBox({
      label: `map of ${step.name}: click a pixel, or move with the arrow keys; with Shift by five`,
      testid: "output-map",
      size: () => [height, width],
      now: () => nowAt(shown.output.about),
      pick: (row, column) => shown.output.about.go([step.name, shown.output.about.kernel, row, column]),
    });
    shown.output = { box, caption: h("figcaption"), about };
    shown.output.figure = h("figure", null, box, shown.output.caption);
  }
  shown.output.about = about;
  shown.output.box.replaceChildren(
    ...drawMap({ values, start: kernel * height * width, width, height, column: about.column, pixel: { y, x } }),
  );
  shown.output.caption.replaceChildren(
    h("b", null, `${step.name}, kernel ${kernel}.`),
    ` ${sizeOf(step)}; click a pixel, or use the arrow keys.`,
  );
}

// All units of a fully connected layer, the one that is shown marked.
function outputUnits(shown, about) {
  const { step, values, kernel, column } = about;
  if (!shown.output) {
    const largest = largestOf(values);
    const choose = (unit) => shown.output.about.go([step.name, unit]);
    const strips = columnsOf(step).map((part) =>
      strip({ ...part, values, largest, choose, label: `units of ${step.name}, column ${part.column + 1}` }),
    );
    const caption = h("figcaption", null, h("b", null, `${step.name}, all its units.`), " Choose another.");
    shown.output = {
      strips,
      figure: h(
        "figure",
        { class: "number-units" },
        strips.map((one) => one.element),
        caption,
      ),
    };
  }
  shown.output.about = about;
  shown.output.strips[column].mark(kernel);
}

// The pixel that the address names: keys may come faster than the page draws.
function nowAt(about) {
  const [name, kernel, y, x] = read().parts;
  return name === about.step.name && Number(kernel) === about.kernel && x !== undefined
    ? [Number(y), Number(x)]
    : [about.y, about.x];
}

// Which number: step, kernel, row, column, as fields.
function steer(parts, about) {
  const { net, step, kernel, y, x } = about;
  const named = { name: step.name, count: step.shape.length };
  if (parts.steering.dataset.step !== step.name) {
    const steps = net.steps.map((one) => [one.name, `${one.name}  ${sizeOf(one)}`]);
    const field = (name, place) => {
      const input = h("input", {
        type: "number",
        min: 0,
        max: step.shape[place] - 1,
        class: "number-field",
        id: `field-${name}`,
        onchange: () => about.go([step.name, ...fields.map((one) => one.value)]),
      });
      return { input, label: h("label", { class: "pick", for: `field-${name}` }, h("span", null, name), input) };
    };
    const made = named.count === 1 ? [field("unit", 0)] : [field("kernel", 0), field("row", 1), field("column", 2)];
    const fields = made.map((one) => one.input);
    parts.steering.dataset.step = step.name;
    const change = (...fieldsNow) => keepingFocus(parts.steering, () => parts.steering.replaceChildren(...fieldsNow));
    change(
      h(
        "label",
        { class: "pick" },
        h("span", null, "step"),
        select("step", steps, step.name, (name) => go({ section: "number", parts: [name] }), {
          "data-testid": "step-select",
          "data-keep": "step",
        }),
      ),
      ...made.map((one) => one.label),
    );
  }
  [kernel, y, x].forEach((value, k) => {
    const field = parts.steering.querySelectorAll("input")[k];
    if (field) field.value = value;
  });
}

// One step back and one step on, along the image's way, at the place that belongs to this number.
function travel(about) {
  const { net, step, before, kernel, y, x, input } = about;
  const place = net.steps.indexOf(step);
  const next = net.steps[place + 1];
  const links = [];
  const to = (parts, text) => {
    const keep = text.startsWith("←") ? "back" : "on";
    links.push(h("a", { class: "button", href: link({ section: "number", parts }), "data-keep": keep }, text));
  };
  if (before && step.kind === "pooling") {
    const best = pooling.bestOf(about);
    to([before.name, kernel, best.row, best.column], `← where its maximum comes from: ${before.name}`);
  } else if (before && ["normalization", "activation", "dropout"].includes(step.kind))
    to([before.name, kernel, ...(input.shape.length === 3 ? [y, x] : [])], `← from ${before.name}`);
  else if (before) to([before.name], `← ${before.name}, its largest number`);
  if (next && ["normalization", "activation", "dropout"].includes(next.kind))
    to([next.name, kernel, ...(next.shape.length === 3 ? [y, x] : [])], `${next.name} makes of it →`);
  else if (next?.kind === "pooling")
    to(
      [
        next.name,
        kernel,
        Math.min(next.shape[1] - 1, Math.floor(y / next.stride)),
        Math.min(next.shape[2] - 1, Math.floor(x / next.stride)),
      ],
      `${next.name} pools it →`,
    );
  else if (next) to([next.name], `on to ${next.name} →`);
  return h("p", { class: "buttons travel" }, links);
}
