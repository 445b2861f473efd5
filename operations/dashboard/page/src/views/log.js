import { card, field, h, setText } from "../dom.js";
import { date, pretty, time } from "../format.js";

const levels = ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"];
const most = 1_000;

export const log = {
  id: "log",
  title: "Log",
  create(app) {
    const least = h("select", {}, levels.map((value) => h("option", { value, selected: value === "debug" }, value)));
    const find = h("input", { type: "search", placeholder: "part of a line", autocomplete: "off" });
    const total = h("p", { class: "dim" });
    const lines = h("ol", { class: "log" });
    const scroll = h("div", { class: "scroll log-holder", role: "region", "aria-label": "Log lines", tabindex: "0" }, lines);
    const nothing = h("p", { class: "dim nothing" }, "No line fits.");
    const level = h("select", {}, levels.map((value) => h("option", { value }, value)));
    const levelField = field("The node logs from", level);
    let kept = [];
    let last = 0;

    const fits = (one) => levels.indexOf(one.level) >= levels.indexOf(least.value) &&
      (!find.value.trim() || one.text.includes(find.value.trim().toLowerCase()));

    function filter() {
      let shown = 0;
      for (const one of kept) {
        const hidden = !fits(one);
        if (one.element.hidden !== hidden) one.element.hidden = hidden;
        if (!hidden) shown += 1;
      }
      setText(total, `${shown} of ${kept.length} lines`);
      nothing.hidden = shown > 0;
    }

    function lineOf(data) {
    const fields = Object.entries(data.fields).filter(([, value]) => value !== "");
      return h("li", { "data-level": data.level },
        h("time", { datetime: new Date(data.time).toISOString(), title: date(data.time) }, time(data.time)), " ",
        h("span", { class: "level" }, data.level), " ",
        h("span", { class: "message" }, data.message,
          fields.map(([name, value]) => h("span", { class: "log-field" }, ` ${name}=`, h("b", {}, pretty(value))))));
    }

    least.addEventListener("change", filter);
    find.addEventListener("input", filter);
    level.addEventListener("change", () => app.ask("Logger.set_level", [level.value]).catch(app.report));

    return {
      element: card("Latest lines",
        h("form", { class: "filters", onsubmit: (event) => event.preventDefault() },
          field("From level", least), field("Find", find), levelField, total),
        scroll, nothing),
      async refresh() {
        const [fresh, now] = await Promise.all([app.ask("Logger.tail", [last]), app.ask("Logger.level")]);
        if (document.activeElement !== level) level.value = now;
        level.disabled = !app.mayChange;
        if (fresh.length) {
          last = fresh.at(-1).number;
          const atEnd = scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 40;
          for (const data of fresh) {
            const element = lineOf(data);
            lines.append(element);
            kept.push({ level: data.level, element, text: element.textContent.toLowerCase() });
          }
          while (kept.length > most) kept.shift().element.remove();
          filter();
          if (atEnd) scroll.scrollTop = scroll.scrollHeight;
        } else {
          filter();
        }
      },
    };
  },
};
