import { card, field, h } from "../dom.js";
import { count } from "../format.js";
import { Table } from "../table.js";

export const presence = {
  id: "presence",
  title: "Presence",
  create(app) {
    const topic = h("input", { type: "text", list: "topics", autocomplete: "off", placeholder: "room:lobby" });
    const suggestions = h("datalist", { id: "topics" });
    const name = h("input", { type: "text", value: "presence", autocomplete: "off" });
    const total = h("p", { class: "dim" });
    const table = new Table({
      label: "Who is there", key: (one) => one.key, empty: "Nobody is in this topic.",
      columns: [
        { title: "Key", text: (one) => one.key },
        { title: "Times", numeric: true, text: (one) => count(one.metas.length) },
        { title: "What is known", grow: true, mono: true,
          text: (one) => one.metas.map((meta) => JSON.stringify(meta)).join("\n") },
      ],
    });
    topic.addEventListener("input", () => app.refreshNow());
    name.addEventListener("change", () => app.refreshNow());
    let looked = 0;

    async function suggest() {
      if (Date.now() - looked < 5_000) return;
      looked = Date.now();
      const pubSubs = await app.ask("PubSub.list");
      const lists = await Promise.all(pubSubs.filter((one) => !one.name.startsWith("operations"))
        .map((one) => app.ask("PubSub.topics", [one.name, { limit: 100 }])));
      const all = lists.flat().filter((one) => one.channels > 0).map((one) => one.topic);
      suggestions.replaceChildren(...all.map((value) => h("option", { value })));
      if (!topic.value && all.length) topic.value = all[0];
    }

    return {
      element: card("Who is in a topic, on all nodes",
        h("form", { class: "filters", onsubmit: (event) => event.preventDefault() },
          field("Topic", topic), suggestions, field("Presence", name), total), table.element),
      async refresh() {
        await suggest();
        if (!topic.value.trim()) return table.show([]);
        const found = await app.ask("Presence.list", [topic.value.trim(), name.value.trim() || "presence"]);
        const list = Object.entries(found).map(([key, one]) => ({ key, metas: one.metas ?? [] }))
          .sort((a, b) => a.key.localeCompare(b.key, "en", { numeric: true }));
        total.textContent = `${count(list.length)} present`;
        table.show(list);
      },
    };
  },
};
