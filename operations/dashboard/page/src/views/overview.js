import { Chart, styleOf } from "../chart.js";
import { card, h, setText, svg } from "../dom.js";
import { bytes, count, duration, percent, rate, short } from "../format.js";
import { socketsOf } from "../history.js";
import { Table } from "../table.js";

const whole = Array.from({ length: 24 }, (_, at) => [1, 2, 5][at % 3] * 10 ** Math.floor(at / 3));
const charts = [
  { title: "Memory", field: "memory", format: bytes, top: 1 << 20,
    steps: Array.from({ length: 40 }, (_, power) => 2 ** power) },
  { title: "Scheduler utilisation", field: "busy", format: percent, top: 1 },
  { title: "Processes", field: "processes", format: short, top: 10, steps: whole },
  { title: "Run queue", field: "run_queue", format: short, top: 5, steps: whole },
  { title: "Sockets", field: "sockets", format: short, top: 5, steps: whole },
  { title: "Messages handled", field: "messages", format: (value) => rate(value), top: 10 },
];

export const overview = {
  id: "overview",
  title: "Overview",
  create(app) {
    const tiles = new Map();
    const strip = h("dl", { class: "tiles" });
    const tile = (name, value, note = "") => {
      if (!tiles.has(name)) {
        const text = h("dd"), more = h("dd", { class: "dim" });
        tiles.set(name, [text, more]);
        strip.append(h("div", {}, h("dt", {}, name), text, more));
      }
      const [text, more] = tiles.get(name);
      setText(text, value);
      setText(more, note);
    };

    const key = h("ul", { class: "legend", "aria-label": "Colours of the nodes" });
    const drawn = charts.map((one) => ({ ...one, chart: new Chart({ ...one, sync: "overview" }) }));
    const schedulers = h("ul", { class: "bars" });
    const latest = (node) => app.history.latest.get(node) ?? {};
    const table = new Table({
      label: "All nodes", key: (node) => node,
      columns: [
        { title: "Node", text: (node) => node, open: (node) => app.chooseNode(node), mono: true },
        { title: "State", text: (node) => state(latest(node)), badge: (node) => tone(latest(node)) },
        { title: "Memory", numeric: true, text: (node) => bytes(latest(node).info?.memory.total) },
        { title: "Busy", numeric: true, text: (node) => percent(app.history.samples.get(node)?.at(-1)?.busy) },
        { title: "Processes", numeric: true, text: (node) => count(latest(node).info?.processes) },
        { title: "Run queue", numeric: true, wide: true, text: (node) => count(latest(node).info?.run_queue) },
        { title: "Sockets", numeric: true, text: (node) => count(socketsOf(latest(node).endpoints)) },
        { title: "Messages", numeric: true, wide: true, text: (node) => rate(latest(node).rates?.messages) },
        { title: "Broadcasts", numeric: true, wide: true, text: (node) => rate(latest(node).rates?.broadcasts) },
        { title: "Alarms", numeric: true, text: (node) => count(latest(node).alarms?.length) },
        { title: "Up for", numeric: true, wide: true, text: (node) => duration(latest(node).info?.uptime_ms) },
      ],
    });

    const element = h("div", { class: "stack" }, strip,
      h("div", {}, key, h("div", { class: "charts" }, drawn.map(({ chart }) => chart.element))),
      card("Nodes", table.element), card("Schedulers", schedulers));
    let listed = "";

    return {
      element,
      async refresh() {
        const { history } = app;
        const { info, error, endpoints } = latest(app.node);
        if (history.nodes.join() !== listed) {
          listed = history.nodes.join();
          key.replaceChildren(...history.nodes.map((node, at) => h("li", {}, swatch(at), node)));
        }
        for (const { chart, field } of drawn) chart.show(history.times, history.series(field), app.node);
        table.show(history.nodes);
        if (error) throw new Error(error);
        if (!info) return;
        const { memory } = info;
        tile("Up for", duration(info.uptime_ms), `${info.application} ${info.version}, roost ${info.roost}`);
        tile("Processes", count(info.processes), `of ${short(info.process_limit)}`);
        tile("Memory", bytes(memory.total), `${memory.of_a_cgroup ? "cgroup" : "host"}: ${percent(memory.used / memory.limit)} of ${bytes(memory.limit)}`);
        tile("Sockets", count(socketsOf(endpoints)), info.ready ? "takes clients" : "takes no clients");
        tile("Files", count(info.open_files), `of ${short(info.file_limit)}`);
        tile("Nodes", count(history.nodes.length), `process ${info.os_pid}`);
        showSchedulers(schedulers, info.schedulers);
      },
      end() {
        for (const { chart } of drawn) chart.end();
      },
    };
  },
};

function state({ info, error }) {
  if (error) return error;
  if (!info) return "…";
  return info.ready ? "ready" : "not ready";
}

const tone = ({ info, error }) => (error ? "bad" : !info || info.ready ? "good" : "warn");

function swatch(at) {
  const { colour, dash } = styleOf(at);
  const line = svg("line", { x1: 1, y1: 6, x2: 23, y2: 6, "stroke-width": 2.5, "stroke-dasharray": dash.join(" ") });
  line.style.stroke = `var(${colour})`;
  return svg("svg", { viewBox: "0 0 24 12", class: "swatch", "aria-hidden": "true" }, line);
}

function showSchedulers(list, schedulers) {
  while (list.children.length > schedulers.length) list.lastChild.remove();
  while (list.children.length < schedulers.length)
    list.append(h("li", {}, h("span", { class: "bar-name" }),
      h("span", { class: "bar", "aria-hidden": "true" }, h("span")), h("span", { class: "bar-text" })));
  schedulers.forEach((one, at) => {
    const [name, bar, text] = list.children[at].children;
    setText(name, `Scheduler ${one.scheduler}`);
    bar.firstChild.style.inlineSize = `${Math.round(one.utilization * 100)}%`;
    setText(text, `${percent(one.utilization)}, ${count(one.run_queue)} in the queue`);
  });
}
