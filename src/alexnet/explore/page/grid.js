// Numbers as a square of coloured cells: a patch, a kernel, their products.

import { colourOf, css, inkOn, largestOf } from "./colours.js";
import { h, styled } from "./dom.js";
import { digits, short } from "./format.js";

/** A table of `values`, `across` a row.
 *  column: whose hue. largest: what has the strongest colour. caption: above it.
 *  places: "" or why a cell is a zero from outside the map. marked: cells with a ring. choose(k): a cell was pressed. */
export function grid({ values, across, column, largest, caption, note, places, marked, choose }) {
  const strongest = largest ?? largestOf(values);
  const rows = [];
  for (let start = 0; start < values.length; start += across) {
    const cells = [];
    for (let k = start; k < start + across; k++) cells.push(cell(values[k], k));
    rows.push(h("tr", null, cells));
  }
  function cell(value, k) {
    if (value === null) return h("td", { class: "none", "data-cell": k });
    const where = places?.[k] ?? "";
    const element = h(
      "td",
      {
        class: [where && "outside", marked?.has(k) && "ring"].filter(Boolean).join(" ") || null,
        "data-cell": k,
        title: where ? `${where}: zero` : digits(value, 7),
      },
      where ? "0" : short(value),
    );
    if (where) return element;
    const colour = colourOf(value, strongest, column);
    return styled(element, { "background-color": css(colour), color: inkOn(colour) });
  }
  const table = h(
    "table",
    {
      class: "number-grid",
      onclick: choose ? (event) => event.target.dataset.cell && choose(Number(event.target.dataset.cell)) : null,
    },
    h("caption", null, h("b", null, caption), note ? h("span", null, ` ${note}`) : null),
    h("tbody", null, rows),
  );
  styled(table, { "--across": String(across) });
  return h("div", { class: choose ? "grid-box pressable" : "grid-box" }, table);
}

/** Let the pointer over a cell of one table mark the same cell in all; `tell(k)` hears which, or null. */
export function together(box, tell) {
  box.addEventListener("pointerover", (event) => {
    const k = event.target.dataset?.cell;
    for (const cell of box.querySelectorAll("td.same")) cell.classList.remove("same");
    if (k !== undefined) for (const cell of box.querySelectorAll(`td[data-cell="${k}"]`)) cell.classList.add("same");
    tell(k === undefined ? null : Number(k));
  });
  box.addEventListener("pointerleave", () => {
    for (const cell of box.querySelectorAll("td.same")) cell.classList.remove("same");
    tell(null);
  });
}
