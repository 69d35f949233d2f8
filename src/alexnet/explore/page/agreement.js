// Whether the page's own sum is what the network computed, said in a line.

import { h } from "./dom.js";
import { digits } from "./format.js";

const HALF = 1 << 13; // how much coarser numbers of 16 bits are than those of 32

/** "computed here ...; the network says ...": `value` is the page's, `served` the network's, `tolerance` what rounding explains.
 *  half: whether the network computed with the 16-bit weights of its file, and this page with those of 32 bits. */
export function agreement(value, served, tolerance, half = false) {
  const apart = Math.abs(value - served);
  const agrees = apart <= (half ? tolerance * HALF : tolerance);
  const who = half ? "The browser, with the weights rounded to 16 bits," : "The network, in float32,";
  const judged = agrees ? "which is rounding" : "more than rounding explains";
  const words =
    apart === 0
      ? "The network computed exactly this number."
      : `${who} computed ${digits(served, 8)}: ${digits(apart, 2)} apart, ${judged}.`;
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
