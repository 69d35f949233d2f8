// What each of many channels adds to a sum, as bars above and below a line; one is chosen.

import { h, svg } from "./dom.js";
import { digits, whole } from "./format.js";

const [WIDE, HIGH] = [1200, 110];

// A bar up or down for each sum, in the hue of its column.
function barsOf(sums, columns) {
  const largest = Math.max(1e-30, ...sums.map(Math.abs));
  const wide = WIDE / sums.length;
  return columns.flatMap(({ column, from, to }) =>
    sums.slice(from, to).map((sum, k) => {
      const high = Math.max(0.8, (Math.abs(sum) / largest) * (HIGH / 2 - 3));
      const place = { x: (from + k + 0.08) * wide, y: sum < 0 ? HIGH / 2 : HIGH / 2 - high, width: wide * 0.84, height: high };
      return svg("rect", { ...place, class: `column-${column + 1} ${sum < 0 ? "below" : ""}` });
    }),
  );
}

/** Bars of `sums`, one a channel. columns: [{column, from, to}] for their hues. choose(channel). */
export function channelBars({ sums, chosen, first, choose, columns }) {
  const wide = WIDE / sums.length;
  const mark = svg("rect", { y: 1, width: wide, height: HIGH - 2, class: "chosen" });
  const drawing = svg(
    "svg",
    { viewBox: `0 0 ${WIDE} ${HIGH}`, preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("line", { x1: 0, x2: WIDE, y1: HIGH / 2, y2: HIGH / 2 }),
    mark,
    barsOf(sums, columns),
  );
  const told = h("p", { class: "told" });
  const slider = h(
    "div",
    {
      class: "channel-bars",
      role: "slider",
      tabindex: 0,
      "aria-label": "channel",
      "aria-valuemin": 0,
      "aria-valuemax": sums.length - 1,
      onclick: (event) => {
        const box = drawing.getBoundingClientRect();
        pick(Math.floor(((event.clientX - box.left) / box.width) * sums.length));
      },
      onkeydown: (event) => {
        const move = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: 1, ArrowDown: -1, PageUp: 10, PageDown: -10 }[event.key];
        if (!move) return;
        event.preventDefault();
        pick(at + move);
      },
    },
    drawing,
  );
  let at = chosen;
  function show() {
    mark.setAttribute("x", at * wide);
    const text = `map ${first + at} adds ${digits(sums[at], 5)}`;
    told.replaceChildren(
      h("b", null, text),
      h("span", { class: "faint" }, ` — what each of the ${whole(sums.length)} maps adds; choose one to see its products`),
    );
    slider.setAttribute("aria-valuenow", at);
    slider.setAttribute("aria-valuetext", text);
  }
  function pick(channel) {
    at = Math.min(sums.length - 1, Math.max(0, channel));
    show();
    choose(at);
  }
  show();
  return h("div", null, slider, told);
}
