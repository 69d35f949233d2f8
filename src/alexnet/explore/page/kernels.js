// Section "Kernels": fig. 3 by column, how the kernels grew over the training, and what excites a kernel most.

import { at, numbers, untilReady } from "./api.js";
import { largestOf, paintRGB } from "./colours.js";
import { canvasOf, h, imageOf } from "./dom.js";
import { digits, plural, whole } from "./format.js";
import { go } from "./state.js";
import { keep, store } from "./store.js";
import { rove } from "./tiles.js";
import { wordOf } from "./words.js";

/** Draw the section into `body`; gives {update, leave}. */
export async function show(body, route, net) {
  const [step] = net.steps;
  const shape = [step.shape[0], 3, step.kernel, step.kernel];
  const sheet = h("div", { class: "maps-by-column" });
  const detail = h("section", { class: "block" });
  const state = { chosen: null, weights: null };
  const drawings = kernelTiles(sheet, step, (kernel) => go({ section: "kernels", parts: [kernel] }, true));
  body.append(
    h("h1", null, "Kernels of the first layer"),
    h(
      "p",
      { class: "words" },
      `${plural(shape[0], "kernel")} of ${shape[2]}×${shape[3]}×3 pixels, as in fig. 3. Each is ` +
        "shown on its own scale: grey is 0, and its largest weight is black or a full colour. One " +
        "that ignores colour looks grey.",
    ),
  );
  const paintAll = (weights) => {
    state.weights = weights;
    drawings.forEach((canvas, kernel) => paintKernel(canvas, weights, kernel, shape));
    detail.querySelectorAll("canvas.big").forEach((canvas) => paintKernel(canvas, weights, state.chosen, shape));
  };
  const slider = net.epochs_kept.length > 1 ? growth(net, paintAll) : null;
  if (slider) body.append(slider.element);
  else body.append(h("p", { class: "faint" }, "This run kept no kernels of earlier epochs: these are as they are now."));
  body.append(sheet, detail);
  paintAll(await numbers(slider ? at.kernels(net.id, net.epochs_kept.at(-1)) : at.weights(net.id, step.name)));
  const update = (now) => {
    const kernel = Number(now.parts[0]);
    if (!now.parts.length || !(kernel >= 0 && kernel < shape[0]) || kernel === state.chosen) return;
    state.chosen = kernel;
    for (const button of sheet.querySelectorAll("button"))
      button.setAttribute("aria-pressed", String(Number(button.dataset.kernel) === kernel));
    kernelDetail(detail, net, step, kernel, state, shape);
  };
  update(route);
  return { update, leave: () => slider?.stop() };
}

function paintKernel(canvas, weights, kernel, shape) {
  const size = 3 * shape[2] * shape[3];
  paintRGB(canvas, weights.subarray(kernel * size, (kernel + 1) * size), 0, largestOf(weights, kernel * size, size));
}

// A button with an empty canvas for every kernel, by column; gives the canvases.
function kernelTiles(sheet, step, choose) {
  const each = step.shape[0] / step.columns;
  const canvases = [];
  for (let column = 0; column < step.columns; column++) {
    const grid = h("div", {
      class: `tiles kernel-tiles column-${column + 1}`,
      role: "group",
      "aria-label": `kernels of column ${column + 1}`,
    });
    for (let kernel = column * each; kernel < (column + 1) * each; kernel++) {
      const canvas = canvasOf(step.kernel, step.kernel, { "aria-hidden": "true" });
      canvases.push(canvas);
      grid.append(
        h(
          "button",
          {
            type: "button",
            class: "tile",
            "data-testid": "kernel-tile",
            "data-kernel": kernel,
            "aria-label": `kernel ${kernel}`,
            "aria-pressed": "false",
            onclick: () => choose(kernel),
          },
          canvas,
          h("span", { class: "tile-text", "aria-hidden": "true" }, String(kernel)),
        ),
      );
    }
    grid.style.setProperty("--across", String(each % 8 === 0 ? 8 : Math.ceil(Math.sqrt(each * 1.3))));
    rove(grid);
    sheet.append(
      h(
        "div",
        { class: "column" },
        h("h3", { class: `column-${column + 1}` }, step.columns === 2 ? `Column ${column + 1}` : "All kernels"),
        grid,
      ),
    );
  }
  return canvases;
}

// The slider over the epochs that the run kept, and its player.
function growth(net, paintAll) {
  const epochs = net.epochs_kept;
  const last = epochs.length - 1;
  let timer = null;
  const words = (epoch) => (epoch === 0 ? "before training" : `after epoch ${whole(epoch)}`);
  const shown = h("output", { for: "epoch" }, words(epochs[last]));
  const slider = h("input", {
    type: "range",
    id: "epoch",
    min: 0,
    max: last,
    value: last,
    "data-testid": "kernel-slider",
    "aria-label": "epoch",
    "aria-valuetext": words(epochs[last]),
    oninput: () => (stop(), show()),
  });
  slider.value = last;
  async function show() {
    const epoch = epochs[slider.value];
    shown.textContent = words(epoch);
    slider.setAttribute("aria-valuetext", words(epoch));
    const weights = await numbers(at.kernels(net.id, epoch));
    if (epochs[slider.value] === epoch) paintAll(weights);
  }
  function stop() {
    clearInterval(timer);
    timer = null;
    play.textContent = "Play";
  }
  const step = async () => {
    await show();
    if (Number(slider.value) >= last) stop();
    else slider.value = Number(slider.value) + 1;
  };
  const play = h(
    "button",
    {
      type: "button",
      class: "button strong",
      onclick: () => {
        if (timer) return stop();
        if (Number(slider.value) >= last) slider.value = 0;
        play.textContent = "Pause";
        timer = setInterval(step, Math.max(60, Math.min(400, 8000 / epochs.length)));
      },
    },
    "Play",
  );
  const element = h("div", { class: "slider-row" }, play, h("label", { for: "epoch" }, "How they grew:"), slider, shown);
  return { element, stop };
}

function kernelDetail(detail, net, step, kernel, state, shape) {
  const big = canvasOf(shape[3], shape[2], { class: "big", role: "img", "aria-label": `kernel ${kernel}, large` });
  paintKernel(big, state.weights, kernel, shape);
  const size = 3 * shape[2] * shape[3];
  const patches = h("div");
  detail.replaceChildren(
    h("h2", null, `Kernel ${kernel}`),
    h(
      "div",
      { class: "kernel-detail" },
      h(
        "div",
        null,
        big,
        h("p", { class: "faint small" }, `largest weight ${digits(largestOf(state.weights, kernel * size, size), 3)}`),
      ),
      patches,
    ),
  );
  if (!store.index.live) return;
  if (store.index.data) excites(patches, net, step, kernel, () => state.chosen === kernel && detail.isConnected);
  else
    patches.append(
      h("p", { class: "faint" }, "With --data DIR, a prepared dataset, alexnet explore also shows what excites a kernel most."),
    );
}

/** The patches of training images that a kernel answers most to, as they become known. */
async function excites(box, net, step, kernel, wanted) {
  const told = h("p", { class: "faint", "aria-live": "polite" }, "Looking for what excites it most …");
  box.append(h("h3", null, "What excites it most"), told);
  try {
    const answer = await untilReady(at.units(net.id, step.name, kernel), ({ done, total }) => {
      told.textContent = `Looking through training images: ${whole(done)} of ${whole(total)} …`;
      return wanted();
    });
    if (!answer || !wanted()) return;
    told.textContent = "Of the training images that were searched, the patches in which it answers strongest.";
    box.append(
      h(
        "ul",
        { class: "patches" },
        answer.patches.map((one) => patch(one, net)),
      ),
    );
    keep(answer.patches.map(({ id, label }) => ({ id, name: store.images.get(id)?.name ?? id, label })));
  } catch (error) {
    told.textContent = error.message;
  }
}

function patch({ id, value, box: [x, y, wide, high], label }, net) {
  const canvas = canvasOf(132, 132, { role: "img", "aria-label": `patch of ${id}${label ? `, ${label}` : ""}` });
  imageOf(at.original(id)).then(
    (image) => {
      const scale = image.naturalWidth / net.image_size;
      const pen = canvas.getContext("2d");
      pen.imageSmoothingEnabled = wide * scale > 132;
      pen.drawImage(image, x * scale, y * scale, wide * scale, high * scale, 0, 0, 132, 132);
    },
    () => {},
  );
  return h(
    "li",
    null,
    canvas,
    h("span", null, digits(value, 4)),
    h("span", { class: "faint" }, label ? wordOf(net, label) : id),
  );
}
