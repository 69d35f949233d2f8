// A photograph becomes what `alexnet prepare` makes of it (§2): the shorter side to the network's size, the central square, RGB.
//
// The filter is the bicubic one of Pillow, whose reach grows with the reduction, so that small sizes do not alias. An axis after
// the other is computed in fixed-point numbers, and rounded to bytes in between, which gives Pillow's very bytes.

export const MOST_BYTES = 64_000_000;
export const MOST_PIXELS = 178_956_970; // as alexnet.data.image

const BITS = 22; // of a weight behind the point
const HALF = 1 << (BITS - 1);
const STRIP = 1 << 22; // pixels that are read from the decoded image at once

/**
 * An image file as uint8 [size, size, 3] (a Blob of any format that the browser knows; EXIF rotation applied, alpha on white, of
 * an animation the first frame). Throws an Error of one line for what is no image or too large.
 */
export async function toSquare(file, size) {
  const bitmap = await decoded(file);
  try {
    return squareOf(bitmap, size);
  } finally {
    bitmap.close();
  }
}

async function decoded(file) {
  if (file.size === 0) throw new Error("empty file (0 bytes)");
  if (file.size > MOST_BYTES) throw new Error(`${megabytes(file.size)} MB; a file may have ${megabytes(MOST_BYTES)} MB at most`);
  let bitmap;
  try {
    // Profiles of colour are left alone, as they are by `alexnet prepare`.
    bitmap = await createImageBitmap(file, { imageOrientation: "from-image", colorSpaceConversion: "none" });
  } catch {
    throw new Error("not an image that this browser reads: of another format, damaged or too large");
  }
  const { width, height } = bitmap;
  if (width * height <= MOST_PIXELS) return bitmap;
  bitmap.close();
  throw new Error(`${width} x ${height} is more than ${MOST_PIXELS.toLocaleString("en")} pixels`);
}

const megabytes = (bytes) => (bytes / 1e6).toFixed(0);

function squareOf(bitmap, size) {
  const side = Math.min(bitmap.width, bitmap.height);
  const columns = weightsOf(bitmap.width, (bitmap.width - side) / 2, side, size);
  const rows = weightsOf(bitmap.height, (bitmap.height - side) / 2, side, size);
  const left = columns[0].first;
  const width = columns.at(-1).first + columns.at(-1).weights.length - left;
  const square = new Uint8ClampedArray(size * size * 3);
  const atOnce = Math.max(1, Math.floor(STRIP / width / Math.max(1, side / size)));
  for (let start = 0; start < size; start += atOnce) {
    const some = rows.slice(start, start + atOnce);
    const top = some[0].first;
    const pixels = pixelsOf(bitmap, left, top, width, some.at(-1).first + some.at(-1).weights.length - top);
    some.forEach((row, i) => {
      const line = downwards(pixels, width, row.first - top, row.weights);
      across(line, left, columns, square.subarray((start + i) * size * 3));
    });
  }
  return new Uint8Array(square.buffer);
}

/** RGBA bytes of a rectangle of the image, on white. */
function pixelsOf(bitmap, left, top, width, height) {
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  context.fillStyle = "white";
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, -left, -top);
  return context.getImageData(0, 0, width, height).data;
}

/** A row of the square as high as it is to be and as wide as the image: RGBA. */
function downwards(pixels, width, first, weights) {
  const sums = new Int32Array(4 * width).fill(HALF);
  weights.forEach((weight, tap) => {
    const row = (first + tap) * 4 * width;
    for (let i = 0; i < sums.length; i++) sums[i] += weight * pixels[row + i];
  });
  return Uint8ClampedArray.from(sums, (sum) => sum >> BITS);
}

/** The same row in its final width: RGB, into `out`. */
function across(line, left, columns, out) {
  columns.forEach(({ first, weights }, x) => {
    for (let channel = 0; channel < 3; channel++) {
      let sum = HALF;
      for (let tap = 0; tap < weights.length; tap++) sum += weights[tap] * line[4 * (first - left + tap) + channel];
      out[3 * x + channel] = sum >> BITS;
    }
  });
}

/**
 * What makes `size` pixels of the `side` pixels from `begin` on, along an axis with `length` of them: for each the first pixel
 * that it is made of, and the weights from there on, which sum to 2^22.
 */
export function weightsOf(length, begin, side, size) {
  const [start, end] = [Math.fround(begin), Math.fround(begin + side)]; // Pillow keeps a box in float32
  if (start === 0 && end === size && size === length)
    return Array.from({ length: size }, (_, first) => ({ first, weights: [1 << BITS] }));
  const scale = (end - start) / size;
  const stretch = Math.max(scale, 1);
  return Array.from({ length: size }, (_, i) => {
    const centre = start + (i + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - 2 * stretch + 0.5));
    const last = Math.min(length, Math.trunc(centre + 2 * stretch + 0.5));
    const heights = Array.from({ length: last - first }, (_, tap) => cubic((first + tap - centre + 0.5) / stretch));
    const sum = heights.reduce((a, b) => a + b, 0);
    return { first, weights: heights.map((height) => rounded((height / sum) * 2 ** BITS)) };
  });
}

/** Keys' cubic with a = -1/2, 0 beyond two pixels. */
function cubic(distance) {
  const x = Math.abs(distance);
  if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
  return x < 2 ? -0.5 * (((x - 5) * x + 8) * x - 4) : 0;
}

const rounded = (value) => Math.trunc(value + (value < 0 ? -0.5 : 0.5));
