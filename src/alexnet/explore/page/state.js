// What is chosen lies in the address, so that every view can be linked to: #/number/conv1/3/10/12?image=val-0&run=starter

export const SECTIONS = ["image", "network", "number", "kernels", "why", "compare", "live"];

/** The choice that an address stands for: {section, parts, image, run}; image and run may be null. */
export function read(hash = location.hash) {
  const [path, query = ""] = hash.replace(/^#\/?/, "").split("?");
  const [section, ...parts] = path.split("/").map(decodeURIComponent);
  const chosen = new URLSearchParams(query);
  return {
    section: SECTIONS.includes(section) ? section : "image",
    parts: parts.filter((part) => part !== ""),
    image: chosen.get("image"),
    run: chosen.get("run"),
    runs: chosen.get("runs")?.split("+").filter(Boolean) ?? null,
  };
}

/** The address of a choice; what is not given stays as it is now. */
export function link(change) {
  const now = read();
  const { section, parts, image, run, runs } = { ...now, parts: [], ...change };
  const path = [section, ...parts].map(encodeURIComponent).join("/");
  const query = new URLSearchParams();
  if (image) query.set("image", image);
  if (run) query.set("run", run);
  if (runs && section === "compare") query.set("runs", runs.join("+"));
  const text = query.toString();
  return `#/${path}${text ? `?${text}` : ""}`;
}

/** Go there; `replace`: without a step in the browser's history, for movements of a pixel. */
export function go(change, replace = false) {
  const address = link(change);
  if (address === location.hash) return;
  if (replace) {
    history.replaceState(null, "", address);
    window.dispatchEvent(new HashChangeEvent("hashchange"));
  } else {
    location.hash = address;
  }
}
