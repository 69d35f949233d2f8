"use strict";
// What report.html does beyond standing there: curves with values under a pointer, a confusion matrix that opens, tables that sort.

const values = JSON.parse(document.getElementById("values").textContent);

function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

// Curves ------------------------------------------------------------------------------------------------------------

const { by, points, five, guess } = values.curves;

const asNumber = (digits) => (value) => value.toFixed(digits);
const asPercent = (value) => `${value.toFixed(2)} %`;
const asShort = (value) => {
  const rounded = Number(value.toPrecision(3));
  return rounded && (rounded < 0.001 || rounded > 1e5) ? rounded.toExponential() : String(rounded);
};

const PANELS = [
  { title: "Loss", height: 260, series: [{ name: "loss", label: "training", text: asNumber(3) }], level: guess },
  {
    title: "Error",
    height: 260,
    series: [
      { name: "training", label: "training", text: asPercent },
      { name: "top1", label: "validation", text: asPercent },
      ...(five ? [{ name: "top5", label: "top-5", text: asPercent }] : []),
    ],
  },
  { title: "Learning rate", height: 110, series: [{ name: "rate", label: "", text: asShort }], steps: true },
];
for (const panel of PANELS) panel.series = panel.series.filter(({ name }, k) => !k || points.some((point) => point[name] !== null));

const LEFT = 46, RIGHT = 14, TOP = 12, BOTTOM = 26;

/** Round numbers from `low` to `high`, about `most` of them. */
function ticks(low, high, most, least = 0) {
  const raw = Math.max((high - low) / most, least, 1e-12);
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((k) => k * power).find((size) => size >= raw * 0.999);
  const first = Math.ceil(low / step - 1e-9);
  return Array.from({ length: Math.floor(high / step + 1e-9) - first + 1 }, (_, k) => Number(((first + k) * step).toPrecision(9)));
}

/** Where values lie: x and y in pixels, and the ticks of both. Rates, where none is 0, on a scale of their powers. */
function scales(panel, width) {
  const all = panel.series.flatMap(({ name }) => points.map((point) => point[name])).filter((value) => value !== null);
  const last = Math.max(points.at(-1).at, 1);
  const x = (at) => LEFT + (at / last) * (width - LEFT - RIGHT);
  const down = (share) => TOP + (1 - share) * (panel.height - TOP - BOTTOM);
  const marks = { x, across: ticks(0, last, Math.min(10, width / 60), 1) };
  if (panel.steps && Math.min(...all) > 0) {
    const low = Math.log(Math.min(...all)), high = Math.log(Math.max(...all));
    const y = (value) => down(high > low ? (Math.log(value) - low) / (high - low) : 0.5);
    return { ...marks, y, up: [...new Set([Math.min(...all), Math.max(...all)])] };
  }
  const high = Math.max(...all, panel.level ?? 0, 1e-9) * 1.08;
  return { ...marks, y: (value) => down(value / high), up: ticks(0, high, panel.height / 50) };
}

/** The path of a series: from point to point, or for rates, which hold from an epoch's beginning, in steps. */
function path(panel, name, { x, y }) {
  const measured = points.filter((point) => point[name] !== null);
  if (!panel.steps) return measured.map((point, k) => `${k ? "L" : "M"}${x(point.at).toFixed(1)},${y(point[name]).toFixed(1)}`).join("");
  let before = 0;
  return measured.map((point, k) => {
    const begin = x(before).toFixed(1), height = y(point[name]).toFixed(1);
    before = point.at;
    return `${k ? `V${height}` : `M${begin},${height}`}H${x(point.at).toFixed(1)}`;
  }).join("");
}

/** Draw a panel as wide as it is; texts keep their size. All that is put into the markup are numbers and words of this file. */
function draw(panel) {
  const width = panel.svg.clientWidth;
  if (!width) return;
  panel.scales = scales(panel, width);
  const { x, y, across, up } = panel.scales, bottom = panel.height - BOTTOM;
  const parts = up.map((value) =>
    `<line class="grid" x1="${LEFT}" x2="${width - RIGHT}" y1="${y(value)}" y2="${y(value)}"/>` +
    `<text x="${LEFT - 8}" y="${y(value) + 4}" text-anchor="end">${panel.steps || value > 1e5 ? asShort(value) : value}</text>`);
  parts.push(...across.map((at) => `<text x="${x(at)}" y="${bottom + 18}" text-anchor="middle">${at || by}</text>`));
  if (panel.level) {
    const height = y(panel.level);
    parts.push(`<line class="guess" x1="${LEFT}" x2="${width - RIGHT}" y1="${height}" y2="${height}"/>`,
      `<text x="${width - RIGHT}" y="${height - 6}" text-anchor="end">guessing: ${panel.level.toFixed(2)}</text>`);
  }
  for (const { name } of panel.series) {
    parts.push(`<path class="${name}" d="${path(panel, name, panel.scales)}"/>`);
    if (points.length === 1 && points[0][name] !== null) parts.push(`<circle class="${name}" cx="${x(points[0].at)}" cy="${y(points[0][name])}" r="3"/>`);
  }
  parts.push(`<g class="chosen-point"></g>`);
  panel.svg.setAttribute("viewBox", `0 0 ${width} ${panel.height}`);
  panel.svg.innerHTML = parts.join("");
}

let chosen = points.length - 1;

/** Show the values of a point in all panels: in their headings, and where they lie. */
function choose(number) {
  chosen = number;
  const point = points[number], said = [];
  for (const panel of PANELS) {
    const { x, y } = panel.scales ?? {}, dots = [];
    for (const { name, label, text, output } of panel.series) {
      const value = point[name];
      output.textContent = value === null ? "–" : text(value);
      output.dataset.value = value ?? "";
      said.push(`${panel.title.toLowerCase()}${label && `, ${label}`}: ${output.textContent}`);
      if (x && value !== null) dots.push(`<circle class="${name}" cx="${x(point.at)}" cy="${y(value)}" r="4"/>`);
    }
    if (x) panel.svg.querySelector(".chosen-point").innerHTML =
      `<line class="pointer" x1="${x(point.at)}" x2="${x(point.at)}" y1="${TOP - 6}" y2="${panel.height - BOTTOM}"/>` +
      `<text x="${x(point.at)}" y="${panel.height - BOTTOM + 18}" text-anchor="middle">${point.at}</text>${dots.join("")}`;
  }
  const slider = document.getElementById("chosen");
  slider.value = number;
  slider.setAttribute("aria-valuetext", `${by} ${point.at}; ${said.join("; ")}`);
  document.getElementById("at").textContent = point.at;
}

/** The number of the point that is nearest to a place across a panel. */
function nearest(panel, event) {
  const pixels = event.clientX - panel.svg.getBoundingClientRect().left;
  let best = 0;
  points.forEach((point, k) => {
    if (Math.abs(panel.scales.x(point.at) - pixels) < Math.abs(panel.scales.x(points[best].at) - pixels)) best = k;
  });
  return best;
}

function curves(place) {
  const slider = element("input", { type: "range", id: "chosen", min: 0, max: points.length - 1, step: 1 });
  slider.hidden = points.length < 2;
  slider.addEventListener("input", () => choose(Number(slider.value)));
  const at = element("output", { id: "at", for: "chosen" });
  place.append(element("div", { class: "chosen wide" }, element("label", { for: "chosen" }, `${by} `, at), slider));
  for (const panel of PANELS) {
    const heading = element("figcaption", {}, element("b", {}, panel.title));
    for (const series of panel.series) {
      series.output = element("output", { "data-series": series.name });
      const key = series.label ? [element("i", { class: `key ${series.name}` }), `${series.label} `] : [];
      heading.append(element("span", {}, ...key, series.output));
    }
    const figure = element("figure", panel.steps ? { class: "wide" } : {}, heading);
    figure.insertAdjacentHTML("beforeend", `<svg role="img" height="${panel.height}"></svg>`);
    panel.svg = figure.querySelector("svg");
    panel.svg.setAttribute("aria-label", `${panel.title} by ${by}, ${points[0].at} to ${points.at(-1).at}`);
    for (const kind of ["pointermove", "pointerdown"]) panel.svg.addEventListener(kind, (event) => choose(nearest(panel, event)));
    place.append(figure);
  }
  new ResizeObserver(() => {
    PANELS.forEach(draw);
    choose(chosen);
  }).observe(place);
}

// What is taken for what --------------------------------------------------------------------------------------------

const whole = (share) => `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;

/** Show the images of a class that are taken for another beside the matrix. */
function open(button, { true: label, predicted, images }) {
  const place = document.getElementById("mistakes"), right = label === predicted;
  const [name, other] = [values.classes[label], values.classes[predicted]];
  for (const pressed of document.querySelectorAll('.confused [aria-pressed="true"]')) pressed.setAttribute("aria-pressed", "false");
  button.setAttribute("aria-pressed", "true");
  const all = values.images[label], number = Number(images), shown = values.mistakes[`${label}-${predicted}`] ?? [];
  const sentence = right
    ? `${number} of ${all} images of ${name} are right`
    : `${number} of ${all} images of ${name} ${number > 1 ? "are" : "is"} taken for ${other}`;
  place.replaceChildren(element("h4", {}, sentence));
  if (right) return place.append(element("p", { class: "faint" }, "A cell beside the diagonal opens images that are taken for another class."));
  if (!shown.length) return place.append(element("p", { class: "faint" }, `No photographs: ${values.missing || "this page has room for those of more frequent cells only."}`));
  place.append(element("p", {}, shown.length < number ? `The ${shown.length > 1 ? shown.length : "one"} that the network was surest of, with` : "With",
    " the probabilities of ", element("span", { class: "predicted" }, other), " and of ", element("span", { class: "true" }, name), "."));
  place.append(element("ul", {}, ...shown.map((image) => element("li", {},
    element("img", { src: image.picture, alt: image.file, title: image.file, width: 80, height: 80 }),
    element("span", { class: "predicted" }, whole(image.predicted)), element("span", { class: "true" }, whole(image.true))))));
}

/** Arrow keys go through the matrix; of its cells only the last one used is a stop of the tabulator. */
function arrows(matrix) {
  const buttons = [...matrix.querySelectorAll("button")];
  const stop = (button) => buttons.forEach((each) => (each.tabIndex = each === button ? 0 : -1));
  stop(buttons[0]);
  matrix.addEventListener("focusin", (event) => stop(event.target));
  matrix.addEventListener("keydown", (event) => {
    const [down, across] = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key] ?? [0, 0];
    if (!down && !across) return;
    event.preventDefault();
    const rows = matrix.tBodies[0].rows, cell = event.target.closest("td");
    let row = cell.parentNode.rowIndex - 1 + down, column = cell.cellIndex + across;
    for (; rows[row]?.cells[column]; row += down, column += across) {
      const button = rows[row].cells[column].querySelector("button");
      if (button) return button.focus();
    }
  });
}

function confusion() {
  const cells = [...document.querySelectorAll("[data-images]")], matrix = document.getElementById("matrix");
  if (!cells.length) return;
  for (const cell of cells) {
    const { true: label, predicted, images } = cell.dataset;
    const name = label === predicted ? "right" : `taken for ${values.classes[predicted]}`;
    const button = element("button", { type: "button", "aria-pressed": "false", "aria-label": `${values.classes[label]}, ${name}: ${images}` }, cell.textContent);
    button.addEventListener("click", () => open(button, cell.dataset));
    cell.replaceChildren(button);
  }
  if (matrix) arrows(matrix);
  const wrong = cells.filter((cell) => cell.dataset.true !== cell.dataset.predicted);
  const largest = wrong.reduce((best, cell) => (Number(cell.dataset.images) > Number(best.dataset.images) ? cell : best), wrong[0] ?? cells[0]);
  open(largest.querySelector("button"), largest.dataset);
}

// Tables ------------------------------------------------------------------------------------------------------------

const NUMBER = /^[\d,.]+$/;

/** Rows by what stands in a column, numbers as numbers; what is not there ("–", nothing) comes last either way. */
function sort(table, column, direction) {
  const text = (row) => row.cells[column].textContent.trim().replace("–", "");
  const compare = (a, b) => {
    const [one, other] = [text(a), text(b)];
    if (!one || !other) return (one ? 0 : 1) - (other ? 0 : 1);
    const both = NUMBER.test(one) && NUMBER.test(other);
    const order = both ? Number(one.replaceAll(",", "")) - Number(other.replaceAll(",", "")) : one.localeCompare(other, "en");
    return direction === "ascending" ? order : -order;
  };
  table.tBodies[0].append(...[...table.tBodies[0].rows].sort(compare));
}

function sortable(table) {
  const heads = [...table.tHead.querySelectorAll("th")];
  for (const head of heads) {
    const button = element("button", { type: "button" }, head.textContent);
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const first = head.classList.contains("number") ? "descending" : "ascending";
      const other = first === "descending" ? "ascending" : "descending";
      const direction = head.getAttribute("aria-sort") === first ? other : first;
      heads.forEach((each) => each.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", direction);
      sort(table, head.cellIndex, direction);
    });
  }
}

/** What is wider than the screen can be moved by keyboard too. */
function scrollable() {
  for (const box of document.querySelectorAll(".scroll, .picture, pre")) {
    if (box.scrollWidth <= box.clientWidth && box.scrollHeight <= box.clientHeight) box.removeAttribute("tabindex");
    else {
      box.tabIndex = 0;
      box.setAttribute("role", "group");
      box.setAttribute("aria-label", box.querySelector("caption, th")?.textContent ?? box.querySelector("img")?.alt ?? "recipe.json");
    }
  }
}

if (points.length) curves(document.getElementById("panels"));
confusion();
document.querySelectorAll("table.sortable").forEach(sortable);
scrollable();
addEventListener("resize", scrollable);
document.addEventListener("toggle", scrollable, true);
