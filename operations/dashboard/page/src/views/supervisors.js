import { hierarchy, tree } from "d3-hierarchy";
import { arrange, card, h, setAttribute, setText, svg } from "../dom.js";

const many = 15;  // children; more are folded at first

export const supervisors = {
  id: "supervisors",
  title: "Supervisors",
  create(app) {
    const lines = svg("svg", { class: "branches", "aria-hidden": "true" });
    const nodes = h("div", { class: "tree", role: "tree", "aria-label": "Supervision tree" });
    const canvas = h("div", { class: "canvas" }, lines, nodes);
    const scroll = h("div", { class: "scroll forest", role: "region", "aria-label": "Supervision tree", tabindex: "0" }, canvas);
    const folded = new Map();  // path → whether
    const boxes = new Map();   // path → element
    let root = null;
    let current = "";          // the path that Tab reaches

    const isFolded = (path, data) => folded.get(path) ?? (path !== "" && (data.children?.length ?? 0) > many);

    /// What is visible, as d3 wants it; paths are the ids on the way, which outlive restarts.
    function visible(data, path, supervisor) {
      const seen = new Map();
      const open = !isFolded(path, data);
      const children = open ? (data.children ?? []).map((child) => {
        const again = seen.get(child.id) ?? 0;
        seen.set(child.id, again + 1);
        return visible(child, `${path}/${child.id}${again ? `#${again}` : ""}`, data.pid);
      }) : [];
      if (open && data.omitted)
        children.push({ path: `${path}/…`, data: { id: `and ${data.omitted} more`, type: "omitted" }, children: [] });
      return { path, data, supervisor, children };
    }

    function fold(path, closed) {
      folded.set(path, closed);
      draw();
    }

    function openInfo({ path, data, supervisor }) {
      if (data.type === "omitted" || path === "") return;
      app.panel.show(data.pid, {
        node: app.node, name: data.name ?? data.id,
        child: supervisor ? { supervisor, id: data.id } : undefined,
      });
    }

    function boxOf(path) {
      let box = boxes.get(path);
      if (box) return box;
      const toggle = h("span", { class: "toggle", "aria-hidden": "true", onclick: (event) => {
        event.stopPropagation();
        fold(path, box.getAttribute("aria-expanded") === "true");
      } });
      const name = h("span", { class: "name" }), note = h("span", { class: "note" });
      box = h("div", { class: "box", role: "treeitem", tabindex: "-1", "data-path": path,
        onclick: () => {
          current = path;
          draw();
          openInfo(box.shown);
        } }, toggle, h("span", { class: "texts" }, name, note));
      box.parts = { toggle, name, note };
      boxes.set(path, box);
      return box;
    }

    function draw() {
      if (!root) return;
      const narrow = matchMedia("(max-width: 760px)").matches;
      const shown = hierarchy(visible(root, "", null));
      const columns = shown.height + 1;
      const available = scroll.clientWidth;
      // As wide as it fits, within what can be read. On a phone there is room for one below the other.
      const step = narrow ? { across: 22, down: 44 }
        : { across: Math.floor(Math.max(194, Math.min(250, (available + 30) / columns))), down: 46 };
      const laid = narrow ? oneBelowTheOther(shown, step)
        : tree().nodeSize([step.down, step.across])
          .separation((a, b) => (a.parent === b.parent ? 1 : 1.15))(shown);
      let low = Infinity, high = -Infinity, deep = 0;
      laid.each((one) => {
        low = Math.min(low, one.x);
        high = Math.max(high, one.x);
        deep = Math.max(deep, one.depth);
      });
      const width = narrow ? Math.max(150, available - 12 - shown.height * step.across) : step.across - 40;
      const all = laid.descendants();
      // The order of the eye, which is that of the keyboard: each before its children.
      const inOrder = [];
      laid.eachBefore((one) => inOrder.push(one));
      if (!inOrder.some((one) => one.data.path === current)) current = "";
      const elements = inOrder.map((one) => {
        const { path, data } = one.data;
        const box = boxOf(path);
        box.shown = one.data;
        box.style.insetInlineStart = `${one.y + 4}px`;
        box.style.insetBlockStart = `${one.x - low + 4}px`;
        box.style.inlineSize = `${width}px`;
        const hasChildren = (data.children?.length ?? 0) > 0;
        const closed = hasChildren && isFolded(path, data);
        setAttribute(box, "aria-level", one.depth + 1);
        setAttribute(box, "aria-expanded", hasChildren ? String(!closed) : null);
        setAttribute(box, "data-type", data.restarting ? "restarting" : data.pid || path === "" || data.type === "omitted" ? data.type : "gone");
        setAttribute(box, "title", data.name ?? data.id);
        box.tabIndex = path === current ? 0 : -1;
        setText(box.parts.toggle, hasChildren ? (closed ? "+" : "−") : "");
        setText(box.parts.name, data.id);
        setText(box.parts.note, noteOf(data, closed));
        return box;
      });
      arrange(nodes, elements);
      const keep = new Set(inOrder.map((one) => one.data.path));
      for (const path of boxes.keys()) if (!keep.has(path)) boxes.delete(path);
      const size = { x: deep * step.across + width + 8, y: high - low + step.down + 4 };
      canvas.style.inlineSize = `${size.x}px`;
      canvas.style.blockSize = `${size.y}px`;
      setAttribute(lines, "viewBox", `0 0 ${size.x} ${size.y}`);
      setAttribute(lines, "width", size.x);
      setAttribute(lines, "height", size.y);
      const middle = 19;
      const ways = all.filter((one) => one.parent).map(({ parent, x, y }) => {
        if (narrow) return `M${parent.y + 14},${parent.x + 42}V${x + 4 + middle}H${y + 4}`;
        const from = [parent.y + 4 + width, parent.x - low + 4 + middle];
        const to = [y + 4, x - low + 4 + middle];
        const half = (from[0] + to[0]) / 2;
        return `M${from}C${half},${from[1]} ${half},${to[1]} ${to}`;
      }).join("");
      lines.replaceChildren(svg("path", { d: ways || "M0 0" }));
    }

    nodes.addEventListener("keydown", (event) => {
      const box = event.target.closest("[role=treeitem]");
      if (!box) return;
      const items = [...nodes.children];
      const at = items.indexOf(box);
      const { path } = box.dataset;
      const expanded = box.getAttribute("aria-expanded");
      const moves = {
        ArrowDown: () => items[at + 1],
        ArrowUp: () => items[at - 1],
        Home: () => items[0],
        End: () => items.at(-1),
        ArrowRight: () => (expanded === "false" ? fold(path, false) : expanded ? items[at + 1] : null),
        ArrowLeft: () => (expanded === "true" ? fold(path, true)
          : boxes.get(path.slice(0, path.lastIndexOf("/")))),
        Enter: () => openInfo(box.shown),
        " ": () => openInfo(box.shown),
      };
      const move = moves[event.key];
      if (!move) return;
      event.preventDefault();
      const next = move();
      if (!next) return;
      current = next.dataset.path;
      for (const one of items) one.tabIndex = one === next ? 0 : -1;
      next.focus();
      next.scrollIntoView({ block: "nearest", inline: "nearest" });
    });

    const foldAll = (closed) => {
      const walk = (data, path) => {
        if (path !== "" && data.children?.length) folded.set(path, closed);
        const seen = new Map();
        for (const child of data.children ?? []) {
          const again = seen.get(child.id) ?? 0;
          seen.set(child.id, again + 1);
          walk(child, `${path}/${child.id}${again ? `#${again}` : ""}`);
        }
      };
      if (root) walk(root, "");
      draw();
    };
    const button = (text, act) => h("button", { type: "button", onclick: act }, text);

    return {
      element: card("Applications and their trees",
        h("div", { class: "row" }, button("Expand all", () => foldAll(false)),
          button("Collapse all", () => foldAll(true)),
          h("p", { class: "dim for-keys" }, "Arrow keys move, Enter tells more.")),
        scroll),
      async refresh() {
        const children = await app.ask("Supervisor.tree", [null, { children: 200 }]);
        root = { id: app.node, type: "node", pid: null, children };
        draw();
      },
    };
  },
};

function oneBelowTheOther(root, step) {
  let row = 0;
  return root.eachBefore((one) => {
    one.x = row * step.down;
    one.y = one.depth * step.across;
    row += 1;
  });
}

function noteOf(data, closed) {
  if (data.type === "omitted") return "not drawn";
  if (data.type === "node") return "node";
  if (data.restarting) return "restarting";
  if (!data.pid) return "no process";
  if (data.answered === false) return "does not answer";
  const children = data.children?.length ?? 0;
  const hidden = closed ? `, ${children + (data.omitted ?? 0)} children` : "";
  return data.type === "supervisor" ? `${(data.strategy ?? "supervisor").replaceAll("_", " ")}${hidden}` : data.type;
}
