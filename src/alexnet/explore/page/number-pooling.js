// A number of a pooling: its window, the windows beside it that overlap it, and the maximum (§3.4).

import { agreement } from "./agreement.js";
import { pooling, windowAt } from "./arithmetic.js";
import { colourOf, css, inkOn, largestOf } from "./colours.js";
import { h, styled, svg } from "./dom.js";
import { digits, short } from "./format.js";
import { line, sign, term } from "./formula.js";
import { drawMap } from "./map.js";

const CELL = 58;

/** Where the maximum lies: {row, column, value, top, left}. */
export const bestOf = ({ step, input, kernel, y, x }) => pooling(step, input, kernel, y, x);

/** The source map with its windows, and the lines below. */
export function panel(about) {
  const { step, input, kernel, y, x, before } = about;
  const [, height, width] = input.shape;
  const best = bestOf(about);
  const windows = neighbours(step, y, x).map(({ top, left, itself }) => ({
    top,
    left,
    size: step.window,
    kind: itself ? "main" : "beside",
  }));
  const map = drawMap({
    values: input.values,
    start: kernel * height * width,
    width,
    height,
    column: about.column,
    windows,
    margin: { before: 0, after: step.overhang },
  });
  const source = h(
    "figure",
    null,
    h(
      "div",
      {
        class: "map",
        role: "img",
        "aria-label": `${before.name}, map ${kernel}; the window begins at row ${best.top}, column ${best.left}`,
      },
      map,
    ),
    h(
      "figcaption",
      null,
      h("b", null, `${before.name}, map ${kernel}.`),
      ` The window: rows ${best.top} to ${best.top + step.window - 1}, columns ${best.left} to ${best.left + step.window - 1}.`,
    ),
  );
  const overlap = step.window - step.stride;
  return {
    source,
    lines: [
      h("div", { class: "pool-row" }, region(about, best), explanation(about, best, overlap)),
      total(about, best),
      agreement(best.value, about.value, 0),
    ],
  };
}

// The window and the four beside it, as far as the map has them; those at the corners would only hide it.
function neighbours(step, y, x) {
  const [, height, width] = step.shape;
  const all = [];
  for (let dy = -1; dy <= 1; dy++)
    for (let dx = -1; dx <= 1; dx++)
      if (!(dy && dx) && y + dy >= 0 && x + dx >= 0 && y + dy < height && x + dx < width)
        all.push({ ...windowAt(step, y + dy, x + dx), itself: !dy && !dx });
  return all.sort((a, b) => a.itself - b.itself); // the window itself is drawn over the others
}

// The numbers in and around the window, with the outlines of all windows that meet there.
function region(about, best) {
  const { step, input, y, x } = about;
  const [, height, width] = input.shape;
  const first = { row: Math.max(0, best.top - step.stride), column: Math.max(0, best.left - step.stride) };
  const rows = Math.min(height, best.top + step.window + step.stride) - first.row;
  const columns = Math.min(width, best.left + step.window + step.stride) - first.column;
  const drawing = svg("svg", {
    viewBox: `-34 -24 ${columns * CELL + 40} ${rows * CELL + 30}`,
    class: "pool-region",
    role: "img",
    "aria-label": "the window and those beside it; its numbers are in the line below",
  });
  const middle = (k) => (k + 0.5) * CELL;
  for (let row = 0; row < rows; row++) {
    drawing.append(svg("text", { x: -8, y: middle(row) + 4, class: "axis", "text-anchor": "end" }, String(first.row + row)));
    for (let column = 0; column < columns; column++) drawing.append(cell(about, best, first, row, column));
  }
  for (let column = 0; column < columns; column++)
    drawing.append(
      svg("text", { x: middle(column), y: -8, class: "axis", "text-anchor": "middle" }, String(first.column + column)),
    );
  for (const { top, left, itself } of neighbours(step, y, x)) {
    const inset = itself ? 0 : 5; // beside each other, so that edges that coincide can be told apart
    const side = step.window * CELL - 2 * inset;
    const place = { x: (left - first.column) * CELL + inset, y: (top - first.row) * CELL + inset, width: side, height: side };
    drawing.append(svg("rect", { ...place, class: itself ? "window main" : "window beside" }));
  }
  return drawing;
}

// One number of the map before, `row` and `column` counted from `first`; the maximum has a ring.
function cell({ input, kernel, column: hue }, best, first, row, column) {
  const [, height, width] = input.shape;
  const start = kernel * height * width;
  const value = input.values[start + (first.row + row) * width + first.column + column];
  const colour = colourOf(value, largestOf(input.values, start, height * width), hue);
  const [left, top] = [column * CELL, row * CELL];
  const ground = styled(svg("rect", { x: left, y: top, width: CELL, height: CELL }), { fill: css(colour) });
  const text = svg("text", { x: left + CELL / 2, y: top + CELL / 2 + 5, "text-anchor": "middle" }, short(value));
  const ring = svg("circle", { cx: left + CELL / 2, cy: top + CELL / 2, r: CELL * 0.43, class: "best" });
  const ringed = first.row + row === best.row && first.column + column === best.column;
  return svg("g", null, ground, styled(text, { fill: inkOn(colour) }), ringed ? styled(ring, { stroke: inkOn(colour) }) : null);
}

function explanation(about, best, overlap) {
  const { step, before } = about;
  const [, height, width] = about.input.shape;
  const cut = best.top + step.window > height || best.left + step.window > width;
  return h(
    "div",
    { class: "words" },
    h(
      "p",
      null,
      `The window is ${step.window}×${step.window}; the next ones (dashed) begin ${step.stride} further. `,
      overlap > 0
        ? `So each shares ${overlap === 1 ? "a row or column" : `${overlap} rows or columns`} with the ` +
            "one beside it, and one number may be the maximum of up to " +
            `${Math.ceil(step.window / step.stride) ** 2} windows.`
        : "They do not overlap.",
    ),
    h(
      "p",
      null,
      `The largest, ringed, lies at row ${best.row}, column ${best.column} of ${before.name}. Only ` +
        "it is passed on; in training only it gets a gradient.",
    ),
    cut ? h("p", null, "The window hangs over the edge of the map; only what is inside counts.") : null,
  );
}

function total({ step, input, kernel }, best) {
  const [, height, width] = input.shape;
  const inside = [];
  for (let row = best.top; row < Math.min(height, best.top + step.window); row++)
    for (let column = best.left; column < Math.min(width, best.left + step.window); column++)
      inside.push([input.values[(kernel * height + row) * width + column], row === best.row && column === best.column]);
  const numbers = inside.flatMap(([value, largest], k) => [
    k ? ", " : "",
    h(largest ? "strong" : "span", null, digits(value, 5)),
  ]);
  return h(
    "div",
    { class: "total" },
    line(
      term("max"),
      sign("{"),
      h("span", { class: "list" }, numbers),
      sign("}"),
      sign("="),
      term(digits(best.value, 7), "this number", "result", {
        "data-testid": "inspector-value",
        "data-value": String(best.value),
      }),
    ),
  );
}
