// Numbers of the steps without windows: activation, dropout, and the units of fully connected layers.

import { agreement } from "./agreement.js";
import { at, numbers } from "./api.js";
import { ACTIVATIONS, dropoutFactor, full as fullOf, tolerance } from "./arithmetic.js";
import { h, styled, svg } from "./dom.js";
import { bracketed, digits, percent, whole } from "./format.js";
import { fraction, line, power, sign, term } from "./formula.js";
import { drawMap } from "./map.js";
import { columnOf, rowOf, store } from "./store.js";

const result = (value) =>
  term(digits(value, 7), "this number", "result", { "data-testid": "inspector-value", "data-value": String(value) });

// The same map before the step, with the same pixel; nothing for units.
function sameMap({ input, before, kernel, y, x, column }) {
  if (input.shape.length !== 3) return null;
  const [, height, width] = input.shape;
  const map = drawMap({ values: input.values, start: kernel * height * width, width, height, column, pixel: { y, x } });
  return h(
    "figure",
    null,
    h("div", { class: "map", role: "img", "aria-label": `${before.name}, map ${kernel}` }, map),
    h("figcaption", null, h("b", null, `${before.name}, map ${kernel}.`), " The same place."),
  );
}

const inputValue = ({ input, index }) => input.values[index];

/** What an activation makes of a number, with its curve. */
export function activation(about) {
  const { step } = about;
  const x = inputValue(about);
  const y = ACTIVATIONS[step.function](x);
  const formula = {
    relu: [term("max"), sign("("), term("0"), sign(","), term(digits(x, 7)), sign(")")],
    tanh: [term("tanh"), sign("("), term(digits(x, 7)), sign(")")],
    sigmoid: [fraction("1", ["1 + ", power("e", digits(-x, 6))])],
  }[step.function];
  const said =
    step.function === "relu"
      ? x > 0
        ? "It is above 0, so it passes unchanged."
        : "It is not above 0, so it becomes 0: the unit is silent, and in training nothing flows back through it."
      : "";
  return {
    source: sameMap(about),
    lines: [
      h("div", { class: "curve-row" }, curve(step.function, x, y), h("p", { class: "words" }, said)),
      h("div", { class: "total" }, line(...formula, sign("="), result(y))),
      agreement(y, about.value, tolerance(Math.abs(y) + 1e-6, 4)),
    ],
  };
}

function curve(name, x, y) {
  const f = ACTIVATIONS[name];
  const reach = name === "relu" ? Math.max(1e-6, Math.abs(x)) * 1.35 : Math.max(4, Math.abs(x) * 1.2);
  const top = name === "relu" ? reach : 1.25;
  const bottom = name === "tanh" ? -1.25 : -top * 0.18;
  const [wide, high] = [360, 200];
  const place = (a, b) => [((a + reach) / (2 * reach)) * wide, high - ((b - bottom) / (top - bottom)) * high];
  const points = Array.from({ length: 121 }, (_, k) => (k / 60 - 1) * reach).map((a) =>
    place(a, f(a))
      .map((v) => v.toFixed(1))
      .join(","),
  );
  const [px, py] = place(x, y);
  const [zx, zy] = place(0, 0);
  return svg(
    "svg",
    {
      viewBox: `-6 -10 ${wide + 12} ${high + 28}`,
      class: "curve",
      role: "img",
      "aria-label": `the function ${name}; at ${digits(x)} it is ${digits(y)}`,
    },
    svg("line", { x1: 0, x2: wide, y1: zy, y2: zy, class: "axis-line" }),
    svg("line", { x1: zx, x2: zx, y1: 0, y2: high, class: "axis-line" }),
    svg("polyline", { points: points.join(" "), class: "curve-line" }),
    svg("line", { x1: px, x2: px, y1: zy, y2: py, class: "drop" }),
    svg("circle", { cx: px, cy: py, r: 6, class: "curve-dot" }),
    svg("text", { x: Math.min(wide - 60, Math.max(0, px - 24)), y: high + 14 }, digits(x, 4)),
  );
}

/** What dropout makes of a number at test, and what it would do in training. */
export function dropout(about) {
  const { step } = about;
  const x = inputValue(about);
  const factor = dropoutFactor(step);
  const told = h(
    "p",
    { class: "words", "aria-live": "polite" },
    `In training this unit is 0 in ${percent(step.probability)} of all steps, whatever it says.`,
  );
  const draw = () => {
    const dropped = Math.random() < step.probability;
    const kept = step.form === "mask" ? x : x / (1 - step.probability);
    told.textContent = dropped ? "This training step drops it: 0." : `This training step keeps it: ${digits(kept, 6)}.`;
  };
  return {
    source: sameMap(about),
    lines: [
      h(
        "p",
        { class: "row" },
        h("button", { type: "button", class: "button strong", onclick: draw }, "Draw a training step"),
        told,
      ),
      h(
        "div",
        { class: "total" },
        line(
          h("span", { class: "aside" }, "at test:"),
          term(digits(x, 7), about.before.name),
          sign("×"),
          term(digits(factor, 4), step.form === "mask" ? `1 − ${step.probability}` : "nothing changes"),
          sign("="),
          result(x * factor),
        ),
      ),
      agreement(x * factor, about.value, tolerance(Math.abs(x), 1)),
    ],
  };
}

/** A step that this page has no arithmetic for. */
export function unexplained(about) {
  return {
    source: sameMap(about),
    lines: [
      h("p", { class: "words" }, "This page shows the numbers of this step, and has no arithmetic for it."),
      h("div", { class: "total" }, line(term(digits(inputValue(about), 7), about.before.name), sign("→"), result(about.value))),
    ],
  };
}

/** A fully connected unit: its largest contributions and their sum. */
export async function full(about) {
  const { net, step, kernel, input, before } = about;
  const [row, biases] = await Promise.all([rowOf(net.id, step.name, kernel), numbers(at.bias(net.id, step.name))]);
  const offset = row.length < input.values.length ? about.column * row.length : 0;
  const answer = fullOf(input.values, row, biases[kernel], offset);
  const order = [...answer.terms].sort((a, b) => b.product - a.product);
  const rounded = !store.index.live && !about.route.image.startsWith("local-"); // weights of 16 bits, and the network's had 32
  const size = answer.above - answer.below;
  const rounding = tolerance(size, row.length) + tolerance(answer.above, 1) * 4 + (rounded ? size * 2 ** -11 : 0);
  const silent = answer.terms.filter((one) => one.input === 0).length;
  return {
    source: null,
    lines: [
      h(
        "p",
        { class: "words" },
        `It reads ${whole(row.length)} numbers of ` +
          `${before.name}${row.length < input.values.length ? `, those of column ${about.column + 1}` : ""}; ` +
          `${whole(silent)} of them are 0 and add nothing.`,
      ),
      h(
        "div",
        { class: "contributions" },
        contributions("What speaks for it most", order.slice(0, 10), about, order),
        contributions("What speaks against it most", order.slice(-10).reverse(), about, order),
      ),
      h(
        "div",
        { class: "total" },
        line(
          term(digits(answer.above, 6), "all that is above 0"),
          sign("−"),
          term(digits(-answer.below, 6), "all that is below 0"),
          sign("+"),
          term(bracketed(answer.bias, 5), "bias"),
          sign("="),
          result(answer.value),
        ),
        h(
          "span",
          { class: "visually-hidden", "data-testid": "inspector-sum", "data-value": String(answer.sum) },
          `sum ${digits(answer.sum, 7)}`,
        ),
      ),
      agreement(answer.value, about.value, rounding, rounded ? "page" : "none"),
    ],
  };
}

function contributions(title, terms, about, order) {
  const { before, input } = about;
  const largest = Math.max(Math.abs(order[0].product), Math.abs(order.at(-1).product), 1e-30);
  const whereOf = (place) => {
    if (input.shape.length === 1) return { parts: [before.name, place], text: `${before.name} unit ${place}` };
    const [, height, width] = input.shape;
    const [map, row, column] = [Math.floor(place / (height * width)), Math.floor(place / width) % height, place % width];
    return { parts: [before.name, map, row, column], text: `${before.name} [${map}, ${row}, ${column}]` };
  };
  const rows = terms.map(({ place, input: value, weight, product }) => {
    const where = whereOf(place);
    const bar = styled(
      h(
        "span",
        {
          class: `contribution column-${columnOf(before, Math.floor(place / (input.values.length / before.shape[0]))) + 1}`,
          "aria-hidden": "true",
        },
        h("i"),
      ),
      { "--share": `${(100 * Math.abs(product)) / largest}%` },
    );
    return h(
      "tr",
      null,
      h("td", null, h("button", { type: "button", class: "as-link", onclick: () => about.go(where.parts) }, where.text)),
      h("td", null, digits(value, 4)),
      h("td", null, digits(weight, 3)),
      h("td", null, digits(product, 4)),
      h("td", null, bar),
    );
  });
  const heads = ["from", "input", "weight", "product"].map((text) => h("th", { scope: "col" }, text));
  return h(
    "div",
    null,
    h("h3", null, title),
    h(
      "div",
      { class: "scroll" },
      h("table", { class: "plain" }, h("thead", null, h("tr", null, heads, h("td"))), h("tbody", null, rows)),
    ),
  );
}
