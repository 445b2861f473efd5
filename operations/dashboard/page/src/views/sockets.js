import { card, field, h, setOptions } from "../dom.js";
import { count, shortPid } from "../format.js";
import { Table } from "../table.js";

export const sockets = {
  id: "sockets",
  title: "Sockets",
  create(app) {
    const endpoints = new Table({
      label: "Endpoints", key: (one) => one.name,
      columns: [
        { title: "Endpoint", text: (one) => one.name },
        { title: "State", text: (one) => (one.ready ? "ready" : "draining"), badge: (one) => (one.ready ? "good" : "warn") },
        { title: "Port", numeric: true, text: (one) => [one.port, one.https_port].filter(Boolean).join(", ") },
        { title: "Connections", numeric: true, wide: true, text: (one) => count(one.connections) },
        { title: "Sockets", numeric: true, text: (one) => count(one.sockets) },
        { title: "Since the start", numeric: true, wide: true, text: (one) => count(one.connected) },
        { title: "Refused", numeric: true, text: (one) => count(one.refused_sockets + one.refused_connections) },
        { title: "Slow", numeric: true, wide: true, text: (one) => count(one.slow_consumers) },
      ],
    });
    const result = h("p", { class: "result", role: "status" });
    const which = h("select");
    const drain = h("button", { type: "button", class: "danger", onclick: async () => {
      if (!drain.dataset.armed) {
        drain.dataset.armed = "yes";
        drain.textContent = "Send its clients away?";
        setTimeout(() => {
          delete drain.dataset.armed;
          drain.textContent = "Drain";
        }, 5_000);
        return;
      }
      await app.ask("Endpoint.drain", [which.value]).then(
        () => { result.textContent = `${which.value} drains.`; },
        (error) => { result.textContent = error.message; });
    } }, "Drain");
    const actions = h("div", { class: "row", hidden: true }, field("Endpoint", which), drain, result);

    const clients = new Table({
      label: "Sockets", key: (one) => one.pid, empty: "Nobody is connected.",
      columns: [
        { title: "Pid", mono: true, text: (one) => shortPid(one.pid, app.node),
          open: (one) => app.panel.show(one.pid, { socket: true }) },
        { title: "Socket", grow: true, text: (one) => one.socket },
        { title: "Id", text: (one) => one.id ?? "–" },
      ],
    });
    const total = h("p", { class: "dim" });

    const pubSub = h("select");
    const find = h("input", { type: "search", placeholder: "part of a topic", autocomplete: "off" });
    const topics = new Table({
      label: "Topics", key: (one) => one.topic, empty: "Nobody listens to such a topic.",
      columns: [
        { title: "Topic", grow: true, text: (one) => one.topic },
        { title: "Channels", numeric: true, text: (one) => count(one.channels) },
        { title: "Processes", numeric: true, text: (one) => count(one.processes) },
      ],
    });
    pubSub.addEventListener("change", () => app.refreshNow());
    find.addEventListener("input", () => app.refreshNow());

    return {
      element: h("div", { class: "stack" },
        card("Endpoints", endpoints.element, actions),
        card("Topics",
          h("form", { class: "filters", onsubmit: (event) => event.preventDefault() },
            field("Pub/sub", pubSub), field("Find", find)), topics.element),
        card("Clients", total, clients.element)),
      async refresh() {
        const [listed, connected, pubSubs] = await Promise.all([
          app.ask("Endpoint.list"), app.ask("Endpoint.sockets", [{ limit: 200 }]), app.ask("PubSub.list")]);
        endpoints.show(listed);
        actions.hidden = !app.mayChange;
        setOptions(which, listed.map(({ name }) => [name, name]));
        total.textContent = connected.total > connected.sockets.length
          ? `${count(connected.sockets.length)} of ${count(connected.total)}` : "";
        total.hidden = !total.textContent;
        clients.show(connected.sockets);
        // The page's own traffic is the least interesting one.
        pubSubs.sort((a, b) => a.name.startsWith("operations") - b.name.startsWith("operations"));
        setOptions(pubSub, pubSubs.map(({ name }) => [name, name]));
        if (!pubSub.value) return topics.show([]);
        const text = find.value.trim();
        topics.show(await app.ask("PubSub.topics", [pubSub.value, { limit: 200, ...(text ? { find: text } : {}) }]));
      },
    };
  },
};
