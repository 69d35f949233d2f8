// What all sections know: the index, the networks of the runs, the names of images.

import { at, computeWith, fresh, json, numbers, upload } from "./api.js";

export const store = { index: null, images: new Map() };

/** Read the index; the images that a live page may choose from come from the dataset where none were given. */
export async function open() {
  store.index = await json(at.index);
  keep(store.index.images);
  if (store.index.live && !store.index.images.length && store.index.data) {
    try {
      keep((await json(at.samples("val", 0, 60))).images);
    } catch {
      // a dataset without validation images: there is the drop zone
    }
  }
}

/** Remember names and labels of images; gives them back. */
export function keep(images) {
  for (const image of images) store.images.set(image.id, image);
  return images;
}

export const nameOf = (image) => store.images.get(image)?.name ?? image;

export const network = (run) => json(at.network(run));

/** The network's newest checkpoint, of a run that trains. */
export const freshNetwork = (run) => fresh(at.network(run));

/** Upload a file or a photograph, and remember its name. */
export async function add(blob, name) {
  if (blob.size > store.index.most_bytes) {
    const megabytes = (store.index.most_bytes / 1e6).toFixed(0);
    throw new Error(`${name}: over ${megabytes} MB, which is the most that an image may have`);
  }
  const image = store.index.live ? await upload(blob, name) : await addHere(blob, name);
  keep([{ label: null, ...image }]);
  return image;
}

async function addHere(blob, name) {
  const [run] = store.index.runs;
  const opened = await localNetwork(run);
  computeWith(opened, run);
  return opened.add(blob, name);
}

/** The weights of a fully connected unit; on an exported page they are those of the network's file, with 16 bits. */
export const rowOf = async (run, layer, unit) =>
  store.index.live ? numbers(at.row(run, layer, unit)) : (await localNetwork(run)).row(layer, unit);

const networks = new Map(); // run -> promise of its Local

// The network of a run of an exported page, read in the browser once it is needed: some megabytes.
function localNetwork(run) {
  if (!networks.has(run)) {
    const opening = Promise.all([import("./local.js"), network(run)]).then(([{ Local }, net]) => Local.open(net, at.file(run)));
    opening.catch(() => networks.delete(run)); // so that the next look tries again
    networks.set(run, opening);
  }
  return networks.get(run);
}

/** A step of a network by its name, and the one it reads: {step, before}; before is null for the first. */
export function stepOf(net, name) {
  const place = net.steps.findIndex((step) => step.name === name);
  if (place < 0) return null;
  const step = net.steps[place];
  return { step, before: net.steps[place - 1] ?? null, place };
}

/** What the step before gives, or the image less its mean: values with their shape, as this step reads them. */
export async function inputOf(net, image, before) {
  const values = await numbers(before ? at.step(net.id, image, before.name) : at.input(net.id, image));
  return { values, shape: before ? before.shape : [3, net.input_size, net.input_size] };
}

/** The columns of a step, with their kernels or units: [{column, from, to}]. */
export function columnsOf(step) {
  const each = step.shape[0] / step.columns;
  return Array.from({ length: step.columns }, (_, column) => ({ column, from: column * each, to: (column + 1) * each }));
}

/** Which column of the network (0 or 1) a kernel or unit of a step belongs to. */
export const columnOf = (step, kernel) => Math.floor((kernel * (step.columns || 1)) / step.shape[0]);
