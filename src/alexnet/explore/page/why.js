// Section "Why": which pixels speak for a label, and which training images are near.

import { at, json, untilReady } from "./api.js";
import { largestOf, paint, paintHeat } from "./colours.js";
import { canvasOf, h, select, styled } from "./dom.js";
import { digits, percent, whole } from "./format.js";
import { go, link, read } from "./state.js";
import { keep, nameOf, store } from "./store.js";
import { wordOf } from "./words.js";

/** Draw the section into `body`; gives {update} for another label. */
export async function show(body, route, net) {
  body.append(h("h1", null, "Why this label?"));
  if (!route.image) {
    body.append(h("p", null, h("a", { href: link({ section: "image" }) }, "Choose an image"), " first."));
    return {};
  }
  if (!store.index.live && !store.index.images.some(({ id }) => id === route.image)) {
    body.append(h("p", { class: "words" }, "An exported page has this for the images that came with it only."));
    return {};
  }
  const answer = await json(at.answer(route.run, route.image));
  const views = styled(h("div", { class: "why-views" }), { "--strength": "0.65" });
  const told = h("p", { class: "words", "aria-live": "polite" });
  const near = h("section", { class: "block" });
  const known = labelsOf(answer, net);
  const labels = known.map((k) => [String(k), wordOf(net, net.classes[k])]);
  const labelSelect = select("label", labels, "", (label) => go({ ...read(), parts: [label] }), { "data-testid": "why-label" });
  const strengthen = () => styled(views, { "--strength": String(strength.value / 100) });
  const strength = h("input", { type: "range", id: "strength", min: 0, max: 100, value: 65, oninput: strengthen });
  const label = h("label", { class: "pick" }, h("span", null, "label"), labelSelect);
  const overlay = h("span", { class: "row strength" }, h("label", { for: "strength" }, "overlay"), strength);
  body.append(h("div", { class: "slider-row" }, label, quick(answer, net), overlay), told, views, near);
  if (store.index.neighbours ?? store.index.data) neighbours(near, route, net, () => body.isConnected);
  else if (store.index.live) {
    const words = "With --data DIR, a prepared dataset, alexnet explore also finds the nearest training images.";
    near.append(h("p", { class: "faint" }, words));
  }
  const [first] = [answer.centre[0], answer.top[0]]
    .map((one) => net.classes.indexOf(one.label))
    .filter((k) => known.includes(k));
  let turn = 0;
  const update = async (now) => {
    const label = known.includes(Number(now.parts[0])) && now.parts.length ? Number(now.parts[0]) : first;
    labelSelect.value = String(label);
    const mine = ++turn;
    told.textContent = `Computing what speaks for ${wordOf(net, net.classes[label])} …`;
    const why = await json(at.why(route.run, route.image, label));
    if (mine !== turn) return;
    told.textContent =
      `${wordOf(net, net.classes[label])}: ${percent(why.probability)} for the centre crop; before ` +
      `softmax ${digits(why.score, 4)}.`;
    views.replaceChildren(gradCam(why, route), gradientInput(why, route, net), occlusion(why, route, net));
  };
  await update(route);
  return { update };
}

// The numbers of the labels that are explained; of many classes an exported page has the most probable ones and the true one.
function labelsOf(answer, net) {
  const all = net.classes.map((_, k) => k);
  if (store.index.live || all.length <= 20) return all;
  return all.filter((k) => net.classes[k] === answer.label || answer.top.some(({ label }) => label === net.classes[k]));
}

// The five labels of the answer, one press each.
function quick(answer, net) {
  return h(
    "span",
    { class: "buttons" },
    answer.top.map(({ label }) =>
      h(
        "button",
        { type: "button", class: "button", onclick: () => go({ ...read(), parts: [net.classes.indexOf(label)] }) },
        wordOf(net, label),
      ),
    ),
  );
}

function view(title, canvas, route, words, ...more) {
  const photo = h("img", { src: at.seen(route.run, route.image), alt: "", width: 224, height: 224 });
  return h(
    "figure",
    null,
    h("div", { class: "frame" }, photo, canvas),
    h("figcaption", null, h("b", null, `${title}.`), " ", words),
    more,
  );
}

function gradCam({ grad_cam: { shape, values }, label }, route) {
  const canvas = canvasOf(shape[1], shape[0], { class: "over smooth", role: "img", "aria-label": `Grad-CAM for ${label}` });
  paintHeat(canvas, values);
  return view(
    "Grad-CAM",
    canvas,
    route,
    "Maps of the last convolution, each weighted by its mean gradient of the label; bright is for it (Selvaraju et al., 2017).",
  );
}

function gradientInput({ gradient_input: { shape, values }, label }, route) {
  const canvas = canvasOf(shape[1], shape[0], {
    class: "over pixels",
    role: "img",
    "aria-label": `gradient times input for ${label}`,
  });
  // The few largest values would leave all others pale.
  const sizes = Float32Array.from(values, Math.abs).sort();
  paint(canvas, values, 0, sizes[Math.floor(sizes.length * 0.995)] || largestOf(values), 0);
  return view(
    "Gradient × input",
    canvas,
    route,
    "Each pixel times the gradient of the label there: blue speaks for it, grey against " +
      "it (Simonyan et al., 2014; Shrikumar et al., 2016).",
  );
}

// What the label loses where squares of `patch` pixels lie, cell by cell of `stride` pixels: the mean over all that cover it.
function lossOf({ shape, patch, stride, values }, probability, side) {
  const cells = Math.ceil(side / stride);
  const covering = Array.from({ length: cells }, (_, cell) => {
    const from = Math.max(0, Math.ceil((cell * stride - patch + 1) / stride));
    return [Math.min(from, shape[0] - 1), Math.min(cell, shape[0] - 1)];
  });
  const losses = new Float32Array(cells * cells);
  covering.forEach(([top, bottom], y) =>
    covering.forEach(([left, right], x) => {
      let sum = 0;
      for (let row = top; row <= bottom; row++)
        for (let column = left; column <= right; column++) sum += probability - values[row * shape[1] + column];
      losses[y * cells + x] = sum / ((bottom - top + 1) * (right - left + 1));
    }),
  );
  return { cells, losses };
}

function occlusion({ occlusion: measured, probability, label }, route, net) {
  const { shape, patch, stride, values } = measured;
  const side = net.input_size;
  const { cells, losses } = lossOf(measured, probability, side);
  const canvas = canvasOf(cells, cells, { class: "smooth", "aria-hidden": "true" });
  const most = Math.max(...losses, 1e-9);
  paintHeat(
    canvas,
    losses.map((value) => value / most),
  );
  const box = h(
    "div",
    { class: "over occlusion", role: "img", "aria-label": `occlusion for ${label}` },
    styled(canvas, { width: `${(100 * cells * stride) / side}%`, height: `${(100 * cells * stride) / side}%` }),
  );
  const told = h("p", { class: "told faint" }, "Point at the picture: what the label's probability becomes.");
  const cover = styled(h("span", { class: "cover", hidden: true }), {
    width: `${(100 * patch) / side}%`,
    height: `${(100 * patch) / side}%`,
  });
  box.addEventListener("pointermove", (event) => {
    const area = box.getBoundingClientRect();
    const place = (offset, length, count) =>
      Math.min(count - 1, Math.max(0, Math.round(((offset / length) * side - patch / 2) / stride)));
    const [row, column] = [
      place(event.clientY - area.top, area.height, shape[0]),
      place(event.clientX - area.left, area.width, shape[1]),
    ];
    told.textContent = `With this square grey: ${percent(values[row * shape[1] + column])} instead of ${percent(probability)}.`;
    cover.hidden = false;
    styled(cover, { left: `${(100 * column * stride) / side}%`, top: `${(100 * row * stride) / side}%` });
  });
  const least = Math.min(...values);
  return view(
    "Occlusion",
    [box, cover],
    route,
    `A grey square of ${patch}×${patch} pixels over every place; bright where the label loses ` +
      `most: at worst ${percent(least)} is left of ${percent(probability)} (Zeiler & Fergus, 2014).`,
    told,
  );
}

async function neighbours(box, route, net, wanted) {
  const told = h("p", { class: "faint", "aria-live": "polite" }, "Looking for the nearest training images …");
  const feature = net.steps.filter((step) => step.kind === "activation").at(-1)?.layer ?? "the last hidden layer";
  box.append(h("h2", null, `The nearest training images in ${feature}`), told);
  try {
    const address = at.neighbours(route.run, route.image, store.index.live);
    const answer = await untilReady(address, ({ done, total }) => {
      told.textContent = total
        ? `Computing the features of training images: ${whole(done)} of ${whole(total)} …`
        : told.textContent;
      return wanted();
    });
    if (!answer) return;
    keep(answer.neighbours);
    told.textContent =
      `Of ${whole(answer.searched)} training images, by the distance between their activations and ` +
      "this image's (§6.1, fig. 4).";
    box.append(
      h(
        "ul",
        { class: "patches" },
        answer.neighbours.map((one) =>
          h(
            "li",
            null,
            h("img", { src: at.thumb(one.id), alt: nameOf(one.id), width: 96, height: 96 }),
            h("span", null, one.label ? wordOf(net, one.label) : ""),
            h("span", { class: "faint" }, digits(one.distance, 4)),
          ),
        ),
      ),
    );
  } catch (error) {
    told.textContent = error.message;
  }
}
