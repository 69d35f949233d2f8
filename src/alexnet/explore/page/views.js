// The ten views of a test image: four corners and the centre, and the five mirrored (§4.1).

/** Where they lie in a square of `size` pixels, in the order of alexnet.data.views: {x, y, mirrored} of crops of `crop` pixels. */
export function places(size, crop) {
  const last = size - crop;
  const middle = Math.floor(last / 2);
  const corners = [[0, 0], [last, 0], [0, last], [last, last], [middle, middle]];
  return [false, true].flatMap((mirrored) => corners.map(([x, y]) => ({ x, y, mirrored })));
}

/** Which of the ten is the centre crop. */
export const CENTRE = 4;

/**
 * An image [side, side, 3] as maps [3, size, size] in float32: the same numbers, or the averages of areas where it is larger.
 */
export function toMaps(image, side, size) {
  const maps = new Float32Array(3 * size * size);
  const begin = (i) => Math.floor((i * side) / size);
  const end = (i) => Math.ceil(((i + 1) * side) / size);
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      const pixels = (end(y) - begin(y)) * (end(x) - begin(x));
      for (let channel = 0; channel < 3; channel++) {
        let sum = 0;
        for (let i = begin(y); i < end(y); i++)
          for (let j = begin(x); j < end(x); j++) sum += image[(i * side + j) * 3 + channel];
        maps[(channel * size + y) * size + x] = sum / pixels;
      }
    }
  }
  return maps;
}

/** What the network reads of a view: the crop less the mean image's centre crop, mirrored, times `scale`: [3, crop, crop]. */
export function inputOf(maps, mean, size, crop, place, scale = 1) {
  const middle = Math.floor((size - crop) / 2);
  const input = new Float32Array(3 * crop * crop);
  for (let channel = 0, at = 0; channel < 3; channel++) {
    for (let y = 0; y < crop; y++) {
      const row = (channel * size + place.y + y) * size + place.x;
      const meanRow = (channel * size + middle + y) * size + middle;
      for (let x = 0; x < crop; x++) {
        const from = place.mirrored ? crop - 1 - x : x;
        input[at++] = Math.fround(maps[row + from] - mean[meanRow + from]) * scale;
      }
    }
  }
  return input;
}

/** Maps [3, size, size], or the part of them at x, y with a side of `crop`, as a picture: a Blob of a PNG. */
export function pictureOf(maps, size, { x, y } = { x: 0, y: 0 }, crop = size) {
  const canvas = new OffscreenCanvas(crop, crop);
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(crop, crop);
  for (let i = 0; i < crop * crop; i++) {
    const from = (y + Math.floor(i / crop)) * size + x + (i % crop);
    for (let channel = 0; channel < 3; channel++) pixels.data[4 * i + channel] = maps[channel * size * size + from];
    pixels.data[4 * i + 3] = 255;
  }
  context.putImageData(pixels, 0, 0);
  return canvas.convertToBlob({ type: "image/png" });
}
