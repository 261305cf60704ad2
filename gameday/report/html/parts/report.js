"use strict";
// The page is whole without this. It adds a switch between light and dark, zoom, a cursor that tells values, and opens
// what is folded before it is printed.
(() => {
  const root = document.documentElement;
  const all = (selector) => Array.from(document.querySelectorAll(selector));
  for (const each of all(".with-script")) each.hidden = false;

  // Light and dark: as the system has it, or as chosen; remembered where the browser lets a file remember.
  const theme = document.getElementById("theme");
  const themes = ["system", "light", "dark"];
  const store = { get() { try { return localStorage.getItem("gameday-theme"); } catch { return null; } },
                  set(value) { try { localStorage.setItem("gameday-theme", value); } catch { /* a file may not */ } } };
  const wear = (name) => {
    if (name === "system") delete root.dataset.theme; else root.dataset.theme = name;
    theme.textContent = "Theme: " + name;
    theme.dataset.theme = name;
  };
  wear(themes.includes(store.get()) ? store.get() : "system");
  theme.hidden = false;
  theme.addEventListener("click", () => {
    const next = themes[(themes.indexOf(theme.dataset.theme) + 1) % themes.length];
    wear(next);
    store.set(next);
  });

  let folded = [];
  addEventListener("beforeprint", () => {
    folded = all("details:not([open])");
    for (const each of folded) each.open = true;
    show(0, length);
  });
  addEventListener("afterprint", () => { for (const each of folded) each.open = false; });

  const data = JSON.parse(document.getElementById("data").textContent);
  const length = data.length_s;
  const charts = document.getElementById("charts");
  const cursor = charts.querySelector(".cursor");
  const readout = document.getElementById("readout");
  const plot = charts.querySelector(".plot svg.zoom");
  if (!plot) return;
  const least = Math.max(data.bucket_s * 4, length / 200);
  let from = 0, to = length, at = null;

  const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
  const figures = (value) => value === 0 ? "0" : Math.abs(value) >= 100 ? Math.round(value).toLocaleString("en") : String(+value.toPrecision(3));
  const told = (value, unit) => value === null || value === undefined ? "–"
    : unit === "s" ? (value < 0.0995 ? figures(value * 1000) + " ms" : figures(value) + " s") : figures(value) + unit;
  const nice = (value) => {
    const size = 10 ** Math.floor(Math.log10(value));
    return [1, 2, 2.5, 5, 10].map((step) => step * size).find((step) => step >= value * 0.999999);
  };

  function show(start, stop) {
    const wide = clamp(stop - start, least, length);
    from = clamp(start, 0, length - wide);
    to = from + wide;
    for (const svg of charts.querySelectorAll("svg.zoom")) {
      svg.setAttribute("viewBox", `${from / length * 1000} -2 ${wide / length * 1000} 104`);
    }
    for (const each of charts.querySelectorAll("[data-from]")) {
      const left = clamp((+each.dataset.from - from) / wide, 0, 1), right = clamp((+each.dataset.to - from) / wide, 0, 1);
      each.style.left = left * 100 + "%";
      each.style.width = (right - left) * 100 + "%";
      // What lies outside would stand at the edge as a line.
      each.style.display = +each.dataset.to < from || +each.dataset.from > to ? "none" : "";
    }
    const ticks = charts.querySelector(".ticks"), step = nice(wide / (ticks.clientWidth < 500 ? 4 : 8));
    ticks.replaceChildren();
    for (let n = Math.ceil(from / step - 1e-9); n * step <= to + 1e-9; n++) {
      const tick = document.createElement("span"), share = (n * step - from) / wide;
      tick.textContent = +(n * step).toFixed(3) + " s";
      tick.style.left = share * 100 + "%";
      if (share > 0.96) tick.className = "end";
      ticks.append(tick);
    }
    point(at);
  }

  // Where the charts begin and how wide they are, beside the scale.
  const area = () => { const box = plot.getBoundingClientRect(), base = charts.getBoundingClientRect(); return { left: box.left - base.left, x: box.left, width: box.width }; };

  function point(moment) {
    at = moment;
    const seen = moment !== null && moment >= from && moment <= to;
    cursor.hidden = !seen;
    if (!seen) return;
    const { left, width } = area();
    cursor.className = "cursor";
    cursor.style.left = left + (moment - from) / (to - from) * width + "px";
    cursor.style.width = "0";
    const bucket = Math.floor(moment / data.bucket_s);
    const parts = data.panels.map((panel) => panel.title + " " + panel.series.map((series) =>
      (panel.series.length > 1 ? series.name + " " : "") + told(series.values[bucket], panel.unit)).join(", "));
    readout.hidden = false;
    readout.textContent = `at ${figures(bucket * data.bucket_s)} s: ` + parts.join(" · ");
  }

  const zoom = (factor) => {
    const middle = at !== null && at >= from && at <= to ? at : (from + to) / 2, wide = clamp((to - from) * factor, least, length);
    show(middle - wide * (middle - from) / (to - from), middle + wide * (to - middle) / (to - from));
  };
  const move = (share) => { const by = (to - from) * share; show(clamp(from + by, 0, length - (to - from)), clamp(to + by, to - from, length)); };
  const actions = { in: () => zoom(0.5), out: () => zoom(2), left: () => move(-0.5), right: () => move(0.5), all: () => show(0, length) };
  for (const each of all("[data-zoom]")) each.addEventListener("click", () => actions[each.dataset.zoom]());
  for (const each of all("[data-show]")) {
    each.addEventListener("click", () => {
      const [start, stop] = each.dataset.show.split(" ").map(Number), spare = Math.max((stop - start) / 4, length / 40);
      show(start - spare, stop + spare);
      document.getElementById("timeline").scrollIntoView();
    });
  }

  charts.tabIndex = 0;
  charts.setAttribute("role", "group");
  charts.setAttribute("aria-label", "Charts of the run. Arrows move the cursor, plus and minus zoom, 0 shows all.");
  charts.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = Math.max(data.bucket_s, (to - from) / 100) * (event.shiftKey ? 10 : 1);
    const now = at === null ? from : at;
    const keys = { ArrowLeft: () => point(clamp(now - step, 0, length)), ArrowRight: () => point(clamp(now + step, 0, length)),
      "+": actions.in, "=": actions.in, "-": actions.out, "0": actions.all, Home: () => point(from), End: () => point(to), Escape: () => { point(null); readout.hidden = true; } };
    if (!keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
    if (at !== null && at < from) move(-0.25);
    if (at !== null && at > to) move(0.25);
  });

  let drag = null;
  const moment = (event) => { const { x, width } = area(); return from + clamp((event.clientX - x) / width, 0, 1) * (to - from); };
  charts.addEventListener("pointerdown", (event) => {
    if (event.button || !event.target.closest(".plot")) return;
    drag = { x: event.clientX, at: moment(event) };
    if (event.pointerType === "mouse") event.preventDefault();
    charts.focus({ preventScroll: true });
  });
  charts.addEventListener("pointermove", (event) => {
    if (!drag) { if (event.target.closest(".plot")) point(moment(event)); return; }
    const { left, width } = area(), now = moment(event);
    const [start, stop] = [Math.min(now, drag.at), Math.max(now, drag.at)];
    cursor.hidden = false;
    cursor.className = "cursor range-of";
    cursor.style.left = left + (start - from) / (to - from) * width + "px";
    cursor.style.width = (stop - start) / (to - from) * width + "px";
  });
  addEventListener("pointerup", (event) => {
    if (!drag) return;
    const now = moment(event), began = drag;
    drag = null;
    if (Math.abs(event.clientX - began.x) > 8) show(Math.min(now, began.at), Math.max(now, began.at)); else point(now);
  });
  addEventListener("pointercancel", () => { drag = null; point(at); });
  charts.addEventListener("dblclick", () => show(0, length));
  addEventListener("resize", () => show(from, to));
  show(0, length);
})();
