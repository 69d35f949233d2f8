// Whether the page's own sum is what the network computed, said in a line.

import { h } from "./dom.js";
import { digits } from "./format.js";

/** "computed here ...; the network says ...": `value` is the page's, `served` the network's, `size` of the sums inside. */
export function agreement(value, served, tolerance) {
  const apart = Math.abs(value - served);
  const agrees = apart <= tolerance;
  const words =
    apart === 0
      ? "The network computed exactly this number."
      : agrees
        ? `The network, in float32, computed ${digits(served, 8)}: ${digits(apart, 2)} apart, which is rounding.`
        : `The network computed ${digits(served, 8)}: ${digits(apart, 2)} apart, more than rounding in float32 explains.`;
  return h(
    "p",
    {
      class: `agreement ${agrees ? "" : "apart"}`,
      "data-testid": "agreement",
      "data-agrees": String(agrees),
      "data-served": String(served),
    },
    h("span", { "aria-hidden": "true" }, agrees ? "✓ " : "≠ "),
    words,
  );
}
