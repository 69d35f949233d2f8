// The units of a fully connected layer as a strip of cells: 4096 at a glance.

import { largestOf, paint } from "./colours.js";
import { canvasOf, h, styled } from "./dom.js";
import { digits, plural } from "./format.js";

/** The activations [U] of a fully connected layer's column as rows of cells; a cell is a unit.
 *  choose(unit); names: what units are called, or null; masked: units that dropout drops, as a Uint8Array, or null.
 *  Gives {element, mark(unit)}. */
export function strip({ values, from, to, column, largest, choose, label, masked, names }) {
  const count = to - from;
  const wide = count <= 64 ? count : count <= 512 ? 64 : 128;
  const high = Math.ceil(count / wide);
  const frame = frameOf(wide, high);
  const told = h(
    "p",
    { class: "told faint", "aria-live": "polite" },
    `${plural(count, "unit")}; point at a cell, or move with the arrow keys`,
  );
  let at = 0;
  const tell = (k) => {
    at = Math.min(count - 1, Math.max(0, k));
    const name = names?.[from + at] ?? `unit ${from + at}`;
    told.textContent = `${name}: ${digits(values[from + at], 5)}${masked?.[from + at] ? ", dropped" : ""}`;
    frame.mark(at);
  };
  const cellOf = (event) => {
    const box = event.currentTarget.getBoundingClientRect();
    const place = (offset, length, cells) => Math.min(cells - 1, Math.max(0, Math.floor((offset / length) * cells)));
    const row = place(event.clientY - box.top, box.height, high);
    return Math.min(count - 1, row * wide + place(event.clientX - box.left, box.width, wide));
  };
  const key = (event) => {
    const move = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -wide, ArrowDown: wide }[event.key];
    if (move) tell(at + move);
    else if (event.key === "Enter") choose(from + at);
    else return;
    event.preventDefault();
  };
  const attributes = {
    class: `strip column-${column + 1}`,
    tabindex: 0,
    role: "application",
    "aria-label": `${label}; arrow keys move, Enter shows how the number comes about`,
    onpointermove: (event) => tell(cellOf(event)),
    onclick: (event) => choose(from + cellOf(event)),
    onfocus: () => tell(at),
    onkeydown: key,
  };
  const crossed = masked ? crosses(wide, high, masked, from, count) : null;
  const cells = cellsOf(values.subarray(from, to), wide, high, column, largest, masked?.subarray(from, to));
  return {
    element: h("div", null, h("div", attributes, cells, crossed, frame.element), told),
    mark: (unit) => tell(unit - from),
  };
}

// A canvas with a pixel for each unit; what is dropped is 0.
function cellsOf(values, wide, high, column, largest, masked) {
  const padded = new Float32Array(wide * high);
  values.forEach((value, k) => (padded[k] = masked?.[k] ? 0 : value));
  const canvas = canvasOf(wide, high, { class: "strip-cells" });
  paint(canvas, padded, 0, largest ?? largestOf(values), column);
  return canvas;
}

// A frame around one cell: {element, mark(k)}.
function frameOf(wide, high) {
  const element = h("span", { class: "strip-mark", hidden: true });
  const mark = (k) => {
    element.hidden = false;
    const [left, top] = [(100 * (k % wide)) / wide, (100 * Math.floor(k / wide)) / high];
    styled(element, { left: `${left}%`, top: `${top}%`, width: `${100 / wide}%`, height: `${100 / high}%` });
  };
  return { element, mark };
}

// Dropped units as a second layer of small crosses, since a dropped unit and a unit of 0 would look the same.
function crosses(wide, high, masked, from, count) {
  const cell = 8;
  const canvas = canvasOf(wide * cell, high * cell, { class: "strip-crosses", "aria-hidden": "true" });
  const pen = canvas.getContext("2d");
  pen.strokeStyle = getComputedStyle(document.body).color;
  pen.globalAlpha = 0.5;
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
