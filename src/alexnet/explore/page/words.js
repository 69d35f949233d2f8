// A step of the network in words: what it is, with its numbers.

import { digits, large, shapeText, whole } from "./format.js";

export const KINDS = {
  convolution: "convolution",
  activation: "activation",
  normalization: "local response normalization",
  "batch-normalization": "batch normalization",
  pooling: "max pooling",
  dropout: "dropout",
  full: "fully connected",
};

const READS = {
  image: "the image, all of it",
  "own column": "the maps of its own column only",
  "both columns": "the maps of both columns",
  all: "all maps before it",
};

const SAYS = {
  convolution: (step, before) => {
    const channels = before ? before.shape[0] / step.groups : 3;
    const zeros = step.padding ? `, ${step.padding} ${step.padding === 1 ? "row" : "rows"} of zeros around the map` : "";
    const over = step.overhang
      ? ` The last window hangs over the right and bottom edge by ${step.overhang}, where it reads zeros.`
      : "";
    return (
      `${whole(step.shape[0])} kernels of ${step.kernel}×${step.kernel}×${channels} move by ${step.stride}${zeros}.${over}` +
      ` Each reads ${READS[step.reads] ?? step.reads}. ${large(step.parameters)} parameters, ` +
      `${large(step.multiply_adds)} multiply-adds.`
    );
  },
  activation: (step) =>
    ({
      relu: "Rectified linear: what is below 0 becomes 0, all else stays (§3.1).",
      tanh: "Hyperbolic tangent: every number is pressed into −1 to 1, the form before §3.1.",
      sigmoid: "The logistic function: every number is pressed into 0 to 1.",
    })[step.function],
  normalization: (step) =>
    step.within_map
      ? `Every number is divided by (k + α·Σa²)^β, the sum over the ${step.n}×${step.n} positions ` +
        `around it in the same map: k ${step.k}, α ${digits(step.alpha)}, β ${step.beta}. The text of ` +
        "the paper does not mention it; its program did it."
      : `Every number is divided by (k + α·Σa²)^β, the sum over ${step.n} neighbouring kernels at the ` +
        `same position (§3.3)${step.per_column ? ", those of its column" : ""}: k ${step.k}, α ` +
        `${digits(step.alpha)}, β ${step.beta}.`,
  "batch-normalization": () => "Every map is brought to a mean and a spread that were measured in training. Not in the paper.",
  pooling: (step) =>
    `The largest of every ${step.window}×${step.window} window; windows lie ${step.stride} apart` +
    (step.stride < step.window ? ", so that they overlap (§3.4)." : ", without overlap.") +
    (step.overhang ? ` The last ones hang over the edge by ${step.overhang}.` : ""),
  dropout: (step) =>
    step.form === "mask"
      ? `In training each unit is set to 0 with probability ${step.probability}; at test all stay, ` +
        `times ${digits(1 - step.probability)} (§4.2).`
      : `In training each unit is set to 0 with probability ${step.probability}, and the others are ` +
        `multiplied by ${digits(1 / (1 - step.probability))}; at test nothing happens.`,
  full: (step) =>
    `${whole(step.units)} units, each a sum over ${whole(step.inputs)} ` +
    `inputs${step.reads === "own column" ? " of its own column" : ""}. ${large(step.parameters)} ` +
    "parameters.",
};

/** A class as people call it: "tench" for n01440764; the name itself where there is no other. */
export const wordOf = (net, label) => net.words?.[net.classes.indexOf(label)] ?? label;

/** A sentence or two about a step. */
export const describe = (step, before) => SAYS[step.kind]?.(step, before) ?? "";

/** A step's name with its size: "pool1 27×27". */
export const sizeOf = (step) => shapeText(step.shape.length === 1 ? step.shape : step.shape.slice(1));

/** The layers in order, each with its steps: [{name, steps}]. */
export function layersOf(net) {
  const layers = [];
  for (const step of net.steps) {
    if (layers.at(-1)?.name !== step.layer) layers.push({ name: step.layer, steps: [] });
    layers.at(-1).steps.push(step);
  }
  return layers;
}
