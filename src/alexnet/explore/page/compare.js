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

let view = "maps"; // what is shown below the labels; kept while the page is open

/** Draw the section into `body`; gives {update}. */
export async function show(body, route, net) {
  const columns = h("div", { class: "compare-columns" });
  const average = h("section", { class: "average" });
  const controls = h("div", { class: "row" });
  body.append(
    h("h1", null, "Runs side by side"),
    h(
      "p",
      { class: "words" },
      "The same image, seen by several networks. Averaged over networks that were trained apart, answers become " +
        "better: five of them took the paper's error from 40.7 % to 38.1 % (Table 2).",
    ),
    controls,
    columns,
    average,
  );
  if (!route.image) {
    columns.append(h("p", null, h("a", { href: link({ section: "image" }) }, "Choose an image"), " first."));
    return {};
  }
  const update = (now) => draw({ columns, average, controls }, now, net);
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

async function draw({ columns, average, controls }, route) {
  const runs = runsOf(route);
  const looks = await Promise.all(
    runs.map(async (run) => ({ run, net: await network(run), answer: await json(at.answer(run, route.image)) })),
  );
  const steps = [
    ...new Set(looks.flatMap(({ net }) => net.steps.filter((step) => step.shape.length === 3).map((step) => step.name))),
  ];
  const chosen = steps.includes(route.parts[0]) ? route.parts[0] : steps[0];
  const change = (names) => go({ ...read(), runs: names });
  controls.replaceChildren(
    switcher(
      "what is shown",
      [
        ["maps", "maps"],
        ["kernels", "kernels of conv1"],
      ],
      view,
      (value) => {
        view = value;
        draw({ columns, average, controls }, route);
      },
    ),
    view === "maps"
      ? h(
          "label",
          { class: "pick" },
          h("span", null, "step"),
          select(
            "step",
            steps.map((name) => [name, name]),
            chosen,
            (name) => go({ ...read(), parts: [name] }),
          ),
        )
      : "",
    runs.length < Math.min(MOST, store.index.runs.length)
      ? h(
          "button",
          {
            type: "button",
            class: "button",
            onclick: () => change([...runs, store.index.runs.find((run) => !runs.includes(run))]),
          },
          "Add a run",
        )
      : "",
  );
  columns.replaceChildren(...looks.map((look, k) => column(look, k, runs, change, chosen, route)));
  if (store.index.runs.length < 2)
    columns.append(h("p", { class: "faint" }, "Give alexnet explore several runs to compare them."));
  averageOf(average, looks);
}

function column({ run, net, answer }, place, runs, change, step, route) {
  const replaced = (name) => runs.map((other, k) => (k === place ? name : other));
  const choices = store.index.runs.map((name) => [name, name]);
  const parts = h("div", { class: "parts" });
  const remove =
    runs.length > 1
      ? h(
          "button",
          {
            type: "button",
            class: "button",
            "aria-label": `leave out ${run}`,
            onclick: () => change(runs.filter((_, k) => k !== place)),
          },
          "×",
        )
      : null;
  const error = net.error?.views?.["10"];
  (view === "maps" ? maps : kernels)(parts, net, step, route);
  return h(
    "section",
    { class: "compare-column", "data-testid": "compare-column", "data-run": run, "aria-label": run },
    h(
      "div",
      { class: "row" },
      select(`run ${place + 1}`, choices, run, (name) => change(replaced(name)), { "data-testid": "compare-run-select" }),
      remove,
    ),
    h(
      "p",
      { class: "faint small" },
      [
        `network ${net.name}`,
        `${large(net.parameters)} parameters`,
        net.epochs === null || net.epochs === undefined ? null : plural(net.epochs, "epoch"),
        error ? `top-1 error ${error.top1.toFixed(1)} %` : null,
      ]
        .filter(Boolean)
        .join(", "),
    ),
    bars(answer.top, answer.label, net),
    parts,
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
function averageOf(box, looks) {
  const [first] = looks;
  const same = looks.filter(
    ({ net }) =>
      net.classes.length === first.net.classes.length && net.classes.every((name, k) => name === first.net.classes[k]),
  );
  box.hidden = looks.length < 2;
  if (same.length < 2)
    return box.replaceChildren(h("p", { class: "faint" }, "These runs know different classes, so their answers have no mean."));
  const mean = first.net.classes.map((label, k) => ({
    label,
    probability: same.reduce((total, { answer }) => total + answer.probabilities[k], 0) / same.length,
  }));
  const top = mean.sort((a, b) => b.probability - a.probability).slice(0, 5);
  const truth = same.map(({ answer }) => answer.label).find(Boolean);
  box.replaceChildren(
    h("h2", null, `The mean of these ${same.length}`),
    same.length < looks.length ? h("p", { class: "faint" }, "Only of the runs that know the same classes as the first.") : "",
    bars(top, truth, first.net),
  );
}
