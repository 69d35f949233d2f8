// Elements made in one call, so that a section reads like what it shows.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked" || name === "selected") element[name] = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** An HTML element: attributes by name, listeners as onclick, children elements or text. */
export function h(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same in SVG. */
export function svg(tag, attributes, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

/** Properties of CSS set from code: the page's policy allows no style attribute in markup. */
export function styled(element, properties) {
  for (const [name, value] of Object.entries(properties)) element.style.setProperty(name, value);
  return element;
}

/** A canvas of so many pixels; its size on the page is the style sheet's. */
export function canvasOf(width, height, attributes) {
  return h("canvas", { width, height, ...attributes });
}

/** A choice of one among several, as buttons beside each other. `choices`: [value, text] each. */
export function switcher(label, choices, chosen, onchange) {
  const buttons = choices.map(([value, text]) =>
    h(
      "button",
      { type: "button", "aria-pressed": String(value === chosen), "data-value": value, onclick: () => choose(value) },
      text,
    ),
  );
  function choose(value) {
    for (const button of buttons) button.setAttribute("aria-pressed", String(button.dataset.value === String(value)));
    onchange(value);
  }
  return h("div", { class: "switcher", role: "group", "aria-label": label }, buttons);
}

/** A labelled <select>. `choices`: [value, text] each. */
export function select(label, choices, chosen, onchange, attributes) {
  const options = choices.map(([value, text]) => h("option", { value, selected: value === chosen }, text));
  const element = h("select", { onchange: () => onchange(element.value), "aria-label": label, ...attributes }, options);
  return element;
}

/** Change what is in `root`; an element that had the keyboard has it again, known by its data-keep. */
export function keepingFocus(root, change) {
  const keep = root.contains(document.activeElement) ? document.activeElement.dataset.keep : undefined;
  change();
  if (keep && !root.contains(document.activeElement)) root.querySelector(`[data-keep="${keep}"]`)?.focus();
}

/** An <img> that is decoded when this resolves. */
export async function imageOf(url) {
  const image = new Image();
  image.src = url;
  await image.decode();
  return image;
}
