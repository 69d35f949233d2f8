// Lines over steps or epochs, with their values under the pointer or the arrow keys.

import { h, svg } from "./dom.js";
import { digits, whole } from "./format.js";

const [WIDE, HIGH, LEFT, BELOW] = [560, 250, 44, 30];

/** A chart. lines: [{name, column, dashed, points: [[x, y]]}]; unit: what follows a value; xName: what x counts. */
export function chart({ title, lines, unit = "", xName, zero = true }) {
  const drawn = lines.filter((line) => line.points.length);
  if (!drawn.length)
    return h("figure", { class: "chart" }, h("h3", null, title), h("p", { class: "faint" }, "nothing measured yet"));
  const all = drawn.flatMap((line) => line.points);
  const range = {
    from: Math.min(...all.map(([x]) => x)),
    to: Math.max(...all.map(([x]) => x)),
    top: Math.max(...all.map(([, y]) => y)) * 1.05 || 1,
    bottom: zero ? 0 : Math.min(...all.map(([, y]) => y)),
  };
  const px = (x) => LEFT + ((x - range.from) / (range.to - range.from || 1)) * (WIDE - LEFT - 8);
  const py = (y) => HIGH - BELOW - ((y - range.bottom) / (range.top - range.bottom || 1)) * (HIGH - BELOW - 10);
  const cursor = svg("line", { class: "cursor", y1: 6, y2: HIGH - BELOW, visibility: "hidden" });
  const dots = drawn.map((line) => svg("circle", { r: 4, class: `dot column-${line.column}`, visibility: "hidden" }));
  const drawing = svg(
    "svg",
    { viewBox: `0 0 ${WIDE} ${HIGH}`, "aria-hidden": "true" },
    axes(range, px, py, xName),
    drawn.map((line) =>
      svg("polyline", {
        class: `line column-${line.column} ${line.dashed ? "second-form" : ""}`,
        points: line.points.map(([x, y]) => `${px(x).toFixed(1)},${py(y).toFixed(1)}`).join(" "),
      }),
    ),
    cursor,
    dots,
  );
  const told = h("p", { class: "told", "aria-live": "polite" });
  const places = [...new Set(all.map(([x]) => x))].sort((a, b) => a - b);
  let at = places.length - 1;
  function tell(place) {
    at = Math.min(places.length - 1, Math.max(0, place));
    const x = places[at];
    const values = drawn.map((line, k) => {
      const point = line.points.find(([other]) => other === x);
      dots[k].setAttribute("visibility", point ? "visible" : "hidden");
      if (!point) return null;
      dots[k].setAttribute("cx", px(x));
      dots[k].setAttribute("cy", py(point[1]));
      return `${line.name} ${digits(point[1], 4)}${unit}`;
    });
    for (const [name, value] of [
      ["x1", px(x)],
      ["x2", px(x)],
      ["visibility", "visible"],
    ])
      cursor.setAttribute(name, value);
    told.textContent = `${xName} ${whole(x)}: ${values.filter(Boolean).join(", ")}`;
  }
  const nearest = (event) => {
    const box = drawing.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * WIDE;
    return places.reduce((best, other, k) => (Math.abs(px(other) - x) < Math.abs(px(places[best]) - x) ? k : best), 0);
  };
  tell(at);
  const area = h(
    "div",
    {
      tabindex: 0,
      role: "application",
      "aria-label": `${title}: ${drawn.map((line) => line.name).join(", ")}; arrow keys move over it`,
      onpointermove: (event) => tell(nearest(event)),
      onkeydown: (event) => {
        const move = { ArrowLeft: -1, ArrowRight: 1, Home: -places.length, End: places.length }[event.key];
        if (!move) return;
        event.preventDefault();
        tell(at + move);
      },
    },
    drawing,
  );
  return h(
    "figure",
    { class: "chart" },
    h("h3", null, title),
    h(
      "p",
      { class: "legend" },
      drawn.map((line) => h("span", { class: `column-${line.column} ${line.dashed ? "second-form" : ""}` }, line.name)),
    ),
    area,
    told,
  );
}

function axes(range, px, py, xName) {
  const parts = [];
  for (const value of ticks(range.bottom, range.top, 5))
    parts.push(
      svg("line", { class: "grid", x1: LEFT, x2: WIDE - 8, y1: py(value), y2: py(value) }),
      svg("text", { x: LEFT - 7, y: py(value) + 4, "text-anchor": "end" }, digits(value, 3)),
    );
  for (const value of ticks(range.from, range.to, 6))
    parts.push(svg("text", { x: px(value), y: HIGH - BELOW + 16, "text-anchor": "middle" }, digits(value, 3)));
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
