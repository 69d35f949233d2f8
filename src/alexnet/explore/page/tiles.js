// The maps of a layer as tiles: a small canvas a kernel, inside buttons that the arrow keys go over.

import { highest, largestOf, paint } from "./colours.js";
import { canvasOf, h, styled } from "./dom.js";
import { digits } from "./format.js";

/** Tiles of kernels [from, to) of maps [K, H, W].
 *  column: whose hue they have. largest: one scale for all, or null for each its own. choose(kernel, y, x).
 *  chosen: the kernel that is marked. Gives the element. */
export function tiles({ values, shape, from, to, column, largest, chosen, choose, label }) {
  const [, height, width] = shape;
  const size = height * width;
  const grid = h("div", { class: `tiles column-${column + 1}`, role: "group", "aria-label": label });
  for (let kernel = from; kernel < to; kernel++) {
    const canvas = canvasOf(width, height, { "aria-hidden": "true" });
    paint(canvas, values, kernel * size, largest ?? largestOf(values, kernel * size, size), column);
    const most = highest(values, kernel * size, size);
    const tile = h(
      "button",
      {
        type: "button",
        class: "tile",
        "data-testid": "map-tile",
        "data-kernel": kernel,
        "aria-label": `kernel ${kernel}, largest value ${digits(most, 3)}`,
        "aria-pressed": String(kernel === chosen),
        onclick: (event) => choose(kernel, ...pixelAt(event, canvas)),
      },
      canvas,
      h("span", { class: "tile-text", "aria-hidden": "true" }, h("b", null, String(kernel)), h("i", null, digits(most, 3))),
    );
    grid.append(tile);
  }
  styled(grid, { "--across": String(across(to - from)) });
  rove(grid);
  return grid;
}

// Columns of the grid: about as wide as high, where a row is full if the number allows it.
function across(count) {
  const wanted = Math.ceil(Math.sqrt(count * 1.4));
  for (let more = 0; more <= 4; more++) if (count % (wanted + more) === 0) return wanted + more;
  return Math.max(1, wanted);
}

// Row and column of the pixel under the pointer; the middle where the key Enter was pressed.
function pixelAt(event, canvas) {
  const box = canvas.getBoundingClientRect();
  const inside = event.detail > 0 && box.width > 0;
  const place = (at, from, length, count) =>
    inside ? Math.min(count - 1, Math.max(0, Math.floor(((at - from) / length) * count))) : count >> 1;
  return [place(event.clientY, box.top, box.height, canvas.height), place(event.clientX, box.left, box.width, canvas.width)];
}

/** One stop of the Tab key for a whole grid of buttons; the arrow keys move inside it. */
export function rove(grid) {
  const buttons = [...grid.querySelectorAll("button")];
  const first = buttons.find((button) => button.getAttribute("aria-pressed") === "true") ?? buttons[0];
  for (const button of buttons) button.tabIndex = button === first ? 0 : -1;
  grid.addEventListener("keydown", (event) => {
    const at = buttons.indexOf(event.target);
    if (at < 0) return;
    const row = buttons.filter((button) => button.offsetTop === buttons[0].offsetTop).length;
    const moves = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -row, ArrowDown: row, Home: -at, End: buttons.length - 1 - at };
    const next = buttons[at + (moves[event.key] ?? NaN)];
    if (!next) return;
    event.preventDefault();
    for (const button of buttons) button.tabIndex = button === next ? 0 : -1;
    next.focus();
  });
}
