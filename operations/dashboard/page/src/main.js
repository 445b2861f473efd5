// The dashboard: which page, of which node, how often; the pages are in views/.
import "uplot/dist/uPlot.min.css";
import "./dashboard.css";
import { Console } from "./console.js";
import { h, setAttribute, setOptions, setText } from "./dom.js";
import { History } from "./history.js";
import { icon } from "./icons.js";
import { ProcessPanel } from "./process.js";
import { alarms } from "./views/alarms.js";
import { links } from "./views/links.js";
import { log } from "./views/log.js";
import { overview } from "./views/overview.js";
import { presence } from "./views/presence.js";
import { processes } from "./views/processes.js";
import { sockets } from "./views/sockets.js";
import { supervisors } from "./views/supervisors.js";
import { tables } from "./views/tables.js";

const pages = [overview, processes, supervisors, sockets, presence, tables, links, alarms, log];
const $ = (id) => document.getElementById(id);
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const app = {
  console: new Console(),
  history: new History(),
  node: "",
  page: overview,
  view: null,
  get mayChange() { return app.console.welcome.allow_destructive_actions === true; },
  ask: (name, args = []) => app.console.ask(name, args, app.node),
  chooseNode: (node) => go({ node }),
  refreshNow: () => wake(),
  report(error) {
    const problem = $("problem");
    problem.hidden = !error;
    setText(problem, error ? `${app.node}: ${error.message}` : "");
  },
};
app.panel = new ProcessPanel(app);

// --- where we are: #processes?node=chat@10.0.0.7 -------------------------------------------------

function go({ page = app.page.id, node = app.node }) {
  const wanted = `#${page}${node && node !== app.console.welcome.node ? `?node=${encodeURIComponent(node)}` : ""}`;
  if (location.hash !== wanted) location.hash = wanted;
  else enter();
}

function enter() {
  const [id, query] = location.hash.slice(1).split("?");
  const page = pages.find((one) => one.id === id) ?? overview;
  const node = new URLSearchParams(query).get("node") ?? app.console.welcome.node ?? "";
  const first = app.view === null;
  if (!first && page === app.page && node === app.node) return;
  app.view?.end?.();
  Object.assign(app, { page, node, view: page.create(app) });
  app.report(null);
  setText($("title"), page.title);
  document.title = `${page.title} – ${node || "roost"}`;
  $("view").replaceChildren(app.view.element);
  for (const link of $("pages").querySelectorAll("a")) {
    const here = link.dataset.page === page.id;
    setAttribute(link, "aria-current", here ? "page" : null);
    link.href = `#${link.dataset.page}${node && node !== app.console.welcome.node ? `?node=${encodeURIComponent(node)}` : ""}`;
    if (here) link.scrollIntoView({ block: "nearest", inline: "nearest" });
  }
  showNodes();
  if (!first) $("main").focus({ preventScroll: true });
  wake();
}

function showNodes() {
  const { nodes } = app.history;
  const known = nodes.includes(app.node) || !app.node ? nodes : [...nodes, app.node];
  setOptions($("node"), known.map((node) => [node, node]));
  if (document.activeElement !== $("node")) $("node").value = app.node;
  const alarms = nodes.reduce((sum, node) => sum + (app.history.latest.get(node)?.alarms?.length ?? 0), 0);
  $("alarms-set").hidden = alarms === 0;
  setText($("alarms-set"), `${alarms} set`);
}

// --- asking, again and again ---------------------------------------------------------------------

let wake = () => {};
const interval = () => Number($("interval").value);
const watching = () => document.visibilityState === "visible" && app.console.online;

let known = 0;  // when all nodes were asked last

async function look() {
  // Pages that show one node need the others for the list only.
  if (app.page === overview || Date.now() - known > 5_000) {
    await app.history.look(app.console);
    known = Date.now();
  }
  showNodes();
  const { view, node } = app;
  try {
    await view.refresh();
    if (view === app.view) app.report(null);
  } catch (error) {
    if (view === app.view && node === app.node) app.report(error);
  }
  await app.panel.refresh();
}

async function run() {
  for (;;) {
    const woken = new Promise((resolve) => { wake = () => resolve("woken"); });
    if (watching()) await look().catch((error) => app.report(error));
    const pause = interval();
    const why = await Promise.race([woken, pause ? sleep(pause) : woken]);
    // Whoever types wants an answer soon, but not one for each key.
    if (why === "woken") await sleep(80);
  }
}

// --- the frame -----------------------------------------------------------------------------------

function showConnection() {
  const { state, welcome } = app.console;
  const element = $("connection");
  element.dataset.state = state;
  if (state === "signed out") {
    element.replaceChildren(h("a", { href: "dashboard" }, "signed out: sign in again"));
    return;
  }
  setText(element, state);
  if (state !== "online") return;
  setText($("program"), welcome.node);
  $("sign-out").hidden = !welcome.who.startsWith("token ");
  if (!app.node || !app.view) enter();
  else wake();
}

for (const page of pages)
  $("pages").append(h("li", {}, h("a", { href: `#${page.id}`, "data-page": page.id },
    icon(page.id), h("span", {}, page.short ?? page.title),
    page.id === "alarms" ? h("span", { class: "alarms-set", hidden: true, id: "alarms-set" }) : null)));
$("node").addEventListener("change", () => go({ node: $("node").value }));
$("interval").addEventListener("change", () => wake());
document.addEventListener("visibilitychange", () => wake());
addEventListener("hashchange", enter);
app.console.addEventListener("state", showConnection);
enter();
run();
app.console.connect();
