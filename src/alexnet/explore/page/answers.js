// What a network says of an image: labels with bars.

import { h, styled } from "./dom.js";
import { percent } from "./format.js";
import { wordOf } from "./words.js";

/** Labels with their probabilities as bars; the true one is marked. `top`: [{label, probability}], by names of classes. */
export function bars(top, truth, net) {
  return h(
    "ol",
    { class: "bars" },
    top.map(({ label, probability }) => {
      const right = label === truth;
      const bar = styled(h("span", { class: "bar", "aria-hidden": "true" }, h("i")), { "--share": `${100 * probability}%` });
      return h(
        "li",
        { class: right ? "right" : null, "data-testid": "label-row", "data-probability": String(probability) },
        h("span", { class: "label-name", "data-testid": "label-name", "data-label": label }, wordOf(net, label)),
        right ? h("span", { class: "mark" }, "true label") : null,
        h(
          "span",
          { class: "label-probability", "data-testid": "label-probability", "data-probability": String(probability) },
          percent(probability),
        ),
        bar,
      );
    }),
  );
}

/** A line about the true label: whether it is known, and where it stands among the answers. */
export function judgement(top, truth, net) {
  if (!truth) return null;
  const place = top.findIndex(({ label }) => label === truth);
  const words =
    place === 0
      ? "The network is right."
      : place > 0
        ? `The true label, ${wordOf(net, truth)}, is number ${place + 1}.`
        : `The true label, ${wordOf(net, truth)}, is not among them.`;
  return h("p", { class: `judgement ${place === 0 ? "good" : ""}` }, words);
}
