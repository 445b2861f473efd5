import { card, h } from "../dom.js";
import { bytes, count, shortPid } from "../format.js";
import { Table } from "../table.js";

export const tables = {
  id: "tables",
  title: "Tables",
  create(app) {
    let order = "memory";
    const ets = new Table({
      label: "Tables", key: (one) => one.name, sorted: order, empty: "No table has a name.",
      onSort: (name) => {
        order = name;
        app.refreshNow();
      },
      columns: [
        { title: "Table", grow: true, text: (one) => one.name },
        { title: "Type", wide: true, text: (one) => one.type.replaceAll("_", " ") },
        { title: "Access", wide: true, text: (one) => one.access },
        { title: "Owner", mono: true, text: (one) => shortPid(one.owner, app.node) ?? "–", opens: (one) => Boolean(one.owner),
          open: (one) => app.panel.show(one.owner) },
        { title: "Objects", numeric: true, sort: "size", text: (one) => count(one.size) },
        { title: "Memory", numeric: true, sort: "memory", text: (one) => bytes(one.memory) },
      ],
    });
    const registries = new Table({
      label: "Registries", key: (one) => one.name, empty: "There is no registry.",
      columns: [
        { title: "Registry", grow: true, text: (one) => one.name },
        { title: "Entries", numeric: true, text: (one) => count(one.count) },
      ],
    });
    return {
      element: h("div", { class: "stack" }, card("Tables in memory (ets)", ets.element),
        card("Registries", registries.element)),
      async refresh() {
        const [all, listed] = await Promise.all([app.ask("ets.all"), app.ask("Registry.list")]);
        ets.show(all.sort((a, b) => b[order] - a[order]));
        registries.show(listed);
      },
    };
  },
};
