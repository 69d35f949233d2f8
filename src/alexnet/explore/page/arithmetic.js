// The network's arithmetic for one number, in float64: what the server computed in float32 for the whole map.
// Maps are [C, H, W] in one array; a window that leaves the map reads zeros.

/** The window of a convolution at (y, x): {top, left} in the map it reads; negative where it begins in the padding. */
export const windowAt = (step, y, x) => ({
  top: y * step.stride - (step.padding ?? 0),
  left: x * step.stride - (step.padding ?? 0),
});

/** Where a pixel (row, column) beyond a map of side `size` lies: "padding", "overhang", or "" inside the map. */
export function outside(step, size, row, column) {
  if (row >= 0 && column >= 0 && row < size && column < size) return "";
  const padding = step.padding ?? 0;
  return Math.max(row, column) >= size + padding ? "overhang" : "padding";
}

/** Channels [first, first + count) of the input that a kernel of a convolution reads. */
export function channelsOf(step, inputs, kernel) {
  const count = inputs / step.groups;
  return { first: Math.floor(kernel / (step.shape[0] / step.groups)) * count, count };
}

/** One channel's part of a convolution: {patch, kernel, products, places}, all of size k·k, in reading order, and {sum, size}
 *  of the products and of what they are without signs. */
export function channelPart(step, input, weights, kernel, channel, y, x) {
  const [inputs, side, width] = input.shape;
  const { first, count } = channelsOf(step, inputs, kernel);
  const size = step.kernel;
  const { top, left } = windowAt(step, y, x);
  const from = (kernel * count + channel) * size * size;
  const part = { patch: [], kernel: [], products: [], places: [], sum: 0, size: 0 };
  for (let i = 0; i < size; i++) {
    for (let j = 0; j < size; j++) {
      const where = outside(step, side, top + i, left + j);
      const value = where ? 0 : input.values[((first + channel) * side + top + i) * width + left + j];
      const weight = weights[from + i * size + j];
      part.patch.push(value);
      part.kernel.push(weight);
      part.products.push(value * weight);
      part.places.push(where);
      part.sum += value * weight;
      part.size += Math.abs(value * weight);
    }
  }
  return part;
}

/** A convolution at one pixel: {sums (of each channel), sum, size, bias, value}. */
export function convolution(step, input, weights, biases, kernel, y, x) {
  const { count } = channelsOf(step, input.shape[0], kernel);
  const sums = [];
  let size = 0;
  for (let channel = 0; channel < count; channel++) {
    const part = channelPart(step, input, weights, kernel, channel, y, x);
    sums.push(part.sum);
    size += part.size;
  }
  const sum = sums.reduce((total, one) => total + one, 0);
  return { sums, sum, size, bias: biases[kernel], value: sum + biases[kernel] };
}

/** The neighbourhood of a normalization: terms [{kernel, row, column, value, square}], null where there is nothing. */
export function neighbourhood(step, input, kernel, y, x) {
  const [kernels, side, width] = input.shape;
  const half = Math.floor(step.n / 2);
  const term = (k, row, column) => {
    const value = input.values[(k * side + row) * width + column];
    return { kernel: k, row, column, value, square: value * value };
  };
  const terms = [];
  if (step.within_map) {
    for (let row = y - half; row <= y + half; row++)
      for (let column = x - half; column <= x + half; column++)
        terms.push(row < 0 || column < 0 || row >= side || column >= width ? null : term(kernel, row, column));
    return terms;
  }
  const inColumn = step.per_column ? kernels / step.columns : kernels;
  const first = Math.floor(kernel / inColumn) * inColumn;
  for (let k = kernel - half; k <= kernel + half; k++) terms.push(k < first || k >= first + inColumn ? null : term(k, y, x));
  return terms;
}

/** Local response normalization at one pixel (§3.3): {terms, sum, base, divisor, input, value}. */
export function normalization(step, input, kernel, y, x) {
  const terms = neighbourhood(step, input, kernel, y, x);
  const sum = terms.reduce((total, term) => total + (term?.square ?? 0), 0);
  const base = step.k + step.alpha * sum;
  const divisor = base ** step.beta;
  const value = input.values[(kernel * input.shape[1] + y) * input.shape[2] + x];
  return { terms, sum, base, divisor, input: value, value: value / divisor };
}

/** Max pooling at one pixel: {top, left, row, column, value}: where the window begins, and where its maximum lies. */
export function pooling(step, input, kernel, y, x) {
  const [, side, width] = input.shape;
  const { top, left } = windowAt(step, y, x);
  const best = { top, left, value: -Infinity };
  for (let row = top; row < Math.min(side, top + step.window); row++) {
    for (let column = left; column < Math.min(width, left + step.window); column++) {
      const value = input.values[(kernel * side + row) * width + column];
      if (value > best.value) Object.assign(best, { value, row, column });
    }
  }
  return best;
}

/** What the activation makes of a number. */
export const ACTIVATIONS = { relu: (x) => Math.max(0, x), tanh: Math.tanh, sigmoid: (x) => 1 / (1 + Math.exp(-x)) };

/** What dropout makes of a number at test (§4.2): the mask's form multiplies by 1 − p, the inverted form by 1. */
export const dropoutFactor = (step) => (step.form === "mask" ? 1 - step.probability : 1);

/** A fully connected unit: {terms [{place, input, weight, product}], above, below, sum, bias, value}. `row`: its weights. */
export function full(input, row, bias, offset) {
  const terms = [];
  let above = 0;
  let below = 0;
  for (let k = 0; k < row.length; k++) {
    const product = input[offset + k] * row[k];
    if (product > 0) above += product;
    else below += product;
    terms.push({ place: offset + k, input: input[offset + k], weight: row[k], product });
  }
  return { terms, above, below, sum: above + below, bias, value: above + below + bias };
}

/** Rounding that float32 may have left: sums of `terms` products of the size of `scale`. */
export const tolerance = (scale, terms) => Math.max(1e-30, scale * 1.2e-7 * (4 + Math.sqrt(terms) * 4));
