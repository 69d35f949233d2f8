// Numbers as a square of coloured cells: a patch, a kernel, their products.

import { colourOf, css, inkOn, largestOf } from "./colours.js";
import { h, styled } from "./dom.js";
import { digits, short } from "./format.js";

/** A table of `values`, `across` a row.
 *  column: whose hue. largest: what has the strongest colour. caption: above it.
 *  places: "" or why a cell is a zero from outside the map. marked: cells with a ring.
 *  walk: whether the keyboard goes over its cells, see `together`. choose(k): a cell was pressed. */
export function grid({ values, across, column, largest, caption, note, places, marked, walk, choose }) {
  const strongest = largest ?? largestOf(values);
  const cell = (value, k) => {
    const where = places?.[k] ?? "";
    const kind = [where && "outside", marked?.has(k) && "ring"].filter(Boolean).join(" ") || null;
    const title = where ? `${where}: zero` : digits(value, 7);
    const element = h("td", { class: kind, "data-cell": k, title }, where ? "0" : short(value));
    if (where) return element;
    const colour = colourOf(value, strongest, column);
    return styled(element, { "background-color": css(colour), color: inkOn(colour) });
  };
  const rows = [];
  for (let start = 0; start < values.length; start += across) {
    rows.push(
      h(
        "tr",
        null,
        Array.from(values.slice(start, start + across), (value, k) => cell(value, start + k)),
      ),
    );
  }
  const title = h("caption", null, h("b", null, caption), note ? h("span", null, ` ${note}`) : null);
  const table = styled(h("table", { class: "number-grid" }, title, h("tbody", null, rows)), { "--across": String(across) });
  const box = h("div", { class: choose ? "grid-box pressable" : "grid-box" }, table);
  if (choose) box.addEventListener("click", ({ target }) => target.dataset.cell && choose(Number(target.dataset.cell)));
  if (walk) walkOver(box, across, values.length, choose, caption);
  return box;
}

// The arrow keys go from cell to cell, Enter chooses one; an event "cell" says where they are.
function walkOver(box, across, count, choose, caption) {
  let at = -1;
  const say = () => box.dispatchEvent(new CustomEvent("cell", { bubbles: true, detail: at }));
  box.tabIndex = 0;
  box.setAttribute("role", "group");
  box.setAttribute(
    "aria-label",
    `${caption}: arrow keys go over its numbers${choose ? ", Enter to where one comes from" : ""}`,
  );
  box.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -across, ArrowDown: across }[event.key];
    if (event.key === "Enter" && choose && at >= 0) choose(at);
    else if (move) at = Math.min(count - 1, Math.max(0, at < 0 ? 0 : at + move));
    else return;
    event.preventDefault();
    say();
  });
}

/** Let the pointer, or the keyboard, over a cell of one table mark the same cell in all; `tell(k)` hears which, or null. */
export function together(box, tell) {
  const mark = (k) => {
    for (const cell of box.querySelectorAll("td.same")) cell.classList.remove("same");
    if (k !== null) for (const cell of box.querySelectorAll(`td[data-cell="${k}"]`)) cell.classList.add("same");
    tell(k);
  };
  box.addEventListener("pointerover", ({ target }) =>
    mark(target.dataset?.cell === undefined ? null : Number(target.dataset.cell)),
  );
  box.addEventListener("pointerleave", () => mark(null));
  box.addEventListener("cell", ({ detail }) => mark(detail));
}
