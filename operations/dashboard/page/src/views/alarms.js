import { card, h } from "../dom.js";
import { count, date, pretty } from "../format.js";
import { Table } from "../table.js";

const reports = new Set(["crash_report", "supervisor_report", "error_report"]);

export const alarms = {
  id: "alarms",
  title: "Alarms and errors",
  short: "Alarms",
  create(app) {
    const set = new Table({
      label: "Alarms", key: (one) => one.id, empty: "No alarm is set.",
      columns: [
        { title: "Alarm", mono: true, text: (one) => one.id, badge: () => "warn" },
        { title: "What it says", grow: true, text: (one) => one.description },
        { title: "Since", text: (one) => date(one.since) },
      ],
    });
    const groups = h("div", { class: "reports" });
    const noGroups = h("p", { class: "dim nothing" }, "No error was seen.");
    const result = h("p", { class: "result", role: "status" });
    const clear = h("button", { type: "button", class: "danger", hidden: true, onclick: async () => {
      await app.ask("Errors.clear").then(
        () => { result.textContent = "The errors were cleared."; },
        (error) => { result.textContent = error.message; });
      app.refreshNow();
    } }, "Clear them");
    const errors = card("Errors, grouped", groups, noGroups, h("div", { class: "row" }, clear, result));
    errors.hidden = true;
    const recent = h("div", { class: "reports" });
    const noneRecent = h("p", { class: "dim nothing" }, "No crash was reported lately.");
    let offered = true;  // whether the node knows Errors.list
    let lines = [];
    let last = 0;

    return {
      element: h("div", { class: "stack" }, card("Alarms", set.element), errors,
        card("Recent crash reports", recent, noneRecent)),
      async refresh() {
        set.show(await app.ask("Alarms.list"));
        const fresh = await app.ask("Logger.tail", [last]);
        if (fresh.length) last = fresh.at(-1).number;
        lines = [...lines, ...fresh.filter((one) => reports.has(one.kind))].slice(-50);
        show(recent, [...lines].reverse(), (one) => String(one.number), (one) => ({
          title: one.message, note: `${one.kind.replaceAll("_", " ")}, ${date(one.time)}`,
          details: one.fields,
        }));
        noneRecent.hidden = lines.length > 0;
        if (!offered) return;
        const found = await app.ask("Errors.list").catch((error) => {
          if (!error.message.includes("undefined function")) throw error;
          offered = false;
          return null;
        });
        errors.hidden = !found;
        if (!found) return;
        show(groups, found, (one) => String(one.fingerprint), (one) => ({
          title: one.type ? `${one.type}: ${one.message}` : one.message, count: one.count,
          note: `${one.severity}, ${one.where ? `${one.where}, ` : ""}last ${date(one.last_seen)}, first ${date(one.first_seen)}`,
          details: { ...(one.context ?? {}), ...(one.stack?.length ? { stack: one.stack } : {}) },
        }));
        noGroups.hidden = found.length > 0;
        clear.hidden = !app.mayChange || found.length === 0;
      },
    };
  },
};

/// Each as something that unfolds; those that are there stay as they are.
function show(list, items, key, describe) {
  const known = new Map([...list.children].map((child) => [child.dataset.key, child]));
  const wanted = items.map((item) => {
    const { title, note, count: times, details } = describe(item);
    const text = JSON.stringify([title, note, times, details]);
    const old = known.get(key(item));
    if (old?.text === text) return old;
    const fresh = h("details", { "data-key": key(item) },
      h("summary", {}, h("span", { class: "report-title" }, title),
        times > 1 ? h("span", { class: "times" }, `× ${count(times)}`) : null,
        h("span", { class: "dim" }, note)),
      h("dl", { class: "facts" }, Object.entries(details).filter(([, value]) => value !== "").map(([name, value]) =>
        h("div", {}, h("dt", {}, name), h("dd", { class: "mono" },
          Array.isArray(value) ? value.join("\n") : pretty(value))))));
    fresh.text = text;
    fresh.open = old?.open ?? false;
    return fresh;
  });
  if (wanted.length !== list.children.length || wanted.some((one, at) => list.children[at] !== one))
    list.replaceChildren(...wanted);
}
