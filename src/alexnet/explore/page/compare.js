// Section "Compare": several runs on the same image, side by side, and the mean of their answers.

import { at, json, numbers } from "./api.js";
import { bars } from "./answers.js";
import { largestOf, paintRGB } from "./colours.js";
import { canvasOf, h, select, styled, switcher } from "./dom.js";
import { large, plural } from "./format.js";
import { go, link, read } from "./state.js";
import { network, store } from "./store.js";
import { tiles } from "./tiles.js";
import { sizeOf } from "./words.js";

const MOST = 4;

const VIEWS = [
  ["maps", "maps"],
  ["kernels", "kernels of conv1"],
];

let view = "maps"; // what is shown below the labels; kept while the page is open

/** Draw the section into `body`; gives {update}. */
export async function show(body, route) {
  const parts = {
    columns: h("div", { class: "compare-columns" }),
    controls: h("div", { class: "row" }),
    details: h("div", { class: "compare-columns" }),
  };
  const words =
    "The same image, seen by several networks. Averaged over networks that were trained apart, answers become " +
    "better: five of them took the paper's error from 40.7 % to 38.1 % (Table 2).";
  body.append(h("h1", null, "Runs side by side"), h("p", { class: "words" }, words));
  if (!route.image) {
    body.append(h("p", null, h("a", { href: link({ section: "image" }) }, "Choose an image"), " first."));
    return {};
  }
  if (store.index.runs.length < 2)
    body.append(h("p", { class: "faint" }, "Give alexnet explore several runs to compare them."));
  body.append(parts.columns, parts.controls, parts.details);
  const update = (now) => draw(parts, now);
  await update(route);
  return { update };
}

// The runs that an address names, else the chosen one and the one after it.
function runsOf(route) {
  const all = store.index.runs;
  const named = (route.runs ?? []).filter((run) => all.includes(run)).slice(0, MOST);
  if (named.length) return named;
  return [route.run, ...all.filter((run) => run !== route.run)].slice(0, 2);
}

async function draw(parts, route) {
  const runs = runsOf(route);
  const looks = await Promise.all(
    runs.map(async (run) => ({ run, net: await network(run), answer: await json(at.answer(run, route.image)) })),
  );
  const ofMaps = looks.flatMap(({ net }) => net.steps.filter((step) => step.shape.length === 3).map((step) => step.name));
  const steps = [...new Set(ofMaps)];
  const step = steps.includes(route.parts[0]) ? route.parts[0] : steps[0];
  parts.columns.replaceChildren(...looks.map((look, k) => column(look, k, runs)), ...averageOf(looks));
  const below = () => {
    const stepSelect = select(
      "step",
      steps.map((name) => [name, name]),
      step,
      (name) => go({ ...read(), parts: [name] }),
    );
    const label = view === "maps" ? h("label", { class: "pick" }, h("span", null, "step"), stepSelect) : "";
    parts.controls.replaceChildren(
      switcher("what is shown", VIEWS, view, (value) => ((view = value), below())),
      label,
    );
    const blocks = looks.map((look) => {
      const block = h(
        "section",
        { class: "compare-detail", "aria-label": `${view} of ${look.run}` },
        h("p", { class: "faint small" }, look.run),
      );
      (view === "maps" ? maps : kernels)(block, look.net, step, route);
      return block;
    });
    parts.details.replaceChildren(...blocks);
  };
  below();
}

const change = (runs) => go({ ...read(), runs });

// Behind the last run, where there is another to add.
function addRun(runs, place) {
  const more = store.index.runs.filter((run) => !runs.includes(run));
  if (place < runs.length - 1 || !more.length || runs.length >= MOST) return null;
  return h("button", { type: "button", class: "button", onclick: () => change([...runs, more[0]]) }, "Add a run");
}

function column({ run, net, answer }, place, runs) {
  const replaced = (name) => runs.map((other, k) => (k === place ? name : other));
  const choices = store.index.runs.map((name) => [name, name]);
  const runSelect = select(`run ${place + 1}`, choices, run, (name) => change(replaced(name)), {
    "data-testid": "compare-run-select",
  });
  const leave = {
    type: "button",
    class: "button",
    "aria-label": `leave out ${run}`,
    onclick: () => change(runs.filter((_, k) => k !== place)),
  };
  const error = net.error?.views?.["10"];
  const facts = [
    `network ${net.name}`,
    `${large(net.parameters)} parameters`,
    (net.epochs ?? null) === null ? null : plural(net.epochs, "epoch"),
    error ? `top-1 error ${error.top1.toFixed(1)} %` : null,
  ];
  return h(
    "section",
    { class: "compare-column", "data-testid": "compare-column", "data-run": run, "aria-label": run },
    h("div", { class: "row" }, runSelect, runs.length > 1 ? h("button", leave, "×") : null, addRun(runs, place)),
    h("p", { class: "faint small" }, facts.filter(Boolean).join(", ")),
    bars(answer.top, answer.label, net),
  );
}

async function maps(box, net, name, route) {
  const step = net.steps.find((one) => one.name === name);
  if (!step) return box.append(h("p", { class: "faint" }, `This network has no step ${name}.`));
  const values = await numbers(at.step(net.id, route.image, name));
  const each = step.shape[0] / step.columns;
  const choose = (kernel, y, x) => go({ section: "number", parts: [name, kernel, y, x], run: net.id });
  for (let place = 0; place < step.columns; place++) {
    const label = step.columns === 2 ? `${name}, column ${place + 1}` : name;
    box.append(
      h(
        "div",
        { class: "column" },
        h("h3", { class: `column-${place + 1}` }, label, h("span", { class: "faint" }, ` ${each} maps of ${sizeOf(step)}`)),
        tiles({
          values,
          shape: step.shape,
          from: place * each,
          to: (place + 1) * each,
          column: place,
          largest: null,
          chosen: null,
          label: `maps of ${label} of ${net.id}`,
          choose,
        }),
      ),
    );
  }
}

async function kernels(box, net) {
  const [step] = net.steps;
  const weights = await numbers(at.weights(net.id, step.name));
  const size = 3 * step.kernel * step.kernel;
  const each = step.shape[0] / step.columns;
  for (let place = 0; place < step.columns; place++) {
    const grid = styled(
      h("div", {
        class: `tiles column-${place + 1}`,
        role: "img",
        "aria-label": `${each} kernels of ${net.id}, column ${place + 1}`,
      }),
      { "--across": "8" },
    );
    for (let kernel = place * each; kernel < (place + 1) * each; kernel++) {
      const canvas = canvasOf(step.kernel, step.kernel);
      paintRGB(canvas, weights.subarray(kernel * size, (kernel + 1) * size), 0, largestOf(weights, kernel * size, size));
      grid.append(h("span", { class: "tile" }, canvas));
    }
    box.append(
      h(
        "div",
        { class: "column" },
        h("h3", { class: `column-${place + 1}` }, step.columns === 2 ? `column ${place + 1}` : "kernels"),
        grid,
      ),
    );
  }
}

// The mean of the probabilities, of runs that know the same classes.
function averageOf(looks) {
  if (looks.length < 2) return [];
  const [{ net }] = looks;
  const names = JSON.stringify(net.classes);
  const same = looks.filter((look) => JSON.stringify(look.net.classes) === names);
  if (same.length < 2) return [h("p", { class: "faint" }, "These runs know different classes, so their answers have no mean.")];
  const meanOf = (k) => same.reduce((total, { answer }) => total + answer.probabilities[k], 0) / same.length;
  const mean = net.classes.map((label, k) => ({ label, probability: meanOf(k) }));
  const top = mean.sort((a, b) => b.probability - a.probability).slice(0, 5);
  const truth = same.map(({ answer }) => answer.label).find(Boolean);
  const which =
    same.length < looks.length
      ? "Of the runs that know the same classes as the first."
      : "Of their probabilities, over ten crops each.";
  return [
    h(
      "section",
      { class: "average" },
      h("h2", null, `The mean of these ${same.length}`),
      h("p", { class: "faint small" }, which),
      bars(top, truth, net),
    ),
  ];
}
