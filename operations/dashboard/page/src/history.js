// What the nodes have told in the last minutes: asked of all of them, kept here.
import { span } from "./chart.js";

const sum = (list, field) => list.reduce((total, one) => total + (one[field] ?? 0), 0);

const longest = 1_500;  // ms that a look waits for slow nodes
const most = 12;        // nodes that are asked in one look

export class History {
  #asking = new Set();  // nodes that have not answered yet
  #next = 0;
  nodes = [];          // names, this one first
  latest = new Map();  // name → { info, endpoints, pubSubs, alarms, error, rates }
  times = [];
  samples = new Map();  // name → [{ memory, busy, … } or null], one for each of times

  async look(console) {
    const others = await console.ask("Node.list");
    this.nodes = [console.welcome.node, ...others.sort()];
    const asked = this.#turn().filter((node) => !this.#asking.has(node))
      .map((node) => this.#lookAt(console, node));
    // A node that does not answer must not hold up what the others tell.
    await Promise.race([Promise.all(asked), new Promise((go) => setTimeout(go, longest))]);
    this.#keep();
  }

  /// The values of one field over the time, for a chart.
  series(field) {
    return this.nodes.map((name, at) => ({
      name, at,
      values: this.#samplesOf(name).map((sample) => sample?.[field] ?? null),
    }));
  }

  /// Whom to ask now: all of them, or of many some in turn.
  #turn() {
    if (this.nodes.length <= most) return this.nodes;
    const from = this.#next;
    this.#next = (from + most) % this.nodes.length;
    return Array.from({ length: most }, (_, at) => this.nodes[(from + at) % this.nodes.length]);
  }

  async #lookAt(console, node) {
    this.#asking.add(node);
    const before = this.latest.get(node);
    try {
      const [info, endpoints, pubSubs, alarms] = await Promise.all([
        console.ask("System.info", [], node), console.ask("Endpoint.list", [], node),
        console.ask("PubSub.list", [], node), console.ask("Alarms.list", [], node),
      ]);
      const seconds = (info.uptime_ms - before?.info?.uptime_ms) / 1000;
      const grown = (now, then) => (seconds > 0 && now >= then ? (now - then) / seconds : NaN);
      const rates = {
        messages: grown(info.reductions, before?.info?.reductions),
        broadcasts: grown(sum(pubSubs, "sent"), sum(before?.pubSubs ?? [], "sent")),
      };
      // Two looks within a moment have no rate of their own.
      this.latest.set(node, seconds > 0.05 || !before?.info
        ? { info, endpoints, pubSubs, alarms, rates }
        : { info: before.info, endpoints, pubSubs: before.pubSubs, alarms, rates: before.rates });
    } catch (error) {
      this.latest.set(node, { error: error.message });
    } finally {
      this.#asking.delete(node);
    }
  }

  #samplesOf(name) {
    if (!this.samples.has(name)) this.samples.set(name, this.times.map(() => null));
    return this.samples.get(name);
  }

  #keep() {
    for (const name of this.nodes) this.#samplesOf(name);
    this.times.push(Date.now() / 1000);
    for (const [name, list] of this.samples) {
      const { info, endpoints, rates } = this.latest.get(name) ?? {};
      const gone = !this.nodes.includes(name);
      list.push(info && !gone ? {
        memory: info.memory.total,
        busy: info.schedulers.length ? sum(info.schedulers, "utilization") / info.schedulers.length : 0,
        processes: info.processes,
        run_queue: info.run_queue,
        sockets: sum(endpoints, "sockets"),
        messages: Number.isFinite(rates.messages) ? rates.messages : null,
      } : null);
    }
    const oldest = Date.now() / 1000 - span - 5;
    while (this.times[0] < oldest) {
      this.times.shift();
      for (const list of this.samples.values()) list.shift();
    }
  }
}

export const socketsOf = (endpoints) => sum(endpoints ?? [], "sockets");
