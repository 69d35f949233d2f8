// A number of a local response normalization: its neighbours, their squares, the sum and the divisor (§3.3).

import { agreement } from "./agreement.js";
import { normalization, tolerance } from "./arithmetic.js";
import { h } from "./dom.js";
import { bracketed, digits } from "./format.js";
import { fraction, line, power, sign, term, variable } from "./formula.js";
import { grid } from "./grid.js";
import { drawMap } from "./map.js";
import { columnOf } from "./store.js";

/** The source map with the pixel, and the lines below. */
export function panel(about) {
  const { step, input, kernel, y, x, before } = about;
  const result = normalization(step, input, kernel, y, x);
  const half = Math.floor(step.n / 2);
  const windows = step.within_map ? [{ top: y - half, left: x - half, size: step.n, kind: "main" }] : [];
  const [, height, width] = input.shape;
  const map = drawMap({
    values: input.values,
    start: kernel * height * width,
    width,
    height,
    column: about.column,
    pixel: step.within_map ? null : { y, x },
    windows,
    margin: step.within_map ? { before: half, after: half } : undefined,
  });
  const source = h(
    "figure",
    null,
    h("div", { class: "map", role: "img", "aria-label": `${before.name}, map ${kernel}` }, map),
    h(
      "figcaption",
      null,
      h("b", null, `${before.name}, map ${kernel}.`),
      step.within_map
        ? " The square is what the sum is over."
        : " The same place in the neighbouring maps is what the sum is over.",
    ),
  );
  return {
    source,
    lines: [
      general(step),
      step.within_map ? squares(about, result) : neighbours(about, result),
      ...sums(step, result),
      agreement(result.value, about.value, tolerance(Math.abs(result.value), 40)),
    ],
  };
}

function general(step) {
  const over = step.within_map
    ? `over the ${step.n}×${step.n} places around it in its map`
    : `over ${step.n} neighbouring kernels`;
  const divisor = power(["(", variable("k"), " + ", variable("α"), " · Σ ", variable("a"), h("sup", null, "2"), ")"], "β");
  return line(
    term(variable("b"), "this number"),
    sign("="),
    fraction(variable("a"), divisor),
    h("span", { class: "aside" }, `Σ ${over}; k = ${step.k}, α = ${digits(step.alpha)}, β = ${step.beta}`),
  );
}

// The neighbouring kernels at the same place, each with its map.
function neighbours(about, result) {
  const { step, input, kernel, y, x, before } = about;
  const [, height, width] = input.shape;
  const half = Math.floor(step.n / 2);
  const cards = result.terms.map((one, k) => {
    const number = kernel - half + k;
    if (!one)
      return h(
        "li",
        { class: "neighbour none" },
        h("p", null, number < 0 || number >= input.shape[0] ? "no kernel here" : `kernel ${number} is the other column's`),
        h("p", { class: "faint small" }, "counts as 0"),
      );
    const map = drawMap({
      values: input.values,
      start: number * height * width,
      width,
      height,
      column: columnOf(before, number),
      pixel: { y, x },
    });
    return h(
      "li",
      { class: `neighbour ${number === kernel ? "itself" : ""}` },
      h(
        "button",
        {
          type: "button",
          class: "map",
          "aria-label": `kernel ${number}: ${digits(one.value, 5)}, its square ${digits(one.square, 5)}; show it`,
          onclick: () => about.go([step.name, number, y, x]),
        },
        map,
      ),
      h("p", { class: "faint small" }, `kernel ${number}${number === kernel ? ", itself" : ""}`),
      h("p", null, variable("a"), " = ", h("b", null, digits(one.value, 5))),
      h("p", null, variable("a"), h("sup", null, "2"), " = ", h("b", null, digits(one.square, 5))),
    );
  });
  return h("ol", { class: "neighbours", "aria-label": "neighbouring kernels at the same place" }, cards);
}

// The places around it in the same map, and their squares.
function squares(about, result) {
  const values = result.terms.map((one) => one?.value ?? 0);
  const places = result.terms.map((one) => (one ? "" : "outside"));
  const middle = new Set([(result.terms.length - 1) / 2]);
  return h(
    "div",
    { class: "product-row two" },
    grid({
      values,
      across: about.step.n,
      column: about.column,
      caption: "a",
      note: `(${about.before.name}, map ${about.kernel})`,
      places,
      marked: middle,
    }),
    h("span", { class: "operator", "aria-hidden": "true" }, "→"),
    grid({
      values: values.map((value) => value * value),
      across: about.step.n,
      column: about.column,
      caption: "a²",
      places,
      note: `(sum ${digits(result.sum, 5)})`,
    }),
  );
}

function sums(step, result) {
  const list = result.terms.filter(Boolean);
  // A whole neighbourhood of a map would fill the page; its squares are in the table.
  const squared =
    list.length > 7
      ? []
      : list.flatMap((one, k) => [
          sign(k ? "+" : "="),
          term([bracketed(one.value, 4), h("sup", null, "2")], `kernel ${one.kernel}`),
        ]);
  return [
    line(
      term(["Σ ", variable("a"), h("sup", null, "2")]),
      ...squared,
      sign("="),
      term(digits(result.sum, 7), "the sum", "sum", { "data-testid": "inspector-sum", "data-value": String(result.sum) }),
    ),
    line(
      term("divisor"),
      sign("="),
      power(["(", digits(step.k), " + ", digits(step.alpha), " · ", digits(result.sum, 6), ")"], step.beta),
      sign("="),
      power(digits(result.base, 7), step.beta),
      sign("="),
      term(digits(result.divisor, 7), `with no activity it is ${digits(step.k ** step.beta, 5)}`, "sum", {
        "data-testid": "inspector-divisor",
        "data-value": String(result.divisor),
      }),
    ),
    h(
      "div",
      { class: "total" },
      line(
        term(variable("b")),
        sign("="),
        fraction(digits(result.input, 7), digits(result.divisor, 7)),
        sign("="),
        term(digits(result.value, 7), "this number", "result", {
          "data-testid": "inspector-value",
          "data-value": String(result.value),
        }),
      ),
    ),
  ];
}
