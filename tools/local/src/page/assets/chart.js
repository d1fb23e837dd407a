// A line chart of the last minutes, drawn as SVG.

import { h, s, time } from "./dom.js";

/** How much time it shows. */
const WINDOW_MS = 180_000;
const HEIGHT = 132;
const MARGIN = { top: 8, right: 6, bottom: 18, left: 44 };

/** The next of 1, 2, 5, 10, 20, ... that is at least `value`. */
function nice(value) {
  const magnitude = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * magnitude).find((step) => step >= value - 1e-9);
}

export class Chart {
  /** `series`: `{ key, label, look, step }`; `look` is a class of the style sheet, `step` draws stairs. */
  constructor({ title, series, format, least = 1, whole = false }) {
    Object.assign(this, { title, series, format, least, whole });
    this.points = [];
    this.svg = s("svg", { role: "img", height: HEIGHT, preserveAspectRatio: "none" });
    this.values = series.map(() => h("b", {}));
    const legend = series.map(({ label, look }, index) =>
      h("li", { class: look }, h("i", { class: "swatch", "aria-hidden": "true" }), `${label} `, this.values[index]));
    this.tip = h("p", { class: "tip", hidden: true, "aria-hidden": "true" });
    this.element = h("figure", { class: "card chart" },
      h("figcaption", {}, h("h3", {}, title), h("ul", { class: "legend" }, ...legend)),
      h("div", { class: "plot" }, this.svg, this.tip));
    this.svg.addEventListener("pointermove", (event) => this.point(event));
    this.svg.addEventListener("pointerleave", () => this.unpoint());
    new ResizeObserver(() => this.draw(this.points)).observe(this.svg);
  }

  draw(points) {
    this.points = points;
    const width = this.svg.clientWidth;
    const last = points.at(-1);
    this.series.forEach(({ key }, index) => (this.values[index].textContent = this.format(last?.[key])));
    const now = this.series.map(({ key, label }) => `${label} ${this.format(last?.[key])}`).join(", ");
    this.svg.setAttribute("aria-label", `${this.title} over the last three minutes. Now: ${now}.`);
    if (!width || !last) return;
    this.width = width;
    const highest = Math.max(this.least, ...points.flatMap((point) => this.series.map(({ key }) => point[key] ?? 0)));
    const top = this.whole ? Math.max(2, Math.ceil(highest / 2) * 2) : nice(highest);
    this.x = (at) => MARGIN.left + ((at - last.at_ms) / WINDOW_MS + 1) * (width - MARGIN.left - MARGIN.right);
    this.y = (value) => MARGIN.top + (1 - value / top) * (HEIGHT - MARGIN.top - MARGIN.bottom);
    this.svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    this.svg.replaceChildren(...this.grid(top), ...this.series.flatMap((series) => this.line(series)), this.rule());
  }

  grid(top) {
    const lines = [0, top / 2, top].map((value) => s("g", { class: "grid" },
      s("line", { x1: MARGIN.left, x2: this.width - MARGIN.right, y1: this.y(value), y2: this.y(value) }),
      s("text", { x: MARGIN.left - 5, y: this.y(value) + 3.5, "text-anchor": "end" }, this.format(value))));
    const last = this.points.at(-1).at_ms;
    const moments = [[0, "now", "end"], [60_000, "1 min ago", "middle"], [120_000, "2 min ago", "middle"]];
    return [...lines, ...moments.map(([ago, words, anchor]) =>
      s("text", { class: "moment", x: this.x(last - ago), y: HEIGHT - 4, "text-anchor": anchor }, words))];
  }

  line({ key, look, step }) {
    // A gap in what is known is a gap in the line.
    const runs = [];
    let run = null;
    for (const point of this.points) {
      const value = point[key];
      if (value === null || value === undefined) {
        run = null;
        continue;
      }
      const [x, y] = [this.x(point.at_ms), this.y(value)];
      if (x < MARGIN.left - 1) continue;
      if (!run) runs.push((run = [[x, y]]));
      else {
        if (step) run.push([x, run.at(-1)[1]]);
        run.push([x, y]);
      }
    }
    const path = (run) => run.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join(" ");
    return runs.flatMap((run) => {
      const floor = this.y(0);
      const area = `${run[0][0]},${floor} ${path(run)} ${run.at(-1)[0]},${floor}`;
      return [s("polygon", { class: `area ${look}`, points: area }), s("polyline", { class: `line ${look}`, points: path(run) })];
    });
  }

  rule() {
    this.marker = s("line", { class: "rule", y1: MARGIN.top, y2: HEIGHT - MARGIN.bottom, visibility: "hidden" });
    return this.marker;
  }

  point(event) {
    if (!this.x || !this.points.length) return;
    const at = event.clientX - this.svg.getBoundingClientRect().left;
    const nearest = this.points.reduce((best, point) => (Math.abs(this.x(point.at_ms) - at) < Math.abs(this.x(best.at_ms) - at) ? point : best));
    const x = this.x(nearest.at_ms);
    for (const side of ["x1", "x2"]) this.marker.setAttribute(side, x);
    this.marker.setAttribute("visibility", "visible");
    this.tip.textContent = [time(nearest.at_ms), ...this.series.map(({ key, label }) => `${label} ${this.format(nearest[key])}`)].join(" · ");
    this.tip.hidden = false;
  }

  unpoint() {
    this.marker?.setAttribute("visibility", "hidden");
    this.tip.hidden = true;
  }
}
