import { card, h } from "../dom.js";
import { bytes, count, rate } from "../format.js";
import { Table } from "../table.js";

const perSecond = (value) => (Number.isFinite(value) ? `${bytes(value)}/s` : "–");

export const links = {
  id: "links",
  title: "Links",
  create(app) {
    let before = new Map();
    let asked = 0;
    const table = new Table({
      label: "Links to other nodes", key: (one) => one.node, empty: "This node is connected to no other one.",
      columns: [
        { title: "Node", mono: true, text: (one) => one.node },
        { title: "Kind", wide: true, text: (one) => (one.hidden ? "hidden" : "visible") },
        { title: "Queued", numeric: true, text: (one) => bytes(one.queued),
          badge: (one) => (one.queued > 1 << 20 ? "warn" : null) },
        { title: "In", numeric: true, text: (one) => perSecond(one.in) },
        { title: "Out", numeric: true, text: (one) => perSecond(one.out) },
        { title: "In, all", numeric: true, wide: true, text: (one) => bytes(one.bytes_in) },
        { title: "Out, all", numeric: true, wide: true, text: (one) => bytes(one.bytes_out) },
      ],
    });
    const pubSubs = new Table({
      label: "Pub/sub between nodes", key: (one) => one.name,
      columns: [
        { title: "Pub/sub", grow: true, text: (one) => one.name },
        { title: "Sent", numeric: true, text: (one) => count(one.sent) },
        { title: "Rate", numeric: true, wide: true, text: (one) => rate(one.rate) },
        { title: "Received", numeric: true, text: (one) => count(one.received) },
        { title: "Unwanted", numeric: true, wide: true, text: (one) => count(one.unwanted) },
        { title: "Gaps", numeric: true, text: (one) => count(one.gaps), badge: (one) => (one.gaps ? "warn" : null) },
      ],
    });
    return {
      element: h("div", { class: "stack" }, card("Links of the node", table.element),
        card("Broadcasts between nodes", pubSubs.element)),
      async refresh() {
        const [list, broadcasts] = await Promise.all([app.ask("Node.links"), app.ask("PubSub.list")]);
        const now = performance.now();
        const seconds = (now - asked) / 1000;
        const grown = (key, value) => {
          const then = before.get(key);
          return then === undefined ? NaN : Math.max(0, value - then) / seconds;
        };
        for (const one of list) {
          one.in = grown(`in ${one.node}`, one.bytes_in);
          one.out = grown(`out ${one.node}`, one.bytes_out);
        }
        for (const one of broadcasts) one.rate = grown(`sent ${one.name}`, one.sent);
        before = new Map([
          ...list.flatMap((one) => [[`in ${one.node}`, one.bytes_in], [`out ${one.node}`, one.bytes_out]]),
          ...broadcasts.map((one) => [`sent ${one.name}`, one.sent])]);
        asked = now;
        table.show(list);
        pubSubs.show(broadcasts);
      },
    };
  },
};
