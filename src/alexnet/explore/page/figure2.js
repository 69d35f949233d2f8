// Fig. 2 of the paper, drawn from the network itself: two columns of boxes to scale, and which of them read which.

import { at, numbers } from "./api.js";
import { largestOf, paint } from "./colours.js";
import { canvasOf, svg } from "./dom.js";
import { whole } from "./format.js";
import { link } from "./state.js";
import { layersOf, sizeOf } from "./words.js";

const INPUT = 250; // side of the input on the drawing; all maps have the same scale
const DEPTH = [0.3, -0.24]; // how far a unit of depth goes to the right and up
const TEXT = 84; // room for the lines over the stages
const SLOT = { map: 146, flat: 104 }; // least room of a stage, for its lines
const ROWS = [TEXT + 72, TEXT + 206]; // middles of the two columns
const LONGEST = 112; // of the bars of fully connected layers

/** The drawing as an <svg>, each stage a link. `chosen`: the name of the step that is shown. */
export function figure2(net, route, chosen) {
  const stages = layOut(net);
  const width = stages.at(-1).x + stages.at(-1).room + 8;
  const height = ROWS[1] + 84;
  const drawing = svg("svg", {
    viewBox: `0 0 ${width} ${height}`,
    width,
    height,
    class: "figure2",
    role: "group",
    "aria-label": `network ${net.name}: ${stages.length - 1} layers in ${net.columns === 2 ? "two columns" : "one column"}`,
  });
  for (let k = 1; k < stages.length; k++) drawing.append(joins(stages[k - 1], stages[k]));
  for (const stage of stages) drawing.append(stageLink(stage, route, net, chosen));
  const pictures = svg("g", { "aria-hidden": "true" });
  drawing.append(pictures);
  for (let k = 1; k < stages.length; k++) drawing.append(windows(stages[k - 1], stages[k], net));
  if (net.columns === 2)
    for (const [k, y] of ROWS.entries())
      drawing.append(
        svg(
          "text",
          { x: width - 8, y: k ? y + 62 : y - 52, "text-anchor": "end", class: `column-name column-${k + 1}` },
          `column ${k + 1}`,
        ),
      );
  faces(pictures, stages, route, net);
  return drawing;
}

// Every stage with its place: {name, layer, boxes: [{x, y, wide, high, deep, column}], x, room}
function layOut(net) {
  const layers = layersOf(net);
  const scale = INPUT / net.input_size;
  const shapes = layers.map((layer) => layer.steps[0]);
  const maps = shapes.filter((step) => step.shape.length === 3);
  const thick =
    400 /
    Math.max(
      1,
      maps.reduce((total, step) => total + step.shape[0] / step.columns, 0),
    );
  const units = Math.max(...shapes.filter((step) => step.shape.length === 1).map((step) => step.shape[0] / step.columns));
  const middle = (ROWS[0] + ROWS[1]) / 2;
  const stages = [
    {
      name: "input",
      x: 6,
      room: INPUT * DEPTH[0] + 52,
      layer: null,
      boxes: [{ x: 6, y: middle, wide: 3, high: INPUT, deep: INPUT, column: null }],
    },
  ];
  for (const [k, layer] of layers.entries()) {
    const [first] = layer.steps;
    const flat = first.shape.length === 1;
    const side = flat ? 0 : first.shape[1] * scale;
    const wide = flat ? 15 : Math.max(4, (first.shape[0] / first.columns) * thick);
    const x = stages.at(-1).x + stages.at(-1).room;
    const rows = first.columns === 2 ? ROWS : [middle];
    const high = flat ? Math.max(7, (LONGEST * first.shape[0]) / first.columns / units) : side;
    const boxes = rows.map((y, column) => ({
      x: x + (flat ? 34 : 10),
      y,
      wide,
      high,
      deep: side,
      column: net.columns === 2 && first.columns === 1 ? null : column,
    }));
    stages.push({
      name: layer.name,
      layer,
      boxes,
      x,
      flat,
      reads: first.reads,
      room: Math.max(flat ? SLOT.flat : SLOT.map, wide + side * DEPTH[0] + 34),
      last: k === layers.length - 1,
    });
  }
  return stages;
}

// A box seen from the front, the top and the right; depth is a map's width, thickness its number of kernels.
function box({ x, y, wide, high, deep, column }) {
  const [right, up] = [deep * DEPTH[0], deep * DEPTH[1]];
  const [top, bottom] = [y - high / 2 - up / 2, y + high / 2 - up / 2];
  const points = (list) => list.map((point) => point.join(",")).join(" ");
  const end = x + wide;
  return svg(
    "g",
    { class: column === null ? "box neutral" : `box column-${column + 1}` },
    svg("polygon", {
      class: "top",
      points: points([
        [x, top],
        [x + right, top + up],
        [end + right, top + up],
        [end, top],
      ]),
    }),
    svg("polygon", {
      class: "front",
      points: points([
        [x, top],
        [end, top],
        [end, bottom],
        [x, bottom],
      ]),
    }),
    svg("polygon", {
      class: "face",
      points: points([
        [end, top],
        [end + right, top + up],
        [end + right, bottom + up],
        [end, bottom],
      ]),
    }),
  );
}

// From which boxes of the stage before a box reads.
function joins(before, stage) {
  const group = svg("g", { class: "joins", "aria-hidden": "true" });
  for (const target of stage.boxes) {
    for (const source of before.boxes) {
      const both = before.boxes.length === 1 || stage.boxes.length === 1;
      if (!both && stage.reads === "own column" && source.column !== target.column) continue;
      const crossing = source.column !== target.column && source.column !== null && target.column !== null;
      const from = [source.x + source.wide + source.deep * DEPTH[0] * 0.55, source.y];
      const to = [target.x, target.y];
      const bend = (to[0] - from[0]) / 2;
      const column = source.column ?? target.column;
      group.append(
        svg("path", {
          class: `join ${crossing ? "crossing" : ""} ${column === null ? "neutral" : `column-${column + 1}`}`,
          d: `M${from} C${from[0] + bend},${from[1]} ${to[0] - bend},${to[1]} ${to}`,
        }),
      );
    }
  }
  return group;
}

// The window of a convolution on the maps that it reads, and the number that it becomes, as the paper draws it.
function windows(before, stage, net) {
  const group = svg("g", { class: "windows", "aria-hidden": "true" });
  const step = stage.layer.steps[0];
  if (step.kind !== "convolution") return group;
  const read = before.layer ? before.layer.steps.at(-1).shape[1] : net.input_size;
  const share = step.kernel / read;
  for (const target of stage.boxes) {
    const source = before.boxes[before.boxes.length === 1 ? 0 : stage.boxes.indexOf(target)] ?? before.boxes[0];
    const [right, up] = [source.deep * DEPTH[0], source.deep * DEPTH[1]];
    const across = 0.5 - share / 2;
    const down = (before.boxes.length === 1 && stage.boxes.length === 2 ? (target.column ? 0.72 : 0.28) : 0.5) - share / 2;
    const corner = (u, v) => [
      source.x + source.wide + right * u,
      source.y - source.high / 2 - up / 2 + up * u + source.high * v,
    ];
    const corners = [
      corner(across, down),
      corner(across + share, down),
      corner(across + share, down + share),
      corner(across, down + share),
    ];
    const tip = [target.x + Math.min(6, target.wide / 2), target.y];
    const column = target.column === null ? "neutral" : `column-${target.column + 1}`;
    group.append(
      ...corners.map(([x, y]) => svg("line", { x1: x, y1: y, x2: tip[0], y2: tip[1], class: column })),
      svg("polygon", { points: corners.map((point) => point.join(",")).join(" "), class: column }),
    );
  }
  return group;
}

// The lines over a stage, each with its class, and the same as a sentence for who hears the page.
function stageText({ layer, flat, last }, net) {
  const side = net.input_size;
  if (!layer) {
    const lines = [
      ["input", "name"],
      [`${side}×${side}×3`, "size"],
      ["crop − mean", "note"],
    ];
    return { lines, spoken: `input, ${side} by ${side} by 3` };
  }
  const [first, ...others] = layer.steps;
  const pooled = others.find((step) => step.kind === "pooling");
  const each = first.columns === 2 ? `2 × ${whole(first.shape[0] / 2)}` : whole(first.shape[0]);
  const maps = first.columns === 2 ? `${sizeOf(first)}×(${each})` : `${sizeOf(first)}×${each}`;
  const lines = [
    [layer.name, "name"],
    [flat ? `${each} ${last ? "classes" : ""}` : maps, "size"],
    [first.arithmetic || (flat ? `reads ${whole(first.inputs)}` : ""), "arithmetic"],
    [pooled ? `pool ${pooled.arithmetic}` : "", "arithmetic"],
  ];
  const both = first.reads === "both columns" ? "reads both columns" : "";
  return { lines, spoken: [`${layer.name}: ${first.shape.join(" by ")}`, first.arithmetic, both].filter(Boolean).join(", ") };
}

function stageLink(stage, route, net, chosen) {
  const { x, room, layer } = stage;
  const boxes = stage.boxes.map(box);
  const { lines, spoken } = stageText(stage, net);
  const on = layer?.steps.some((step) => step.name === chosen);
  const text = lines.map(([line, kind], k) => svg("text", { x: x + 8, y: 16 + 17 * k, class: `stage-${kind}` }, line));
  const ground = svg("rect", { class: "ground", x: x + 1, y: 0.5, width: room - 4, height: ROWS[1] + 82, rx: 6 });
  const inside = [ground, ...boxes, ...text];
  if (!layer) return svg("g", { class: "stage", role: "img", "aria-label": spoken }, inside);
  const href = link({ section: "network", parts: [layer.name], image: route.image, run: route.run });
  return svg(
    "a",
    {
      href,
      class: "stage",
      "data-testid": `stage-${layer.name}`,
      "data-keep": layer.name,
      "aria-label": spoken,
      "aria-current": on ? "true" : null,
    },
    inside,
  );
}

// On the right side of each box lies the map that is strongest on average, and on the input's the image.
async function faces(drawing, stages, route, net) {
  if (!route.image) return;
  faceImage(drawing, stages[0].boxes[0], at.seen(route.run, route.image));
  for (const stage of stages) {
    if (!stage.layer || stage.flat) continue;
    const step =
      stage.layer.steps.find((one) => one.kind === "activation" && one.shape[1] === stage.layer.steps[0].shape[1]) ??
      stage.layer.steps[0];
    let values;
    try {
      values = await numbers(at.step(net.id, route.image, step.name));
    } catch {
      return; // the section says what is wrong
    }
    const size = step.shape[1] * step.shape[2];
    const each = step.shape[0] / stage.boxes.length;
    for (const [k, place] of stage.boxes.entries()) {
      const kernel = strongest(values, size, k * each, (k + 1) * each);
      const canvas = canvasOf(step.shape[2], step.shape[1]);
      paint(canvas, values, kernel * size, largestOf(values, kernel * size, size), place.column ?? 0);
      faceImage(drawing, place, canvas.toDataURL());
    }
  }
}

function strongest(values, size, from, to) {
  let [best, most] = [from, -Infinity];
  for (let kernel = from; kernel < to; kernel++) {
    let sum = 0;
    for (let k = kernel * size; k < (kernel + 1) * size; k++) sum += values[k];
    if (sum > most) [best, most] = [kernel, sum];
  }
  return best;
}

function faceImage(drawing, { x, y, wide, high, deep }, url) {
  const [right, up] = [deep * DEPTH[0], deep * DEPTH[1]];
  const matrix = [right, up, 0, high, x + wide, y - high / 2 - up / 2];
  drawing.append(
    svg("image", {
      href: url,
      width: 1,
      height: 1,
      preserveAspectRatio: "none",
      transform: `matrix(${matrix.join(" ")})`,
      class: "face-image",
      "aria-hidden": "true",
    }),
  );
}
