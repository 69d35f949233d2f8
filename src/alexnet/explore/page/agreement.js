// Whether the page's own sum is what the network computed, said in a line.

import { h } from "./dom.js";
import { digits } from "./format.js";

const WHO = {
  none: "The network, in float32,",
  network: "The browser, with the weights rounded to 16 bits,",
  page: "The network, with weights that are not rounded to 16 bits as these are,",
};

/** "computed here ...; the network says ...": `value` is the page's, `served` the network's, `tolerance` what rounding explains.
 *  half: which of the two computed with the 16-bit weights of the network's file, where the other has those of 32 bits. */
export function agreement(value, served, tolerance, half = "none") {
  const apart = Math.abs(value - served);
  const agrees = apart <= tolerance;
  const judged = agrees ? "which is rounding" : "more than rounding explains";
  const words =
    apart === 0
      ? "The network computed exactly this number."
      : `${WHO[half]} computed ${digits(served, 8)}: ${digits(apart, 2)} apart, ${judged}.`;
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
