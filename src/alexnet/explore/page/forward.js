// The network computed here, in the browser: every step of network.json as one short function, in the order of the image's way.
//
// Maps are Float32Arrays in the order [C, H, W], and a step reads the one before it, as in the paper's network (§3.5). Sums are
// taken in float64, as JavaScript computes, and rounded to float32 once.

import { ACTIVATIONS, dropoutFactor } from "./arithmetic.js";

/**
 * The output of every step for the network's input: Map of step to Float32Array, in order; the last is the logits.
 * `network`: network.json; `tensors`: Map of "conv1.weight", "conv1.bias", ... to {shape, data}; `input`: [3, C, C], less the mean.
 */
export function forward(network, tensors, input) {
  const outputs = new Map();
  let x = { data: input, shape: [3, network.input_size, network.input_size] };
  for (const step of network.steps) {
    const compute = KINDS[step.kind];
    if (!compute) throw new Error(`step ${step.name}: the page cannot compute a step of kind ${step.kind}`);
    x = { data: compute(x, step, (part) => tensorOf(tensors, step.name, part)), shape: step.shape };
    outputs.set(step.name, x.data);
  }
  return outputs;
}

/** Class probabilities of the logits (§3.5): their exponentials, scaled to a sum of 1. */
export function softmax(logits) {
  const largest = logits.reduce((a, b) => Math.max(a, b), -Infinity); // taken off first, lest the exponentials overflow
  const powers = Array.from(logits, (logit) => Math.exp(logit - largest));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / sum);
}

const KINDS = {
  convolution,
  activation: (x, step) => x.data.map(ACTIVATIONS[step.function]),
  normalization: (x, step) => divided(x, step, step.within_map ? sumsWithinMap(x, step) : sumsOverKernels(x, step)),
  "batch-normalization": batchNormalization,
  pooling,
  dropout: (x, step) => x.data.map((value) => value * dropoutFactor(step)),
  full,
};

function tensorOf(tensors, layer, part) {
  const tensor = tensors.get(`${layer}.${part}`);
  if (!tensor) throw new Error(`the network's file has no ${layer}.${part}`);
  return tensor;
}

/** §3.2, §3.5: kernels slide over the maps of their own group: a column, or all there is. */
function convolution(x, step, tensor) {
  const weights = tensor("weight").data;
  const biases = tensor("bias").data;
  const [kernels, height, width] = step.shape;
  const places = height * width;
  const out = new Float32Array(kernels * places);
  const inGroup = kernels / step.groups;
  for (let group = 0; group < step.groups; group++) {
    const { patches, size } = patchesOf(x, step, group);
    const first = group * inGroup;
    const rows = weights.subarray(first * size, (first + inGroup) * size);
    products(rows, patches, biases.subarray(first), size, out.subarray(first * places, (first + inGroup) * places));
  }
  return out;
}

/** What the window covers at every place, one patch after another: the group's channels, rows, columns; zeros outside the map. */
function patchesOf(x, step, group) {
  const [channels, height, width] = x.shape;
  const inGroup = channels / step.groups;
  const size = inGroup * step.kernel * step.kernel; // ** 2 would give a float64, and indices made of it half the speed
  const patches = new Float32Array(step.shape[1] * step.shape[2] * size);
  let at = 0;
  for (let y = 0; y < step.shape[1]; y++) {
    for (let column = 0; column < step.shape[2]; column++) {
      const top = y * step.stride - step.padding;
      const left = column * step.stride - step.padding;
      const from = Math.max(0, -left); // columns of the window that lie in the map; beyond are padding and overhang
      const until = Math.min(step.kernel, width - left);
      for (let channel = group * inGroup; channel < (group + 1) * inGroup; channel++) {
        for (let i = 0; i < step.kernel; i++, at += step.kernel) {
          if (top + i < 0 || top + i >= height) continue;
          const row = (channel * height + top + i) * width + left;
          for (let j = from; j < until; j++) patches[at + j] = x.data[row + j];
        }
      }
    }
  }
  return { patches, size };
}

/**
 * out [kernels, places] = every row of `weights` [kernels, size] times every patch [places, size], plus the row's bias.
 * Four rows and two patches are taken at once, as a number that is loaded is then used several times; at the end some twice.
 */
function products(weights, patches, biases, size, out) {
  const kernels = weights.length / size;
  const places = patches.length / size;
  for (let k = 0; k < kernels; k += 4) {
    const [k0, k1, k2, k3] = [0, 1, 2, 3].map((next) => Math.min(k + next, kernels - 1));
    const [row0, row1, row2, row3] = [k0 * size, k1 * size, k2 * size, k3 * size];
    for (let p = 0; p < places; p += 2) {
      const q = Math.min(p + 1, places - 1);
      const [patch0, patch1] = [p * size, q * size];
      let a0 = 0, a1 = 0, a2 = 0, a3 = 0;
      let b0 = 0, b1 = 0, b2 = 0, b3 = 0;
      for (let i = 0; i < size; i++) {
        const a = patches[patch0 + i];
        const b = patches[patch1 + i];
        const w0 = weights[row0 + i];
        const w1 = weights[row1 + i];
        const w2 = weights[row2 + i];
        const w3 = weights[row3 + i];
        a0 += w0 * a;
        a1 += w1 * a;
        a2 += w2 * a;
        a3 += w3 * a;
        b0 += w0 * b;
        b1 += w1 * b;
        b2 += w2 * b;
        b3 += w3 * b;
      }
      out[k0 * places + p] = a0 + biases[k0];
      out[k1 * places + p] = a1 + biases[k1];
      out[k2 * places + p] = a2 + biases[k2];
      out[k3 * places + p] = a3 + biases[k3];
      out[k0 * places + q] = b0 + biases[k0];
      out[k1 * places + q] = b1 + biases[k1];
      out[k2 * places + q] = b2 + biases[k2];
      out[k3 * places + q] = b3 + biases[k3];
    }
  }
}

/** §3.3: the squares of n adjacent kernels at the same position, summed; with per_column within the kernel's own column. */
function sumsOverKernels({ data, shape: [kernels, height, width] }, step) {
  const places = height * width;
  const sums = new Float64Array(data.length);
  const inColumn = step.per_column ? kernels / step.columns : kernels;
  const half = Math.floor(step.n / 2);
  for (let kernel = 0; kernel < kernels; kernel++) {
    const first = kernel - (kernel % inColumn);
    const last = Math.min(kernel + half, first + inColumn - 1);
    for (let near = Math.max(kernel - half, first); near <= last; near++) {
      for (let p = 0; p < places; p++) sums[kernel * places + p] += data[near * places + p] ** 2;
    }
  }
  return sums;
}

/** The second normalization of the 2012 program's layer 2: the squares of the n×n positions around, in the same map, summed. */
function sumsWithinMap({ data, shape: [kernels, height, width] }, step) {
  const sums = new Float64Array(data.length);
  const half = Math.floor(step.n / 2);
  for (let kernel = 0; kernel < kernels; kernel++) {
    const map = kernel * height * width;
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        let sum = 0;
        for (let i = Math.max(0, y - half); i <= Math.min(height - 1, y + half); i++)
          for (let j = Math.max(0, x - half); j <= Math.min(width - 1, x + half); j++) sum += data[map + i * width + j] ** 2;
        sums[map + y * width + x] = sum;
      }
    }
  }
  return sums;
}

/** §3.3: each response divided by (k + α · its sum)^β. */
function divided(x, { k, alpha, beta }, sums) {
  return x.data.map((value, i) => value && value * (k + alpha * sums[i]) ** -beta); // most are 0, and a power takes its time
}

/** Batch normalization, which is not the paper's: each map by the mean and the variance that training has kept of it. */
function batchNormalization(x, step, tensor) {
  const [weight, bias, mean, variance] = ["weight", "bias", "running_mean", "running_var"].map((part) => tensor(part).data);
  const places = x.data.length / x.shape[0];
  const EPSILON = 1e-5; // PyTorch's
  return x.data.map((value, i) => {
    const map = Math.floor(i / places);
    return ((value - mean[map]) / Math.sqrt(variance[map] + EPSILON)) * weight[map] + bias[map];
  });
}

/** §3.4: the maximum of each window; where one hangs over the edge, of the part that lies in the map. */
function pooling(x, step) {
  const [, height, width] = x.shape;
  const [maps, rows, columns] = step.shape;
  const out = new Float32Array(maps * rows * columns);
  for (let map = 0, at = 0; map < maps; map++) {
    for (let y = 0; y < rows; y++) {
      for (let column = 0; column < columns; column++) {
        const [top, left] = [y * step.stride, column * step.stride];
        let largest = -Infinity;
        for (let i = top; i < Math.min(top + step.window, height); i++) {
          for (let j = left; j < Math.min(left + step.window, width); j++) {
            largest = Math.max(largest, x.data[(map * height + i) * width + j]);
          }
        }
        out[at++] = largest;
      }
    }
  }
  return out;
}

/** §3.5: every unit reads all numbers before it, or those of its own column; maps in the order channels, rows, columns. */
function full(x, step, tensor) {
  const { data: weights, shape } = tensor("weight"); // [units, inputs], or by column [columns, units / columns, inputs / columns]
  const biases = tensor("bias").data;
  const inputs = shape.at(-1);
  const out = new Float32Array(biases.length);
  for (let unit = 0; unit < out.length; unit++) {
    const row = unit * inputs;
    const first = shape.length === 3 ? Math.floor(unit / shape[1]) * inputs : 0;
    let sum = 0;
    for (let i = 0; i < inputs; i++) sum += weights[row + i] * x.data[first + i];
    out[unit] = sum + biases[unit];
  }
  return out;
}
