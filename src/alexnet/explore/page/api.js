// What the server, or the folder of an exported page, gives: every address of the page is written in this file.

const MOST_BYTES = 384 << 20; // of answers kept; full-width conv weights and maps of an image are about 30 MB

const kept = new Map(); // address -> {promise, bytes}, the least recently used first
let keptBytes = 0;

function remember(address, load) {
  const known = kept.get(address);
  if (known) {
    kept.delete(address);
    kept.set(address, known);
    return known.promise;
  }
  const entry = { bytes: 0, promise: load() };
  kept.set(address, entry);
  entry.promise.then(
    (value) => {
      entry.bytes = value.byteLength ?? 2000;
      keptBytes += entry.bytes;
      for (const [oldest, { bytes }] of kept) {
        if (keptBytes <= MOST_BYTES || oldest === address) break;
        kept.delete(oldest);
        keptBytes -= bytes;
      }
    },
    () => kept.delete(address), // so that the next look asks again
  );
  return entry.promise;
}

async function answerOf(address, options) {
  let response;
  try {
    response = await fetch(address, options);
  } catch {
    throw new Error("The server does not answer; is alexnet explore still running?");
  }
  if (response.ok) return response;
  let reason = `${address}: ${response.status} ${response.statusText}`;
  try {
    reason = (await response.json()).error ?? reason;
  } catch {
    // a static file server's 404 is a page of its own
  }
  throw Object.assign(new Error(reason), { status: response.status });
}

/** JSON that stays the same while the page is open. */
export const json = (address) => remember(address, async () => (await computed(address)) ?? (await answerOf(address)).json());

/** JSON as it is now. */
export const fresh = async (address) => (await computed(address)) ?? (await answerOf(address, { cache: "no-store" })).json();

/** Numbers as a Float32Array. */
export const numbers = (address) =>
  remember(address, async () => (await computed(address)) ?? new Float32Array(await (await answerOf(address)).arrayBuffer()));

/** Forget what was computed with earlier weights of a run that is training. */
export function forget(run) {
  for (const [address, { bytes }] of kept) {
    if (!address.startsWith(at.run(run)) || address.includes("/kernels/")) continue;
    kept.delete(address);
    keptBytes -= bytes;
  }
}

let local = null; // computes the network for images that an exported page was given
let localRun = "";

/** Let images whose ids begin with "local-" be computed by `computer` (local.js), which has the network of one run. */
export function computeWith(computer, run) {
  [local, localRun] = [computer, run];
}

const isLocal = (image) => image.startsWith("local-");

// What the files of an image would have held, computed here.
function computed(address) {
  const [, image, file] = address.match(/\/images\/(local-[^/]+)\/(.+)$/) ?? [];
  if (!image) return null;
  if (!address.startsWith(at.run(localRun))) throw new Error(`Images that were added here are computed by ${localRun} only.`);
  if (file === "answer.json") return local.answer(image);
  if (file === "input.bin") return local.input(image);
  const [, step] = file.match(/^steps\/(.+)\.bin$/) ?? [];
  if (step) return local.step(image, step);
  throw new Error("An exported page has this for the images that came with it only.");
}

const part = encodeURIComponent;

/** Addresses, relative to the page, so that an exported site works from any folder of any host. */
export const at = {
  index: "api/index.json",
  run: (run) => `api/runs/${part(run)}/`,
  network: (run) => `${at.run(run)}network.json`,
  weights: (run, layer) => `${at.run(run)}weights/${layer}.bin`,
  bias: (run, layer) => `${at.run(run)}weights/${layer}-bias.bin`,
  row: (run, layer, unit) => `${at.run(run)}weights/${layer}/${unit}.bin`,
  kernels: (run, epoch) => `${at.run(run)}kernels/${epoch}.bin`,
  file: (run) => `${at.run(run)}network.safetensors`,
  metrics: (run) => `${at.run(run)}metrics.json`,
  units: (run, step, unit) => `${at.run(run)}units/${step}/${unit}.json`,
  samples: (split, start, count, label) =>
    `api/samples.json?split=${split}&start=${start}&count=${count}${label ? `&label=${part(label)}` : ""}`,
  thumb: (image) => (isLocal(image) ? local.squareURL(image) : `api/images/${part(image)}/thumb.jpg`),
  original: (image) => (isLocal(image) ? local.originalURL(image) : `api/images/${part(image)}/original.jpg`),
  seenBy: (run, image) => `${at.run(run)}images/${part(image)}/`,
  answer: (run, image) => `${at.seenBy(run, image)}answer.json`,
  square: (run, image) => (isLocal(image) ? local.squareURL(image) : `${at.seenBy(run, image)}square.png`),
  seen: (run, image) => (isLocal(image) ? local.seenURL(image) : `${at.seenBy(run, image)}seen.png`),
  input: (run, image) => `${at.seenBy(run, image)}input.bin`,
  step: (run, image, step) => `${at.seenBy(run, image)}steps/${step}.bin`,
  why: (run, image, label) => `${at.seenBy(run, image)}why/${label}.json`,
  neighbours: (run, image, live) => `${at.seenBy(run, image)}neighbours.json${live ? "?count=12" : ""}`,
};

/** Send an image; gives {id, name, label}. */
export async function upload(blob, name) {
  const headers = { "X-Name": encodeURIComponent(name), "Content-Type": "application/octet-stream" };
  return (await answerOf("api/images", { method: "POST", body: blob, headers })).json();
}

/** Ask again until an answer is ready; `progress` hears {done, total}, and false from it ends the asking. */
export async function untilReady(address, progress) {
  for (;;) {
    const answer = await fresh(address);
    if (answer.state !== "computing") return answer;
    if (progress(answer) === false) return null;
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}
