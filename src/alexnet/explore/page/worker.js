// Computes beside the page, so that it answers to a click meanwhile: one network, and the images that it was given.
//
// local.js asks: {call, method, args}; the answer is {call, result} or {call, error}, before it perhaps {call, progress}.

import { forward, softmax } from "./forward.js";
import { readSafetensors } from "./safetensors.js";
import { toSquare } from "./square.js";
import { CENTRE, inputOf, pictureOf, places, toMaps } from "./views.js";

let network = null; // network.json
let tensors = null; // of its file, by name
let mean = null; // the mean training image [3, S, S], and the side of the images that it is of
let side = 0;
const images = new Map(); // id -> {maps [3, S, S], answer}
let newest = { id: null, outputs: null }; // the outputs of every step for the centre crop of the image asked for last

const METHODS = {
  async open(description, address) {
    network = description;
    const response = await fetch(address);
    if (!response.ok) throw new Error(`${address}: ${response.status} ${response.statusText}`);
    ({ tensors } = readSafetensors(await response.arrayBuffer()));
    const image = tensors.get("mean");
    if (!image) throw new Error("the network's file has no mean image");
    side = image.shape[0];
    mean = toMaps(image.data, side, network.image_size);
  },

  async add(id, file) {
    const maps = toMaps(await toSquare(file, side), side, network.image_size);
    images.set(id, { maps, answer: null });
    const centre = places(network.image_size, network.input_size)[CENTRE];
    return {
      square: await pictureOf(maps, network.image_size),
      seen: await pictureOf(maps, network.image_size, centre, network.input_size),
    };
  },

  remove: (id) => images.delete(id),
  input: (id) => inputAt(id, CENTRE),

  step(id, name) {
    const output = outputsOf(id).get(name);
    if (!output) throw new Error(`this network has no step ${name}`);
    return output;
  },

  row(layer, unit) {
    const { data, shape } = tensors.get(`${layer}.weight`);
    return data.slice(unit * shape.at(-1), (unit + 1) * shape.at(-1));
  },

  answer(id, progress) {
    const image = imageOf(id);
    image.answer ??= answerOf(id, progress);
    return image.answer;
  },
};

function imageOf(id) {
  const image = images.get(id);
  if (!image) throw new Error("this image is no longer kept; choose it again");
  return image;
}

function inputAt(id, view) {
  const { image_size: size, input_size: crop, input_scale: scale } = network;
  return inputOf(imageOf(id).maps, mean, size, crop, places(size, crop)[view], scale);
}

function outputsOf(id) {
  if (newest.id !== id) newest = { id, outputs: forward(network, tensors, inputAt(id, CENTRE)) };
  return newest.outputs;
}

/** What answer.json has of an image: the centre crop first, which `progress` hears of, then the other nine and their mean. */
async function answerOf(id, progress) {
  const begun = performance.now();
  const views = places(network.image_size, network.input_size);
  const answers = [];
  answers[CENTRE] = probabilitiesOf([...outputsOf(id).values()].at(-1));
  progress(five(answers[CENTRE]));
  for (const view of views.keys()) {
    await new Promise((resolve) => setTimeout(resolve)); // other questions come in between
    answers[view] ??= probabilitiesOf([...forward(network, tensors, inputAt(id, view)).values()].at(-1));
  }
  const probabilities = answers[0].map((_, label) => answers.reduce((sum, each) => sum + each[label], 0) / views.length);
  return {
    label: null,
    top: five(probabilities),
    probabilities,
    centre: five(answers[CENTRE]),
    crops: views.map((place, view) => ({ ...place, top: five(answers[view]) })),
    precision: "float32",
    milliseconds: Math.round(performance.now() - begun),
  };
}

function probabilitiesOf(logits) {
  const probabilities = softmax(logits);
  if (!probabilities.every(Number.isFinite)) throw new Error("the network answers with NaN: its weights are damaged or too large");
  return probabilities;
}

/** The five most probable labels, or all where there are fewer. */
function five(probabilities) {
  const labels = network.classes.map((label, number) => ({ label, probability: probabilities[number] }));
  return labels.sort((a, b) => b.probability - a.probability).slice(0, 5);
}

self.onmessage = async ({ data: { call, method, args } }) => {
  try {
    const result = await METHODS[method](...args, (progress) => self.postMessage({ call, progress }));
    self.postMessage({ call, result });
  } catch (error) {
    self.postMessage({ call, error: error.message });
  }
};
