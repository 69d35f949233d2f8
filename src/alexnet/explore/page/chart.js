// Lines over steps or epochs, with their values under the pointer or the arrow keys.

import { h, svg } from "./dom.js";
import { digits, whole } from "./format.js";

const [WIDE, HIGH, LEFT, BELOW] = [560, 250, 44, 30];

/** A chart. lines: [{name, column, dashed, points: [[x, y]]}]; unit: what follows a value; xName: what x counts. */
export function chart({ title, lines, unit = "", xName, zero = true }) {
  const drawn = lines.filter((line) => line.points.length);
  if (!drawn.length)
    return h("figure", { class: "chart" }, h("h3", null, title), h("p", { class: "faint" }, "nothing measured yet"));
  const scale = scaleOf(drawn, zero);
  const pointer = pointerOver(drawn, scale);
  const curves = drawn.map((line) =>
    svg("polyline", {
      class: `line column-${line.column} ${line.dashed ? "second-form" : ""}`,
      points: line.points.map(([x, y]) => `${scale.x(x).toFixed(1)},${scale.y(y).toFixed(1)}`).join(" "),
    }),
  );
  const size = { viewBox: `0 0 ${WIDE} ${HIGH}`, "aria-hidden": "true" };
  const drawing = svg("svg", size, axes(scale, xName), curves, pointer.marks);
  const told = h("p", { class: "told", "aria-live": "polite" });
  const tell = (place) => {
    const { x, values } = pointer.move(place);
    told.textContent = `${xName} ${whole(x)}: ${values.map(([name, y]) => `${name} ${digits(y, 4)}${unit}`).join(", ")}`;
  };
  tell(Infinity);
  const names = drawn.map((line) =>
    h("span", { class: `column-${line.column} ${line.dashed ? "second-form" : ""}` }, line.name),
  );
  const label = `${title}: ${drawn.map((line) => line.name).join(", ")}; arrow keys move over it`;
  const area = h(
    "div",
    {
      tabindex: 0,
      role: "application",
      "aria-label": label,
      onkeydown: (event) => {
        const move = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
        if (!move) return;
        event.preventDefault();
        tell(pointer.at() + move);
      },
    },
    drawing,
  );
  area.addEventListener("pointermove", (event) => {
    const box = drawing.getBoundingClientRect();
    tell(pointer.nearest(((event.clientX - box.left) / box.width) * WIDE));
  });
  return h("figure", { class: "chart" }, h("h3", null, title), h("p", { class: "legend" }, names), area, told);
}

// The range of both axes, and where a value lies on the drawing.
function scaleOf(lines, zero) {
  const all = lines.flatMap((line) => line.points);
  const [from, to] = [Math.min(...all.map(([x]) => x)), Math.max(...all.map(([x]) => x))];
  const top = Math.max(...all.map(([, y]) => y)) * 1.05 || 1;
  const bottom = zero ? 0 : Math.min(...all.map(([, y]) => y));
  const x = (value) => LEFT + ((value - from) / (to - from || 1)) * (WIDE - LEFT - 8);
  const y = (value) => HIGH - BELOW - ((value - bottom) / (top - bottom || 1)) * (HIGH - BELOW - 10);
  return { from, to, top, bottom, x, y };
}

// A line and dots at one of the places that were measured: {marks, move(place) → {x, values}, nearest(x), at()}.
function pointerOver(lines, scale) {
  const places = [...new Set(lines.flatMap((line) => line.points.map(([x]) => x)))].sort((a, b) => a - b);
  const cursor = svg("line", { class: "cursor", y1: 6, y2: HIGH - BELOW });
  const dots = lines.map((line) => svg("circle", { r: 4, class: `dot column-${line.column}` }));
  let at = 0;
  function move(place) {
    at = Math.min(places.length - 1, Math.max(0, place));
    const x = places[at];
    cursor.setAttribute("x1", scale.x(x));
    cursor.setAttribute("x2", scale.x(x));
    const values = [];
    lines.forEach((line, k) => {
      const point = line.points.find(([other]) => other === x);
      dots[k].setAttribute("visibility", point ? "visible" : "hidden");
      if (!point) return;
      dots[k].setAttribute("cx", scale.x(x));
      dots[k].setAttribute("cy", scale.y(point[1]));
      values.push([line.name, point[1]]);
    });
    return { x, values };
  }
  const apart = (place, x) => Math.abs(scale.x(places[place]) - x);
  const nearest = (x) => places.reduce((best, _, place) => (apart(place, x) < apart(best, x) ? place : best), 0);
  return { marks: [cursor, dots], move, nearest, at: () => at };
}

function axes(scale, xName) {
  const parts = [];
  for (const value of ticks(scale.bottom, scale.top, 5)) {
    const y = scale.y(value);
    const text = svg("text", { x: LEFT - 7, y: y + 4, "text-anchor": "end" }, digits(value, 3));
    parts.push(svg("line", { class: "grid", x1: LEFT, x2: WIDE - 8, y1: y, y2: y }), text);
  }
  for (const value of ticks(scale.from, scale.to, 6))
    parts.push(svg("text", { x: scale.x(value), y: HIGH - BELOW + 16, "text-anchor": "middle" }, digits(value, 3)));
  parts.push(svg("text", { x: WIDE - 8, y: HIGH - 1, "text-anchor": "end" }, xName));
  return parts;
}

// Round numbers between two, about so many.
function ticks(from, to, wanted) {
  const rough = (to - from || 1) / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((k) => k * power).find((each) => each >= rough);
  const list = [];
  for (let value = Math.ceil(from / step) * step; value <= to + step / 1e6; value += step) list.push(value);
  return list;
}
