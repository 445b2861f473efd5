import { card, field, h } from "../dom.js";
import { bytes, count, duration, processName, rate, shortPid, unqualified } from "../format.js";
import { Table } from "../table.js";

export const processes = {
  id: "processes",
  title: "Processes",
  create(app) {
    const find = h("input", { type: "search", placeholder: "name, type, handler or pid", autocomplete: "off" });
    const sort = h("select", {}, [["memory", "memory"], ["mailbox", "message queue"],
      ["reductions", "messages handled"], ["uptime", "uptime"]]
      .map(([value, text]) => h("option", { value }, text)));
    const limit = h("select", {}, ["50", "100", "500"].map((value) => h("option", { value }, value)));
    const total = h("p", { class: "dim" });
    let before = new Map();
    let asked = 0;

    const table = new Table({
      label: "Processes", key: (one) => one.pid, sorted: "memory",
      empty: "No process has this in its name, type, handler or pid.",
      onSort: (name) => {
        sort.value = name;
        app.refreshNow();
      },
      columns: [
        { title: "Name or type", grow: true, text: processName, hint: (one) => one.initial_call,
          open: (one) => app.panel.show(one.pid, { name: processName(one) }) },
        { title: "Pid", mono: true, wide: true, text: (one) => shortPid(one.pid, app.node) },
        { title: "Handler", wide: true, text: (one) => unqualified(one.current_handler ?? one.status),
          hint: (one) => one.current_handler },
        { title: "Queue", numeric: true, sort: "mailbox", text: (one) => count(one.message_queue_len) },
        { title: "Messages", numeric: true, sort: "reductions", text: (one) => count(one.reductions) },
        { title: "Rate", numeric: true, wide: true, text: (one) => rate(one.rate) },
        { title: "Memory", numeric: true, sort: "memory", text: (one) => bytes(one.memory) },
        { title: "Up for", numeric: true, wide: true, sort: "uptime", text: (one) => duration(one.uptime_ms) },
      ],
    });
    sort.addEventListener("change", () => {
      table.sortedBy(sort.value);
      app.refreshNow();
    });
    find.addEventListener("input", () => app.refreshNow());
    limit.addEventListener("change", () => app.refreshNow());

    return {
      element: card("Processes of the node",
        h("form", { class: "filters", role: "search", onsubmit: (event) => event.preventDefault() },
          field("Find", find), field("Largest by", sort), field("At most", limit), total),
        table.element),
      async refresh() {
        const options = { sort: sort.value, limit: Number(limit.value), ...(find.value.trim() ? { find: find.value.trim() } : {}) };
        const list = await app.ask("Process.list", [options]);
        const now = performance.now();
        const seconds = (now - asked) / 1000;
        for (const one of list) {
          const then = before.get(one.pid);
          one.rate = then === undefined ? NaN : Math.max(0, one.reductions - then) / seconds;
        }
        before = new Map(list.map((one) => [one.pid, one.reductions]));
        asked = now;
        total.textContent = `${count(list.length)} shown`;
        table.show(list);
      },
    };
  },
};
