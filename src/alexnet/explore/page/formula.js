// Type-set lines of arithmetic: italic variables, subscripts, powers, fractions, and numbers with a meaning.

import { h } from "./dom.js";

/** A variable with its index: a with "3" below. */
export const variable = (name, index) => h("var", null, name, index === undefined ? null : h("sub", null, String(index)));

/** A power: base with its exponent above. */
export const power = (base, exponent) => h("span", { class: "power" }, base, h("sup", null, String(exponent)));

/** One over the other. */
export const fraction = (above, below) => h("span", { class: "fraction" }, h("span", null, above), h("span", null, below));

/** A number in a line, named below in small letters. `kind`: result, sum, or nothing. */
export const term = (text, name, kind, attributes) =>
  h("span", { class: `term ${kind ?? ""}` }, h("b", attributes, text), name ? h("small", null, name) : null);

/** An operator between two terms. */
export const sign = (text) => h("span", { class: "sign" }, text);

/** A line of such parts. */
export const line = (...parts) => h("p", { class: "formula-line" }, parts);
