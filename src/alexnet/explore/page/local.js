// Images that are computed here, in the browser, where no server does: on an exported page, any image that is dropped on it.

const MOST_IMAGES = 50; // kept; the oldest goes when there is another

let opened = 0; // networks so far, so that ids of two differ

/** A network of an exported page, computed by a worker of its own, and the images that were given to it. */
export class Local {
  #worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
  #calls = new Map(); // number -> {resolve, reject, progress}
  #images = new Map(); // id -> {original, square, seen}, object URLs
  #number = 0;
  #name = opened++;

  /** A network by its network.json and the address of its network.safetensors. Throws an Error of one line. */
  static async open(network, address) {
    const local = new Local();
    try {
      await local.#ask("open", [network, new URL(address, document.baseURI).href]);
    } catch (error) {
      local.close();
      throw error;
    }
    return local;
  }

  constructor() {
    this.#worker.onmessage = ({ data }) => this.#hear(data);
    this.#worker.onerror = (event) => this.#fail(event.message || "the page's worker could not be started");
  }

  /** Take an image file (a Blob): {id, name, label: null}. Throws an Error of one line for what is no image, or too large. */
  async add(file, name) {
    const id = `local-${this.#name}-${this.#number}`;
    const { square, seen } = await this.#ask("add", [id, file]);
    const addresses = Object.entries({ original: file, square, seen }).map(([part, blob]) => [part, URL.createObjectURL(blob)]);
    this.#images.set(id, Object.fromEntries(addresses));
    if (this.#images.size > MOST_IMAGES) this.#remove(this.#images.keys().next().value);
    return { id, name, label: null };
  }

  /** What answer.json has; `onprogress` hears the centre crop's five labels first. */
  answer(id, onprogress) {
    return this.#ask("answer", [id], onprogress);
  }

  /** The output of a step for the centre crop: Float32Array. */
  step(id, name) {
    return this.#ask("step", [id, name]);
  }

  /** What the first step reads of the centre crop: Float32Array [3, C, C]. */
  input(id) {
    return this.#ask("input", [id]);
  }

  /** The weights of a fully connected unit, with 16 bits: Float32Array of its inputs. */
  row(layer, unit) {
    return this.#ask("row", [layer, unit]);
  }

  /** Addresses of pictures: the file, the square that the crops are taken from, the centre crop; undefined once it has gone. */
  originalURL = (id) => this.#images.get(id)?.original;
  squareURL = (id) => this.#images.get(id)?.square;
  seenURL = (id) => this.#images.get(id)?.seen;

  /** Ends the worker and forgets its images. */
  close() {
    for (const id of [...this.#images.keys()]) this.#remove(id);
    this.#worker.terminate();
    this.#fail("this network has been closed");
  }

  #remove(id) {
    Object.values(this.#images.get(id)).forEach((address) => URL.revokeObjectURL(address));
    this.#images.delete(id);
    this.#worker.postMessage({ call: null, method: "remove", args: [id] });
  }

  #ask(method, args, progress = () => {}) {
    const call = this.#number++;
    return new Promise((resolve, reject) => {
      this.#calls.set(call, { resolve, reject, progress });
      this.#worker.postMessage({ call, method, args });
    });
  }

  #hear({ call, result, error, progress }) {
    const waiting = this.#calls.get(call);
    if (!waiting) return;
    if (progress) return waiting.progress(progress);
    this.#calls.delete(call);
    if (error === undefined) waiting.resolve(result);
    else waiting.reject(new Error(error));
  }

  #fail(message) {
    for (const { reject } of this.#calls.values()) reject(new Error(message));
    this.#calls.clear();
  }
}
