// The maps of a layer as tiles: a small canvas a kernel, inside buttons that the arrow keys go over.

import { highest, largestOf, paint } from "./colours.js";
import { canvasOf, h, styled } from "./dom.js";
import { digits, plural } from "./format.js";

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

/** The activations [U] of a fully connected layer's column as rows of cells; a pixel is a unit.
 *  choose(unit); masked: units that dropout drops, as a Uint8Array, or null. */
export function strip({ values, from, to, column, largest, choose, label, masked }) {
  const count = to - from;
  const wide = count <= 64 ? count : count <= 512 ? 64 : 128;
  const high = Math.ceil(count / wide);
  const padded = new Float32Array(wide * high);
  padded.set(values.subarray(from, to));
  if (masked) for (let k = 0; k < count; k++) if (masked[from + k]) padded[k] = 0;
  const canvas = canvasOf(wide, high, { class: "strip-cells" });
  paint(canvas, padded, 0, largest ?? largestOf(values, from, count), column);
  const cross = masked ? crosses(wide, high, masked, from, count) : null;
  const told = h(
    "p",
    { class: "told faint", "aria-live": "polite" },
    `${plural(count, "unit")}; point at a cell, or move with the arrow keys`,
  );
  let at = 0;
  const mark = h("span", { class: "strip-mark", hidden: true });
  const tell = (k) => {
    at = Math.min(count - 1, Math.max(0, k));
    told.textContent = `unit ${from + at}: ${digits(values[from + at], 5)}${masked?.[from + at] ? ", dropped" : ""}`;
    mark.hidden = false;
    styled(mark, {
      left: `${(100 * (at % wide)) / wide}%`,
      top: `${(100 * Math.floor(at / wide)) / high}%`,
      width: `${100 / wide}%`,
      height: `${100 / high}%`,
    });
  };
  const cellOf = (event) => {
    const box = canvas.getBoundingClientRect();
    const cell = (at, length, cells) => Math.min(cells - 1, Math.max(0, Math.floor((at / length) * cells)));
    return cell(event.clientY - box.top, box.height, high) * wide + cell(event.clientX - box.left, box.width, wide);
  };
  const cells = h(
    "div",
    {
      class: `strip column-${column + 1}`,
      tabindex: 0,
      role: "application",
      "aria-label": `${label}; arrow keys move, Enter shows how the number comes about`,
      onpointermove: (event) => tell(cellOf(event)),
      onclick: (event) => choose(from + Math.min(count - 1, cellOf(event))),
      onfocus: () => tell(at),
      onkeydown: (event) => {
        const move = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -wide, ArrowDown: wide }[event.key];
        if (move) tell(at + move);
        else if (event.key === "Enter") choose(from + at);
        else return;
        event.preventDefault();
      },
    },
    canvas,
    cross,
    mark,
  );
  return h("div", null, cells, told);
}

// Dropped units as a second layer of small crosses, since a dropped unit and a unit of 0 would look the same.
function crosses(wide, high, masked, from, count) {
  const cell = 8;
  const canvas = canvasOf(wide * cell, high * cell, { class: "strip-crosses", "aria-hidden": "true" });
  const pen = canvas.getContext("2d");
  pen.strokeStyle = getComputedStyle(document.documentElement).getPropertyValue("--faint");
  pen.globalAlpha = 0.75;
  pen.beginPath();
  for (let k = 0; k < count; k++) {
    if (!masked[from + k]) continue;
    const [x, y] = [(k % wide) * cell, Math.floor(k / wide) * cell];
    pen.moveTo(x + 2, y + 2);
    pen.lineTo(x + cell - 2, y + cell - 2);
    pen.moveTo(x + cell - 2, y + 2);
    pen.lineTo(x + 2, y + cell - 2);
  }
  pen.stroke();
  return canvas;
}
