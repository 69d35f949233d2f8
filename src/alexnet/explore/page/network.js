// Section "Network": fig. 2 above, and below it the maps of the chosen step as tiles, column beside column.

import { at, json, numbers } from "./api.js";
import { bars } from "./answers.js";
import { largestOf } from "./colours.js";
import { h, keepingFocus, switcher } from "./dom.js";
import { digits, large, plural, shapeText, whole } from "./format.js";
import { figure2 } from "./figure2.js";
import { go, link } from "./state.js";
import { columnsOf, stepOf } from "./store.js";
import { strip } from "./strips.js";
import { tiles } from "./tiles.js";
import { describe, KINDS, layersOf, sizeOf, wordOf } from "./words.js";

let common = false; // whether all maps of a step share one scale; kept while the page is open

/** Draw the section into `body`; gives {update} for another step. */
export function show(body, route, net) {
  const drawing = h("div", { class: "figure-box", tabindex: 0, role: "region", "aria-label": "the network, drawn" });
  const detail = h("section", { class: "block stage-detail", "aria-live": "off" });
  body.append(
    h("h1", null, `Network ${net.name}`),
    h("p", { class: "words" }, summary(net)),
    drawing,
    h(
      "p",
      { class: "faint small caption" },
      "Heights and depths of the boxes are to one scale, their thicknesses (numbers of kernels) to " +
        "another. On the right side of each lies its strongest map for this image. Choose a layer to " +
        "see all of its maps.",
    ),
    detail,
  );
  const update = (now) => {
    const name = stepOf(net, now.parts[0]) ? now.parts[0] : net.steps[0].name;
    const left = drawing.scrollLeft;
    keepingFocus(drawing, () => drawing.replaceChildren(figure2(net, now, name)));
    drawing.scrollLeft = left;
    return stepDetail(detail, now, net, name);
  };
  return update(route).then(() => ({ update }));
}

function summary(net) {
  const columns = net.columns === 2 ? `Two columns; ${net.links.join(", ")} read both.` : "One column.";
  const error = net.error?.views?.["10"] ?? net.error?.views?.["1"];
  const top1 = error ? ` Its top-1 error on the validation set is ${error.top1.toFixed(1)} %.` : "";
  return `${large(net.parameters)} parameters, ${large(net.multiply_adds)} multiply-adds for an image. ${columns}${top1}`;
}

async function stepDetail(detail, route, net, name) {
  const { step, before } = stepOf(net, name);
  const layer = layersOf(net).find((one) => one.name === step.layer);
  const tabs = h(
    "nav",
    { class: "step-tabs", "aria-label": `steps of ${layer.name}` },
    layer.steps.map((one) =>
      h(
        "a",
        {
          href: link({ section: "network", parts: [one.name] }),
          "aria-current": one.name === name ? "true" : null,
          "data-testid": `step-${one.name}`,
          "data-keep": one.name,
        },
        h("b", null, one.name),
        " ",
        h("span", null, sizeOf(one)),
      ),
    ),
  );
  const size = h(
    "p",
    { class: "size-line" },
    shapeText(step.shape),
    step.arithmetic ? h("span", { class: "formula" }, step.arithmetic) : null,
  );
  const shown = h("div", { class: "maps-by-column" });
  const controls = h("div", { class: "row" });
  const title = h("h2", null, `${step.name}: ${KINDS[step.kind] ?? step.kind}`);
  const words = h("p", { class: "words" }, describe(step, before));
  keepingFocus(detail, () => detail.replaceChildren(tabs, title, size, words, controls, shown));
  if (!route.image) {
    shown.append(h("p", { class: "faint" }, "Choose an image to see its maps."));
    return;
  }
  const values = await numbers(at.step(net.id, route.image, name));
  if (step.shape.length === 3) mapsOf(shown, controls, values, step);
  else unitsOf(shown, controls, values, step, net, route);
}

function heading(step, column, count, noun) {
  return h(
    "h3",
    { class: `column-${column + 1}` },
    step.columns === 2 ? `Column ${column + 1}` : "All of them",
    h("span", { class: "faint" }, ` ${plural(count, noun)}`),
  );
}

function mapsOf(shown, controls, values, step) {
  const draw = () => {
    const largest = common ? largestOf(values) : null;
    shown.replaceChildren(
      ...columnsOf(step).map(({ column, from, to }) =>
        h(
          "div",
          { class: "column" },
          heading(step, column, to - from, "map"),
          tiles({
            values,
            shape: step.shape,
            from,
            to,
            column,
            largest,
            chosen: null,
            label: `maps of ${step.name}, column ${column + 1}`,
            choose: (kernel, y, x) => go({ section: "number", parts: [step.name, kernel, y, x] }),
          }),
        ),
      ),
    );
  };
  controls.append(
    switcher(
      "scale",
      [
        ["own", "each map on its own scale"],
        ["common", "all on one"],
      ],
      common ? "common" : "own",
      (value) => {
        common = value === "common";
        draw();
      },
    ),
    h(
      "span",
      { class: "faint small" },
      "Under a map: its number, and its largest value. Click a pixel to see how it comes about.",
    ),
  );
  draw();
}

// The last layer's numbers as probabilities of the classes, most probable first.
function softmax(values, net) {
  const powers = Array.from(values, (value) => Math.exp(value - Math.max(...values)));
  const total = powers.reduce((sum, power) => sum + power, 0);
  const all = net.classes.map((label, k) => ({ label, probability: powers[k] / total }));
  return all.sort((a, b) => b.probability - a.probability);
}

async function unitsOf(shown, controls, values, step, net, route) {
  const last = net.steps.at(-1);
  if (step === last) {
    const { label } = await json(at.answer(net.id, route.image));
    shown.append(
      h(
        "div",
        { class: "column" },
        h("h3", null, "After softmax"),
        h(
          "p",
          { class: "faint small" },
          "e to the power of each number, divided by their sum: probabilities of the centre crop.",
        ),
        bars(softmax(values, net).slice(0, 5), label, net),
      ),
    );
  }
  let masked = null;
  const strips = h("div", { class: "maps-by-column wide" });
  const draw = () => {
    const largest = largestOf(values);
    strips.replaceChildren(
      ...columnsOf(step).map(({ column, from, to }) =>
        h(
          "div",
          { class: "column" },
          step === last ? h("h3", null, "Before it: one number a class") : heading(step, column, to - from, "unit"),
          strip({
            values,
            from,
            to,
            column,
            largest,
            masked,
            names: step === last ? net.classes.map((name) => wordOf(net, name)) : null,
            label: `units of ${step.name}, column ${column + 1}`,
            choose: (unit) => go({ section: "number", parts: [step.name, unit] }),
          }).element,
        ),
      ),
    );
  };
  const active = values.reduce((total, value) => total + (value > 0), 0);
  if (step.kind === "dropout") controls.append(...dropoutControls(step, values.length, (mask) => ((masked = mask), draw())));
  else controls.append(h("span", { class: "faint" }, `${whole(active)} of ${whole(values.length)} are above 0`));
  draw();
  shown.append(strips);
}

/** Which units a training step would drop, drawn anew at every press. */
function dropoutControls(step, count, use) {
  const told = h(
    "span",
    { class: "faint", "aria-live": "polite" },
    `This is what test does: every unit stays${step.form === "mask" ? `, times ${digits(1 - step.probability)}` : ""}.`,
  );
  const again = h(
    "button",
    {
      type: "button",
      class: "button strong",
      onclick: () => {
        const mask = Uint8Array.from({ length: count }, () => Number(Math.random() < step.probability));
        const dropped = mask.reduce((total, one) => total + one, 0);
        told.textContent =
          `A training step would drop ${whole(dropped)} of ${whole(count)} (crossed out): another ` +
          "network each time, all with the same weights.";
        again.textContent = "Draw again";
        use(mask);
      },
    },
    "Draw a training step",
  );
  const test = h(
    "button",
    {
      type: "button",
      class: "button",
      onclick: () => {
        told.textContent = `At test every unit stays${step.form === "mask" ? `, times ${digits(1 - step.probability)}` : ""}.`;
        use(null);
      },
    },
    "Test",
  );
  return [again, test, told];
}
