#include "bench/load/report.hpp"

namespace roost::load {
namespace {

// The report's JSON goes between these two, and the script draws it.
constexpr const char* head = R"html(<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>roost_load</title>
<style>
  :root { color-scheme: light dark; --line: #2563eb; --second: #c2410c; --quiet: #6b7280; }
  @media (prefers-color-scheme: dark) {
    :root { --line: #60a5fa; --second: #fb923c; --quiet: #9ca3af; }
  }
  body { font: 15px/1.5 system-ui, sans-serif; max-width: 68rem; margin: 2rem auto; padding: 0 1rem; }
  h1 { font-size: 1.5rem; margin-bottom: 0; }
  p { color: var(--quiet); margin-top: .25rem; }
  main { display: grid; grid-template-columns: repeat(auto-fit, minmax(20rem, 1fr)); gap: 1.5rem; }
  figure { margin: 0; }
  figcaption { font-weight: 600; }
  svg { width: 100%; height: auto; overflow: visible; font-size: 11px; }
  svg text { fill: var(--quiet); }
  .axis { stroke: var(--quiet); stroke-width: .5; }
  .series { fill: none; stroke: var(--line); stroke-width: 1.5; }
  .series.second { stroke: var(--second); }
  table { border-collapse: collapse; }
  td, th { padding: .1rem 1.5rem .1rem 0; text-align: left; }
  td.number { text-align: right; font-variant-numeric: tabular-nums; }
  .missed { color: var(--second); font-weight: 600; }
</style>
</head>
<body>
<h1></h1>
<p id="about"></p>
<div id="verdicts"></div>
<main></main>
<h2>Figures</h2>
<table id="figures"></table>
<h2>Settings</h2>
<table id="settings"></table>
<script type="application/json" id="report">)html";

constexpr const char* tail = R"html(</script>
<script>
const report = JSON.parse(document.getElementById("report").textContent);
const words = text => text.replaceAll("_", " ");
const number = value => value.toLocaleString("en", {maximumFractionDigits: value < 10 ? 2 : 0});

function element(name, attributes, ...children) {
  const svg = ["svg", "path", "line", "text"].includes(name);
  const made = svg ? document.createElementNS("http://www.w3.org/2000/svg", name)
                   : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

// Lines over x; `name` of an x is what the axis says below it.
function chart(title, lines, xs, name) {
  const width = 420, height = 180, left = 55, bottom = 20;
  const top = Math.max(...lines.flatMap(line => line.values), 1e-9);
  const [first, last] = [xs[0], xs.at(-1)];
  const x = value => left + (width - left) * (value - first) / ((last - first) || 1);
  const y = value => (height - bottom) * (1 - value / top);
  const svg = element("svg", {viewBox: `0 -8 ${width} ${height + 8}`, role: "img", "aria-label": title});
  for (const part of [0, .5, 1]) {
    svg.append(element("line", {class: "axis", x1: left, x2: width, y1: y(top * part), y2: y(top * part)}));
    svg.append(element("text", {x: left - 6, y: y(top * part) + 4, "text-anchor": "end"}, number(top * part)));
    const place = xs[Math.round((xs.length - 1) * part)];
    const anchor = part === 0 ? "start" : part === 1 ? "end" : "middle";
    svg.append(element("text", {x: x(place), y: height - 4, "text-anchor": anchor}, name(place)));
  }
  lines.forEach((line, i) => svg.append(element("path", {
    class: i ? "series second" : "series",
    d: line.values.map((value, k) => `${k ? "L" : "M"}${x(xs[k]).toFixed(1)} ${y(value).toFixed(1)}`).join(""),
  })));
  const legend = lines.length > 1 ? ": " + lines.map(line => line.name).join(", ") : "";
  document.querySelector("main").append(
    element("figure", {}, element("figcaption", {}, title + legend), svg));
}

document.title = `roost_load ${report.mode}`;
document.querySelector("h1").textContent = `${report.mode}: ${report.settings.connections} clients`;
document.getElementById("about").textContent = `${report.started}, ${report.machine}`;
for (const verdict of report.thresholds)
  document.getElementById("verdicts").append(element("div", {class: verdict.holds ? "" : "missed"},
    `${verdict.holds ? "holds" : "does not hold"}: ${verdict.text} (${verdict.value ?? "no such figure"})`));

const samples = report.samples;
if (samples.length > 1) {
  const seconds = samples.map(one => one.second);
  const over = (title, ...keys) => chart(title,
    keys.map(([key, scale = 1]) => ({name: key, values: samples.map(one => one[key] * scale)})),
    seconds, value => `${value.toFixed(0)} s`);
  over("Events a second", ["rate"]);
  over("Latency, µs", ["p50"], ["p99"]);
  over("Clients", ["joined"]);
  over("Processors of the server, %", ["cpu", 100]);
  over("Memory of the server, MB", ["memory", 1e-6]);
}
if (report.curve.length > 1) {
  const nines = report.curve.filter(point => point.percent < 100);
  chart("Latency by percentile, µs", [{values: nines.map(point => point.microseconds)}],
    nines.map(point => -Math.log10(1 - point.percent / 100)),
    value => `${(100 * (1 - 10 ** -value)).toFixed(Math.max(0, Math.ceil(value) - 1))} %`);
}
for (const id of ["figures", "settings"])
  for (const [key, value] of Object.entries(report[id]))
    document.getElementById(id).append(element("tr", {}, element("td", {}, words(key)),
      element("td", {class: "number"}, typeof value === "number" ? number(value) : value)));
</script>
</body>
</html>
)html";

}  // namespace

std::string as_html(const report& report) {
  auto json = as_json(report);
  // A "<" in a JSON string would otherwise be able to end the script.
  for (std::size_t place = 0; (place = json.find('<', place)) != std::string::npos;)
    json.replace(place, 1, "\\u003c");
  return head + json + tail;
}

}  // namespace roost::load
