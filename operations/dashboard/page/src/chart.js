// A line for each node over the last minutes. The picture has its text beside it: what is shown now,
// and the range, for those who do not see it.
import uPlot from "uplot";
import { h, setAttribute } from "./dom.js";

export const span = 300;  // seconds, at most
const colours = ["--series-1", "--series-2", "--series-3", "--series-4", "--series-5", "--series-6"];
const dashes = [[], [6, 3], [2, 3], [8, 3, 2, 3], [12, 4], [4, 6]];

export const styleOf = (at) => ({
  colour: colours[at % colours.length], dash: dashes[Math.floor(at / colours.length + at) % dashes.length],
});

const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

const marks = (width) => (width < 100 ? [60, 30, 0] : width < 200 ? [120, 60, 0] : [240, 120, 0]);
const ago = (seconds) =>
  seconds === 0 ? "now" : seconds < 60 ? `−${seconds} s` : `−${seconds / 60} min`;

export class Chart {
  #plot = null;
  #names = "";
  #described = 0;
  #now = 0;    // where the axis ends
  #first = 0;  // when the oldest value was taken

  /// `format` makes text of a value; `top` is the least upper end of the axis.
  constructor({ title, format, top = 1, steps, sync }) {
    Object.assign(this, { title, format, top, steps, sync });
    this.holder = h("div", { class: "plot", role: "img", "aria-label": title });
    this.value = h("span", { class: "now" });
    this.element = h("figure", { class: "card chart" },
      h("figcaption", {}, h("span", {}, title), this.value), this.holder);
    this.resized = new ResizeObserver(() => this.#resize());
    this.resized.observe(this.holder);
    this.dark = matchMedia("(prefers-color-scheme: dark)");
    this.recolour = () => { this.#names = ""; };
    this.dark.addEventListener("change", this.recolour);
  }

  /// times: seconds; series: [{ name, at, values }] with as many values as times; `at` is its place
  /// among the nodes, which gives the colour. `focus` is the one whose value is written out.
  show(times, series, focus) {
    const names = series.map((one) => `${one.name} ${one.at} ${one.name === focus}`).join("|");
    this.#now = times.at(-1) ?? Date.now() / 1000;
    this.#first = times[0] ?? this.#now;
    if (names !== this.#names) this.#begin(series, focus);
    this.#names = names;
    this.#plot?.setData([times, ...series.map((one) => one.values)]);
    const chosen = series.find((one) => one.name === focus) ?? series[0];
    const now = chosen?.values.at(-1);
    this.value.textContent = now === undefined || now === null ? "–" : this.format(now);
    if (Date.now() - this.#described > 5_000) this.#describe(series);
  }

  end() {
    this.resized.disconnect();
    this.dark.removeEventListener("change", this.recolour);
    this.#plot?.destroy();
    this.#plot = null;
  }

  #begin(series, focus) {
    this.#plot?.destroy();
    const dim = token("--dim"), line = token("--line");
    const font = "11px system-ui, sans-serif";
    const size = this.#size();
    const axis = { stroke: dim, font, ticks: { show: false } };
    this.#plot = new uPlot({
      ...size,
      padding: [10, 18, 0, 0],
      legend: { show: false },
      cursor: { sync: { key: this.sync }, drag: { x: false, y: false }, points: { size: 6 } },
      scales: {
        x: { range: () => [this.#now - this.#width(), this.#now] },
        y: { range: (_, __, max) => [0, Math.max(this.top, max * 1.1 || 0)] },
      },
      axes: [
        { ...axis, grid: { show: false }, size: 24,
          splits: () => marks(this.#width()).map((ago) => this.#now - ago),
          values: (_, all) => all.map((at) => ago(Math.round(this.#now - at))) },
        { ...axis, grid: { stroke: line, width: 1 }, size: 62, space: 34,
          ...(this.steps ? { incrs: this.steps } : {}),
          values: (_, all) => all.map((value) => this.format(value)) },
      ],
      series: [{}, ...series.map((one) => {
        const { colour, dash } = styleOf(one.at);
        const chosen = one.name === focus;
        return {
          label: one.name, stroke: token(colour), width: chosen ? 2 : 1.5, dash,
          fill: chosen ? `${token(colour)}1f` : undefined, points: { show: false }, spanGaps: false,
        };
      })],
    }, [[], ...series.map(() => [])], this.holder);
    for (const canvas of this.holder.querySelectorAll("canvas")) canvas.setAttribute("aria-hidden", "true");
  }

  #describe(series) {
    this.#described = Date.now();
    const parts = series.map(({ name, values }) => {
      const known = values.filter(Number.isFinite);
      if (!known.length) return `${name}: not known`;
      const [low, high] = [Math.min(...known), Math.max(...known)];
      return `${name}: ${this.format(known.at(-1))} now, between ${this.format(low)} and ${this.format(high)}`;
    });
    setAttribute(this.holder, "aria-label", `${this.title}, the last five minutes. ${parts.join(". ")}`);
  }

  /// Grows with what is known, so that the first minute is no thin line at the right.
  #width() {
    return Math.min(span, Math.max(60, this.#now - this.#first));
  }

  #size() {
    return { width: Math.max(120, this.holder.clientWidth), height: 148 };
  }

  #resize() {
    this.#plot?.setSize(this.#size());
  }
}
