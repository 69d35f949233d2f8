// Section "Training": how a run goes or went; while it trains, the page looks again every two seconds.

import { at, forget, fresh, numbers } from "./api.js";
import { chart } from "./chart.js";
import { largestOf, paintRGB } from "./colours.js";
import { canvasOf, h, styled } from "./dom.js";
import { digits, whole } from "./format.js";
import { freshNetwork, store } from "./store.js";

const EVERY = 2000; // milliseconds between two looks at a training

const STATES = { training: "It is training now.", stopped: "It was stopped before its end.", finished: "It is finished." };

/** Draw the section into `body`; gives {leave}. */
export async function show(body, route, net) {
  const figures = h("div", { class: "figures" });
  const state = h("p", { class: "words" });
  const charts = h("div", { class: "charts" });
  const kernels = h("section", { class: "block" });
  body.append(h("h1", null, `Training of ${route.run}`), state, figures, charts, kernels);
  let timer = null;
  let left = false;
  let seen = "";
  let epochs = -1;
  if (!net.log) {
    state.textContent = "Of this network there is no record of its training.";
    return {};
  }
  let metrics = await fresh(at.metrics(route.run));
  async function look(first) {
    if (!first) metrics = await fresh(at.metrics(route.run));
    if (left) return;
    state.textContent = STATES[metrics.state] ?? "";
    figures.replaceChildren(...numbersOf(metrics));
    const mark = JSON.stringify([metrics.epochs.length, metrics.steps.at(-1)?.step]);
    // Drawn again only where something is new, so that a chart keeps its place under the pointer.
    if (mark !== seen && !charts.contains(document.activeElement)) {
      charts.replaceChildren(...chartsOf(metrics));
      seen = mark;
    }
    if (metrics.epochs.length !== epochs) await kernelsNow(kernels, route.run, net, metrics.state === "training");
    epochs = metrics.epochs.length;
    const again = () => look(false).catch((error) => (state.textContent = error.message));
    if (!left && store.index.live && metrics.state === "training") timer = setTimeout(again, EVERY);
  }
  await look(true);
  return { leave: () => ((left = true), clearTimeout(timer)) };
}

function numbersOf({ epochs, steps, epochs_total: total, images_per_second: speed, rate }) {
  const last = epochs.at(-1);
  const measured = epochs.findLast((line) => line.validation_top1 !== undefined); // not after every epoch
  const figure = (value, name) => h("p", null, h("b", null, value), h("span", null, name));
  return [
    figure(`${whole(last?.epoch ?? 0)} / ${whole(total)}`, "epochs"),
    steps.length ? figure(whole(steps.at(-1).step), "steps") : null,
    rate ? figure(digits(rate, 3), "learning rate") : null,
    speed ? figure(whole(speed), "images a second") : null,
    last ? figure(digits(last.loss, 4), "training loss") : null,
    measured ? figure(`${digits(measured.validation_top1, 3)} %`, "top-1 error, validation") : null,
  ].filter(Boolean);
}

function chartsOf({ epochs, steps }) {
  const over = (lines, x, y) => lines.filter((line) => typeof line[y] === "number").map((line) => [line[x], line[y]]);
  const list = [];
  if (epochs.length) {
    list.push(
      chart({
        title: "Loss, by epoch",
        xName: "epoch",
        lines: [{ name: "training", column: 1, points: over(epochs, "epoch", "loss") }],
      }),
    );
    list.push(
      chart({
        title: "Errors, by epoch",
        xName: "epoch",
        unit: " %",
        lines: [
          { name: "training top-1", column: 1, points: over(epochs, "epoch", "train_error") },
          { name: "validation top-1", column: 2, points: over(epochs, "epoch", "validation_top1") },
          { name: "validation top-5", column: 2, dashed: true, points: over(epochs, "epoch", "validation_top5") },
        ],
      }),
    );
  }
  if (steps.length)
    list.push(
      chart({
        title: `Loss of the last ${whole(steps.length)} measured steps`,
        xName: "step",
        zero: false,
        lines: [{ name: "training", column: 1, points: over(steps, "step", "loss") }],
      }),
    );
  const rates = over(epochs.length > 1 ? epochs : steps, epochs.length > 1 ? "epoch" : "step", "rate");
  if (rates.length)
    list.push(
      chart({
        title: "Learning rate",
        xName: epochs.length > 1 ? "epoch" : "step",
        lines: [{ name: "rate", column: 1, points: rates }],
      }),
    );
  return list;
}

// The kernels of the newest checkpoint; while it trains, of the newest epoch that was kept.
async function kernelsNow(box, run, net, training) {
  const [step] = net.steps;
  let address = at.weights(run, step.name);
  let words = `Kernels of the first layer at ${net.checkpoint}`;
  if (training) {
    const newest = await freshNetwork(run);
    forget(run); // what was computed with the weights of an earlier checkpoint
    const epoch = newest.epochs_kept.at(-1);
    if (epoch !== undefined)
      [address, words] = [at.kernels(run, epoch), `Kernels of the first layer after epoch ${whole(epoch)}`];
  } else if (net.epochs_kept.length)
    [address, words] = [
      at.kernels(run, net.epochs_kept.at(-1)),
      `Kernels of the first layer after epoch ${whole(net.epochs_kept.at(-1))}`,
    ];
  const weights = await numbers(address);
  const size = 3 * step.kernel * step.kernel;
  const grid = styled(h("div", { class: "tiles", role: "img", "aria-label": words }), {
    "--across": String(step.shape[0] > 48 ? 24 : 16),
  });
  for (let kernel = 0; kernel < step.shape[0]; kernel++) {
    const canvas = canvasOf(step.kernel, step.kernel);
    paintRGB(canvas, weights.subarray(kernel * size, (kernel + 1) * size), 0, largestOf(weights, kernel * size, size));
    grid.append(h("span", { class: `tile column-${step.columns === 2 && kernel >= step.shape[0] / 2 ? 2 : 1}` }, canvas));
  }
  box.replaceChildren(h("h2", null, words), grid);
}
