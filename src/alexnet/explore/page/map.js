// One map, large: its pixels, the window that is read, the pixel that is computed; the arrow keys move that pixel.

import { largestOf, paint, paintRGB } from "./colours.js";
import { canvasOf, h, svg } from "./dom.js";

/** A drawing of one map.
 *  values, start, width, height: where its numbers lie; rgb: three planes as a picture.
 *  margin: pixels of zeros {before, after} to show around it.
 *  windows: [{top, left, size, kind}] outlines; pixel: {y, x}.
 *  Gives a list of elements, to put into a box of class "map". */
export function drawMap({
  values,
  start,
  width,
  height,
  rgb,
  column,
  margin = { before: 0, after: 0 },
  windows = [],
  pixel,
  largest,
}) {
  const { before, after } = margin;
  const [wide, high] = [width + before + after, height + before + after];
  const inner = canvasOf(width, height);
  if (rgb) paintRGB(inner, values, 0, largest);
  else paint(inner, values, start, largest ?? largestOf(values, start, width * height), column);
  const canvas = canvasOf(wide, high, { "aria-hidden": "true" });
  canvas.getContext("2d").drawImage(inner, before, before);
  const thick = Math.max(wide, high) / 130;
  const outline = ({ top, left, size, kind }, k) => [
    kind === "main"
      ? svg("rect", { x: left, y: top, width: size, height: size, class: "halo", "stroke-width": thick * 3 })
      : null,
    svg("rect", {
      x: left,
      y: top,
      width: size,
      height: size,
      class: `window ${kind}`,
      "stroke-width": kind === "main" ? thick * 1.4 : thick,
      "data-k": k,
    }),
  ];
  const overlay = svg(
    "svg",
    { viewBox: `${-before} ${-before} ${wide} ${high}`, "aria-hidden": "true" },
    windows.map(outline),
    pixel ? outline({ top: pixel.y, left: pixel.x, size: 1, kind: "main" }, "pixel") : null,
  );
  if (before || after) overlay.prepend(svg("rect", { x: 0, y: 0, width, height, class: "edge", "stroke-width": thick / 2 }));
  return [canvas, overlay];
}

/** A box for a map in which a pixel is chosen by pointer or arrow keys. `size`: () => [height, width]; `now`: () => [y, x]. */
export function mapBox({ label, testid, size, now, pick }) {
  const at = (event) => {
    const box = event.currentTarget.getBoundingClientRect();
    const [height, width] = size();
    const place = (offset, length, count) => Math.min(count - 1, Math.max(0, Math.floor((offset / length) * count)));
    return [place(event.clientY - box.top, box.height, height), place(event.clientX - box.left, box.width, width)];
  };
  const key = (event) => {
    const far = event.shiftKey ? 5 : 1;
    const [dy, dx] = { ArrowUp: [-far, 0], ArrowDown: [far, 0], ArrowLeft: [0, -far], ArrowRight: [0, far] }[event.key] ?? [
      0, 0,
    ];
    if (!dy && !dx) return;
    event.preventDefault();
    const [height, width] = size();
    const [y, x] = now();
    pick(Math.min(height - 1, Math.max(0, y + dy)), Math.min(width - 1, Math.max(0, x + dx)));
  };
  return h("div", {
    class: "map pressable",
    tabindex: 0,
    role: "application",
    "aria-label": label,
    "data-testid": testid,
    onclick: (event) => pick(...at(event)),
    onpointermove: (event) => event.buttons === 1 && pick(...at(event)),
    onkeydown: key,
  });
}
