// Values as colours: 0 is the paper, values above 0 have the hue of their column (blue, orange), those below 0 none.

const RAMPS = {
  light: {
    zero: [255, 255, 255],
    above: [
      [
        [90, 152, 212],
        [9, 58, 120],
      ],
      [
        [240, 152, 66],
        [132, 56, 0],
      ],
    ],
    below: [
      [158, 154, 148],
      [44, 42, 40],
    ],
  },
  dark: {
    zero: [17, 19, 23],
    above: [
      [
        [38, 102, 172],
        [128, 196, 255],
      ],
      [
        [178, 92, 24],
        [255, 180, 96],
      ],
    ],
    below: [
      [98, 97, 95],
      [206, 204, 200],
    ],
  },
};

// From black over purple and orange to pale yellow: where one looks for a place in a photograph, not for a sign.
const HEAT = [
  [12, 8, 38],
  [94, 24, 110],
  [188, 55, 84],
  [243, 132, 40],
  [250, 250, 160],
];

/** Whether the page is dark, by the reader's choice or the system's. */
export function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

const between = (from, to, share) => from.map((value, k) => value + (to[k] - value) * share);

function along(stops, share) {
  const place = Math.min(Math.max(share, 0), 1) * (stops.length - 1);
  const first = Math.min(Math.floor(place), stops.length - 2);
  return between(stops[first], stops[first + 1], place - first);
}

const tables = new Map();

// 511 colours packed as the bytes of a pixel: value -1 at 0, 0 at 255, 1 at 510.
function tableOf(column) {
  const key = `${isDark()}${column}`;
  if (!tables.has(key)) {
    const { zero, above, below } = RAMPS[isDark() ? "dark" : "light"];
    const table = new Uint32Array(511);
    for (let k = -255; k <= 255; k++) {
      const colour = along([zero, ...(k < 0 ? below : above[column])], Math.abs(k) / 255);
      table[k + 255] = packed(colour);
    }
    tables.set(key, table);
  }
  return tables.get(key);
}

// The bytes R, G, B, A as one number of a little-endian machine, which every browser's is.
const packed = ([red, green, blue]) => (255 << 24) | (Math.round(blue) << 16) | (Math.round(green) << 8) | Math.round(red);

/** The colour of one value as [r, g, b]; `largest`: what has the strongest colour. */
export function colourOf(value, largest, column) {
  const { zero, above, below } = RAMPS[isDark() ? "dark" : "light"];
  const share = largest > 0 ? value / largest : 0;
  return along([zero, ...(share < 0 ? below : above[column])], Math.abs(share));
}

/** Paint values [h, w], part of a longer array from `start` on, into a canvas of w × h pixels. */
export function paint(canvas, values, start, largest, column) {
  const { width, height } = canvas;
  const table = tableOf(column);
  const pixels = new Uint32Array(width * height);
  const factor = largest > 0 ? 255 / largest : 0;
  for (let k = 0; k < pixels.length; k++) {
    const level = values[start + k] * factor;
    pixels[k] = table[255 + (level > 255 ? 255 : level < -255 ? -255 : Math.round(level) || 0)];
  }
  put(canvas, pixels);
}

function put(canvas, pixels) {
  const image = new ImageData(new Uint8ClampedArray(pixels.buffer), canvas.width, canvas.height);
  canvas.getContext("2d").putImageData(image, 0, 0);
}

/** Paint values 0..1 as heat, from dark to bright. */
export function paintHeat(canvas, values) {
  put(
    canvas,
    Uint32Array.from(values, (value) => packed(along(HEAT, value))),
  );
}

/** Paint three planes [3, h, w] from `start` on as RGB, 0 being mid-grey and ±`largest` black and white. */
export function paintRGB(canvas, values, start, largest) {
  const size = canvas.width * canvas.height;
  const factor = largest > 0 ? 127.5 / largest : 0;
  const pixels = new Uint32Array(size);
  const level = (place) => Math.min(255, Math.max(0, 127.5 + values[place] * factor));
  for (let k = 0; k < size; k++) pixels[k] = packed([level(start + k), level(start + size + k), level(start + 2 * size + k)]);
  put(canvas, pixels);
}

/** The largest size of values from `start` on, `count` of them. */
export function largestOf(values, start = 0, count = values.length) {
  let largest = 0;
  for (let k = start; k < start + count; k++) {
    const size = Math.abs(values[k]);
    if (size > largest) largest = size;
  }
  return largest;
}

/** The largest value, not its size. */
export function highest(values, start, count) {
  let best = -Infinity;
  for (let k = start; k < start + count; k++) if (values[k] > best) best = values[k];
  return best;
}

const linear = (level) => (level <= 10.31 ? level / 255 / 12.92 : ((level / 255 + 0.055) / 1.055) ** 2.4);

/** Black or white, whichever reads better on a colour [r, g, b]: one of the two always has a contrast above 4.5. */
export function inkOn([red, green, blue]) {
  const light = 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue);
  return light > 0.179 ? "#000" : "#fff";
}

/** "rgb(…)" of [r, g, b]. */
export const css = (colour) => `rgb(${colour.map(Math.round).join(" ")})`;
