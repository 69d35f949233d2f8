// A .safetensors file: eight bytes that give the length of a header, the header in JSON, then the numbers of every tensor.

const MOST_HEADER = 1 << 26; // bytes; beyond it the file is something else

/** Name after a tensor's of what its int8 numbers are multiplied by. */
const SCALE = ".scale";

/**
 * The tensors of a file's bytes, whatever their type as float32: {tensors: Map of name to {shape, data}, metadata: texts by name}.
 * An int8 tensor is multiplied by its scale, which has one number, or one for each row of the first axis.
 * Throws an Error of one line for what is no such file, or is cut short.
 */
export function readSafetensors(buffer) {
  const { header, start } = headerOf(buffer);
  const { __metadata__: metadata = {}, ...entries } = header;
  const tensors = new Map();
  for (const [name, entry] of Object.entries(entries)) tensors.set(name, tensorOf(buffer, start, name, entry));
  for (const [name, tensor] of tensors) {
    const scale = tensors.get(name + SCALE);
    if (scale) multiplyRows(tensor.data, scale.data);
  }
  for (const name of [...tensors.keys()]) if (name.endsWith(SCALE)) tensors.delete(name);
  return { tensors, metadata };
}

function headerOf(buffer) {
  const length = buffer.byteLength < 8 ? NaN : Number(new DataView(buffer).getBigUint64(0, true));
  if (!(length <= Math.min(MOST_HEADER, buffer.byteLength - 8)))
    throw new Error("the network's file is no .safetensors file, or is cut short");
  try {
    return { header: JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length))), start: 8 + length };
  } catch {
    throw new Error("the network's file is no .safetensors file: its header is no JSON");
  }
}

function tensorOf(buffer, start, name, { dtype, shape, data_offsets: [begin, end] }) {
  const type = TYPES[dtype];
  if (!type) throw new Error(`the network's file: ${name} is of type ${dtype}; the page reads ${Object.keys(TYPES).join(", ")}`);
  const count = shape.reduce((product, side) => product * side, 1);
  if (end - begin !== count * type.bytes || start + end > buffer.byteLength)
    throw new Error(`the network's file: ${name} is cut short or damaged`);
  return { shape, data: type.read(buffer.slice(start + begin, start + end)) }; // a copy, as the file need not be aligned
}

const TYPES = {
  F32: { bytes: 4, read: (bytes) => new Float32Array(bytes) },
  F16: { bytes: 2, read: (bytes) => fromFloat16(new Uint16Array(bytes)) },
  I8: { bytes: 1, read: (bytes) => Float32Array.from(new Int8Array(bytes)) },
  I64: { bytes: 8, read: (bytes) => Float32Array.from(new BigInt64Array(bytes), Number) },
};

/** Float16 numbers, given as their bits, as float32: every float16 has its place in a table of 65,536. */
export function fromFloat16(bits) {
  const table = float16Table();
  const values = new Float32Array(bits.length);
  for (let i = 0; i < bits.length; i++) values[i] = table[bits[i]];
  return values;
}

let table = null;

function float16Table() {
  if (table) return table;
  table = new Float32Array(1 << 16);
  for (let bits = 0; bits < table.length; bits++) {
    const sign = bits & 0x8000 ? -1 : 1;
    const exponent = (bits >> 10) & 31;
    const fraction = (bits & 1023) / 1024;
    if (exponent === 31) table[bits] = fraction ? NaN : sign * Infinity;
    else table[bits] = sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction) : 2 ** -14 * fraction);
  }
  return table;
}

function multiplyRows(values, scale) {
  const each = values.length / scale.length;
  for (let i = 0; i < values.length; i++) values[i] *= scale[Math.floor(i / each)];
}
