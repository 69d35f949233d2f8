// The frame of the page: which section is shown, which image and run are chosen, light or dark.

import { at } from "./api.js";
import { h, keepingFocus, select } from "./dom.js";
import { errorLine, takeFiles } from "./choose.js";
import { go, link, read } from "./state.js";
import { nameOf, network, open, store } from "./store.js";

const TITLES = {
  image: "Image",
  network: "Network",
  number: "A number",
  kernels: "Kernels",
  why: "Why",
  compare: "Compare",
  live: "Training",
};

const LOAD = {
  image: () => import("./image.js"),
  network: () => import("./network.js"),
  number: () => import("./number.js"),
  kernels: () => import("./kernels.js"),
  why: () => import("./why.js"),
  compare: () => import("./compare.js"),
  live: () => import("./live.js"),
};

let view = null; // {section, key, update?, leave?}
let turn = 0;

// The choice of the address, with the first run and the first image where it names none.
function chosen() {
  const route = read();
  route.run = store.index.runs.includes(route.run) ? route.run : (store.index.runs[0] ?? null);
  // An image that was computed in the browser is gone when the page is opened again.
  if (route.image?.startsWith("local-") && !store.images.has(route.image)) route.image = null;
  route.image ??= [...store.images.keys()][0] ?? null;
  return route;
}

async function show() {
  const route = chosen();
  const key = `${route.section}|${route.run}|${route.image}`;
  if (view?.key === key && view.update) {
    errorLine(null);
    try {
      await view.update(route);
    } catch (error) {
      errorLine(error.message);
    }
    return;
  }
  const now = ++turn;
  view?.leave?.();
  view = null;
  const content = document.getElementById("content");
  const body = h("div", { class: `section section-${route.section}` });
  try {
    const net = await network(route.run);
    frame(route, net);
    const { show: draw } = await LOAD[route.section]();
    if (now !== turn) return;
    document.title = `${TITLES[route.section]} · AlexNet explorer`;
    const inside = content.contains(document.activeElement);
    content.replaceChildren(body);
    if (inside) content.focus({ preventScroll: true }); // the keyboard goes on from here, and not from the top
    errorLine(null);
    const drawn = (await draw(body, route, net)) ?? {};
    if (now === turn) view = { key, ...drawn };
    else drawn.leave?.();
  } catch (error) {
    if (now === turn) errorLine(error.message);
    if (now === turn && !body.isConnected) content.replaceChildren(h("p", { class: "waiting" }, "This could not be shown."));
    console.debug(error);
  }
}

// Sections that there is something to show in.
function sectionsOf(net) {
  return Object.entries(TITLES).filter(([section]) =>
    section === "live" ? net.log : section !== "compare" || store.index.runs.length > 1,
  );
}

// The bar at the top, for the section, image and run that are chosen.
function frame(route, net) {
  document.getElementById("home").href = link({ section: "image" });
  const [nav, box] = [document.getElementById("sections"), document.getElementById("chosen")];
  const links = sectionsOf(net).map(([section, title]) => {
    const href = link({ section, image: route.image, run: route.run });
    return h("a", { href, "data-keep": section, "aria-current": section === route.section ? "page" : null }, title);
  });
  keepingFocus(nav, () => nav.replaceChildren(...links));
  keepingFocus(box, () => box.replaceChildren(runChoice(route), ...(route.image ? [imageChip(route)] : []), themeButton()));
  const current = nav.querySelector("[aria-current]"); // on a narrow screen the sections scroll
  if (current) nav.scrollLeft = current.offsetLeft - nav.offsetLeft - (nav.clientWidth - current.offsetWidth) / 2;
}

function runChoice(route) {
  const runs = store.index.runs;
  const name = h("span", null, "run");
  if (runs.length < 2) return h("span", { class: "pick" }, name, h("b", { "data-testid": "run-select" }, route.run));
  const attributes = { "data-testid": "run-select", "data-keep": "run" };
  const choices = runs.map((run) => [run, run]);
  return h(
    "label",
    { class: "pick" },
    name,
    select("run", choices, route.run, (run) => go({ ...read(), run }), attributes),
  );
}

function imageChip({ image }) {
  const name = nameOf(image);
  const label = `image ${name}: choose another`;
  return h(
    "a",
    { class: "chip", href: link({ section: "image" }), title: name, "aria-label": label, "data-keep": "image" },
    h("img", { src: at.thumb(image), alt: "", width: 32, height: 32 }),
    h("span", { "data-testid": "image-name" }, name.split("/").at(-1)),
  );
}

function themeButton() {
  const names = { auto: "as the system", light: "light", dark: "dark" };
  const now = document.documentElement.dataset.theme ?? "auto";
  const next = { auto: "light", light: "dark", dark: "auto" }[now];
  return h(
    "button",
    {
      type: "button",
      class: "theme",
      "data-keep": "theme",
      "aria-label": `Colours: ${names[now]}; change to ${names[next]}`,
      title: `Colours: ${names[now]}`,
      onclick: () => setTheme(next),
    },
    { auto: "◐", light: "☀", dark: "☾" }[now],
  );
}

function setTheme(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  try {
    localStorage.setItem("alexnet-theme", theme);
  } catch {
    // a browser that keeps nothing
  }
  redraw();
}

// Canvases have their colours in them.
function redraw() {
  if (view) view.key = "";
  show();
}

function foot() {
  const { version, live } = store.index;
  document
    .getElementById("foot")
    .replaceChildren(
      h(
        "p",
        null,
        `alexnet ${version} · after A. Krizhevsky, I. Sutskever and G. E. Hinton, ImageNet ` +
          "Classification with Deep Convolutional Neural Networks, 2012.",
      ),
      ...(live ? [] : [h("p", null, "An exported page: it shows chosen runs and images, and computes others by itself.")]),
    );
}

async function begin() {
  try {
    const theme = localStorage.getItem("alexnet-theme");
    if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  } catch {
    // a browser that keeps nothing
  }
  document.getElementById("skip").addEventListener("click", (event) => {
    event.preventDefault(); // the address holds the choice, and no anchor
    document.getElementById("content").focus();
  });
  try {
    await open();
  } catch (error) {
    document.getElementById("content").replaceChildren();
    return errorLine(error.message);
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  window.addEventListener("hashchange", show);
  foot();
  takeFiles();
  await show();
}

begin();
