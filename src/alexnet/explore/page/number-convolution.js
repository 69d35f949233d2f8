// A number of a convolution: the patch × the kernel, channel by channel, + bias.

import { agreement } from "./agreement.js";
import { at, numbers } from "./api.js";
import { channelPart, channelsOf, convolution, tolerance, windowAt } from "./arithmetic.js";
import { largestOf, paintRGB } from "./colours.js";
import { canvasOf, h, switcher } from "./dom.js";
import { bracketed, digits, whole } from "./format.js";
import { line, sign, term, variable } from "./formula.js";
import { grid, together } from "./grid.js";
import { drawMap } from "./map.js";
import { channelBars } from "./number-bars.js";
import { columnOf } from "./store.js";

const COLOURS = ["red", "green", "blue"];

let kept = { step: "", channel: 0 }; // the channel looked at, kept while the window moves

/** The source map with its window, and the lines below. */
export async function panel(about) {
  const { net, step, input, kernel, y, x } = about;
  const [weights, biases] = await Promise.all([numbers(at.weights(net.id, step.name)), numbers(at.bias(net.id, step.name))]);
  const result = convolution(step, input, weights, biases, kernel, y, x);
  const look = { ...about, weights, result, ...channelsOf(step, input.shape[0], kernel) };
  look.image = !about.before;
  if (kept.step !== `${net.id} ${step.name} ${kernel}`)
    kept = { step: `${net.id} ${step.name} ${kernel}`, channel: look.image ? 0 : strongest(result.sums) };
  const source = h("figure");
  const tables = h("div", { class: "products" });
  const total = h("div");
  const choose = (channel) => {
    kept.channel = channel;
    drawSource(source, look, channel);
    drawTables(tables, look, channel);
    total.replaceChildren(totalLine(look, channel));
  };
  choose(kept.channel);
  const size = step.kernel;
  const general = line(
    term(variable("b"), "this number"),
    sign("="),
    sign("Σ"),
    term(
      [variable("patch", "c,i,j"), " · ", variable("kernel", "c,i,j")],
      `over ${look.count} ${look.image ? "colours" : "maps"}, ${size} rows, ${size} columns`,
    ),
    sign("+"),
    term(variable("bias"), `of kernel ${kernel}`),
  );
  const scale = result.sums.reduce((largest, sum) => Math.max(largest, Math.abs(sum)), 0) + largestTerm(look);
  const local = about.route.image.startsWith("local-");
  const rounding = tolerance(scale * Math.sqrt(look.count) * 4, look.count * size * size) + (local ? result.size * 2 ** -11 : 0);
  return {
    source,
    lines: [
      general,
      look.image
        ? h(
            "div",
            { class: "row in-colour" },
            inColour(look),
            switcher(
              "colour",
              COLOURS.map((name, k) => [k, `${name}: ${digits(result.sums[k], 4)}`]),
              kept.channel,
              (k) => choose(Number(k)),
            ),
          )
        : channelBars({ sums: result.sums, chosen: kept.channel, first: look.first, choose, columns: columnsRead(look) }),
      tables,
      total,
      agreement(result.value, about.value, rounding, local ? "network" : "none"),
    ],
  };
}

// The patch of the image and the kernel as they look, all three colours together.
function inColour({ step, input, weights, kernel, y, x, net }) {
  const size = step.kernel;
  const parts = COLOURS.map((_, channel) => channelPart(step, input, weights, kernel, channel, y, x));
  const picture = (values, largest, label) => {
    const canvas = canvasOf(size, size, { role: "img", "aria-label": label });
    paintRGB(canvas, values, 0, largest);
    return h("figure", null, canvas, h("figcaption", null, label));
  };
  const weightsHere = parts.flatMap((part) => part.kernel);
  return [
    picture(
      parts.flatMap((part) => part.patch),
      160 * (net.input_scale ?? 1),
      "the patch",
    ),
    h("span", { class: "operator", "aria-hidden": "true" }, "·"),
    picture(weightsHere, largestOf(weightsHere), `kernel ${kernel}`),
  ];
}

const strongest = (sums) => sums.reduce((best, sum, k) => (Math.abs(sum) > Math.abs(sums[best]) ? k : best), 0);

// The largest single product, which decides how much float32 rounds.
function largestTerm({ step, input, weights, kernel, y, x, count }) {
  let largest = 0;
  for (let channel = 0; channel < count; channel++)
    largest = Math.max(largest, largestOf(channelPart(step, input, weights, kernel, channel, y, x).products));
  return largest;
}

// The columns of the network that a kernel reads: [{column, from, to}] in its own channels.
function columnsRead({ before, count, first }) {
  if (!before || before.columns !== 2) return [{ column: 0, from: 0, to: count }];
  const half = before.shape[0] / 2;
  if (count <= half) return [{ column: Math.floor(first / half), from: 0, to: count }];
  return [
    { column: 0, from: 0, to: half },
    { column: 1, from: half, to: count },
  ];
}

function drawSource(figure, look, channel) {
  const { step, input, y, x, image, first, before } = look;
  const [, height, width] = input.shape;
  const { top, left } = windowAt(step, y, x);
  const margin = { before: step.padding, after: step.padding + step.overhang };
  const windows = [{ top, left, size: step.kernel, kind: "main" }];
  const column = before ? columnOf(before, first + channel) : 0;
  const map = drawMap({
    values: input.values,
    start: (first + channel) * height * width,
    width,
    height,
    rgb: image,
    largest: image ? 160 * (look.net.input_scale ?? 1) : undefined,
    column,
    margin,
    windows,
  });
  const reaches = top < 0 || left < 0 || top + step.kernel > height || left + step.kernel > width;
  const text = image ? "The input" : `${before.name}, map ${first + channel}`;
  figure.replaceChildren(
    h("div", { class: "map", role: "img", "aria-label": `${text}; the window begins at row ${top}, column ${left}` }, map),
    h(
      "figcaption",
      null,
      h("b", null, `${text}.`),
      ` The window: rows ${top} to ${top + step.kernel - 1}, columns ${left} to ${left + step.kernel - 1}.`,
      reaches ? " Part of it lies outside, where it reads zeros." : "",
    ),
  );
}

function drawTables(box, look, channel) {
  const { step, input, weights, kernel, y, x, image, before, first, net } = look;
  const part = channelPart(step, input, weights, kernel, channel, y, x);
  const across = step.kernel;
  const column = before ? columnOf(before, first + channel) : 0;
  const { top, left } = windowAt(step, y, x);
  const back = before
    ? (k) => part.places[k] || look.go([before.name, first + channel, top + Math.floor(k / across), left + (k % across)])
    : null;
  const largest = image ? 160 * (net.input_scale ?? 1) : undefined;
  const note = image ? `(${COLOURS[channel]}, less its mean)` : `(${before.name}, map ${first + channel})`;
  const told = h("p", { class: "told", "aria-live": "polite" });
  const rest = [
    "Point at a cell to see its product",
    before ? "; press one of the patch to see where it comes from." : ".",
  ].join("");
  told.textContent = rest;
  const row = h(
    "div",
    { class: "product-row" },
    grid({
      values: part.patch,
      across,
      column,
      largest,
      caption: "patch",
      note,
      places: part.places,
      walk: true,
      choose: back,
    }),
    h("span", { class: "operator", "aria-hidden": "true" }, "×"),
    grid({
      values: part.kernel,
      across,
      column: look.column,
      caption: "kernel",
      note: `(kernel ${kernel}, ${image ? COLOURS[channel] : `its channel ${channel}`})`,
    }),
    h("span", { class: "operator", "aria-hidden": "true" }, "="),
    grid({ values: part.products, across, column: look.column, caption: "products", note: `(sum ${digits(part.sum, 5)})` }),
  );
  together(row, (k) => {
    told.textContent =
      k === null
        ? rest
        : `${digits(part.patch[k], 6)} × ${bracketed(part.kernel[k], 6)} = ` +
          `${digits(part.products[k], 6)}${part.places[k] ? ` (${part.places[k]})` : ""}`;
  });
  box.replaceChildren(row, told);
}

function totalLine(look, channel) {
  const { result, image, count } = look;
  const pieces = [];
  const add = (value, name) =>
    pieces.push(
      ...(pieces.length ? [sign(value < 0 ? "−" : "+")] : []),
      term(digits(pieces.length ? Math.abs(value) : value, 5), name),
    );
  const read = columnsRead(look);
  const total = (from, to) => result.sums.slice(from, to).reduce((sum, one) => sum + one, 0);
  if (image) result.sums.forEach((sum, k) => add(sum, COLOURS[k]));
  else if (read.length === 2)
    for (const { column, from, to } of read) add(total(from, to), `${whole(to - from)} maps of column ${column + 1}`);
  else {
    add(result.sums[channel], `map ${look.first + channel}`);
    if (count > 1) add(result.sum - result.sums[channel], `the other ${whole(count - 1)} maps`);
  }
  const hidden = h(
    "span",
    { class: "visually-hidden", "data-testid": "inspector-sum", "data-value": String(result.sum) },
    `sum ${digits(result.sum, 7)}`,
  );
  add(result.bias, "bias");
  return h(
    "div",
    { class: "total" },
    line(
      ...pieces,
      sign("="),
      term(digits(result.value, 7), "this number", "result", {
        "data-testid": "inspector-value",
        "data-value": String(result.value),
      }),
    ),
    hidden,
  );
}
