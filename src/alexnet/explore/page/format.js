// Numbers as text, the same way everywhere: a true minus, thousands with commas.

const MINUS = "−";

function signed(text) {
  return text.replace("-", MINUS);
}

/** A number with so many significant digits, without an exponent where it stays short: −0.0123, 1,240, 3.1e−7. */
export function digits(value, count = 4) {
  if (!Number.isFinite(value)) return String(value);
  if (value === 0) return "0";
  const size = Math.floor(Math.log10(Math.abs(value)));
  if (size < -5 || size > 8) return signed(value.toExponential(Math.max(0, count - 1)));
  const decimals = Math.max(0, count - 1 - size);
  return signed(value.toLocaleString("en-US", { minimumFractionDigits: 0, maximumFractionDigits: Math.min(decimals, 12) }));
}

/** A number for a cell of a table, at most about six letters wide. */
export function short(value) {
  const size = Math.abs(value);
  if (size === 0) return "0";
  if (size >= 1000) return signed(value.toFixed(0));
  if (size >= 100) return signed(value.toFixed(0));
  if (size >= 10) return signed(value.toFixed(1));
  if (size >= 0.995) return signed(value.toFixed(2));
  if (size >= 0.0005) return signed(value.toFixed(3).replace("0.", "."));
  return signed(value.toExponential(0));
}

/** A negative number in brackets, to stand behind an operator. */
export function bracketed(value, count) {
  return value < 0 ? `(${digits(value, count)})` : digits(value, count);
}

/** 1,234,567 */
export function whole(value) {
  return signed(Math.round(value).toLocaleString("en-US"));
}

/** 56.9 million, 720 million, 34,944 */
export function large(value) {
  if (value < 1e6) return whole(value);
  const millions = value / 1e6;
  return millions < 1e4
    ? `${Number(millions.toPrecision(3)).toLocaleString("en-US")} million`
    : `${(value / 1e9).toPrecision(3)} billion`;
}

/** A probability as "97.3 %". */
export function percent(probability) {
  const hundred = 100 * probability;
  return `${hundred >= 0.05 || hundred === 0 ? hundred.toFixed(1) : hundred.toPrecision(1)} %`;
}

/** "1 kernel", "96 kernels" */
export function plural(count, noun) {
  return `${whole(count)} ${noun}${count === 1 ? "" : "s"}`;
}

/** The shape of a step's output: 96×55×55, or 4,096. */
export function shapeText(shape) {
  return shape.length === 1 ? whole(shape[0]) : shape.join("×");
}
