// The panel about one process, whose links can be followed.
import { arrange, h, setText } from "./dom.js";
import { bytes, count, duration, nodeOf, pretty, processName, rate, shortPid } from "./format.js";

export class ProcessPanel {
  #trail = [];
  #shown = null;   // { pid, node, child, socket }
  #before = null;
  #at = 0;

  constructor(app) {
    this.app = app;
    this.title = h("h2", { id: "panel-title", tabindex: "-1" });
    this.back = h("button", { type: "button", class: "quiet", onclick: () => this.#goBack() }, "Back");
    const close = h("button", { type: "button", class: "quiet", onclick: () => this.element.close() },
      "Close");
    this.body = h("div", { class: "panel-body" });
    this.element = h("dialog", { class: "panel", "aria-labelledby": "panel-title" },
      h("header", {}, this.back, this.title, close), this.body);
    this.element.addEventListener("close", () => {
      this.#trail = [];
      this.#shown = null;
    });
    // A click beside the panel closes it.
    this.element.addEventListener("click", (event) => {
      if (event.target === this.element) this.element.close();
    });
    document.body.append(this.element);
  }

  get open() { return this.element.open; }

  /// `child` says under which supervisor it runs: { supervisor, id }. `socket`: it has channels.
  show(pid, { node = nodeOf(pid) ?? this.app.node, child, socket, name } = {}) {
    if (this.#shown) this.#trail.push(this.#shown);
    this.#enter({ pid, node, child, socket, name });
  }

  async refresh() {
    if (!this.#shown || !this.open) return;
    const shown = this.#shown;
    if (!shown.pid) return;
    try {
      const info = await this.app.console.ask("Process.info", [shown.pid], shown.node);
      const channels = shown.socket
        ? await this.app.console.ask("Endpoint.channels", [shown.pid], shown.node).catch(() => []) : null;
      if (shown === this.#shown) this.#fill(info, channels);
    } catch (error) {
      if (shown === this.#shown) setText(this.note, error.message);
    }
  }

  #goBack() {
    if (this.#trail.length) this.#enter(this.#trail.pop());
  }

  #enter(shown) {
    this.#shown = shown;
    this.#before = null;
    this.back.hidden = this.#trail.length === 0;
    setText(this.title, shown.name ?? shown.pid ?? shown.child?.id ?? "");
    this.facts = h("dl", { class: "facts" });
    this.relatives = h("div", { class: "relatives" });
    this.channels = h("div");
    this.note = h("p", { class: "dim", role: "status" });
    this.result = h("p", { class: "result", role: "status" });
    this.state = h("pre", { class: "state", tabindex: "0", "aria-label": "State", hidden: true });
    this.rows = new Map();
    this.groups = new Map();
    this.body.replaceChildren(this.facts, this.note, this.channels, this.relatives,
      ...(shown.pid ? [this.#stateSection()] : []), this.#actions(), this.result);
    if (!this.open) this.element.showModal();
    this.title.focus();
    this.refresh();
  }

  #fill(info, channels) {
    if (!info) {
      setText(this.note, "It has ended.");
      return;
    }
    setText(this.title, processName(info));
    const now = performance.now();
    const seconds = (now - this.#at) / 1000;
    const perSecond = this.#before !== null && seconds > 0.05
      ? Math.max(0, info.reductions - this.#before) / seconds : NaN;
    this.#before = info.reductions;
    this.#at = now;
    const facts = {
      Pid: info.pid,
      Name: info.name ?? "–",
      ...(info.label ? { Label: info.label } : {}),
      Runs: info.initial_call,
      "Current handler": info.current_handler ?? "–",
      Status: `${info.status}, priority ${info.priority}`,
      "Message queue": count(info.message_queue_len) +
        (info.messages_dropped ? `, ${count(info.messages_dropped)} dropped` : ""),
      "Messages handled": count(info.reductions) +
        (Number.isFinite(perSecond) ? `, ${rate(perSecond)}` : ""),
      Memory: bytes(info.memory),
      "Up for": duration(info.uptime_ms),
      "Traps exits": info.trap_exit ? "yes" : "no",
    };
    const wanted = [];
    for (const [name, value] of Object.entries(facts)) {
      if (!this.rows.has(name)) {
        const text = h("dd");
        this.rows.set(name, { row: h("div", {}, h("dt", {}, name), text), text });
      }
      const { row, text } = this.rows.get(name);
      setText(text, value);
      wanted.push(row);
    }
    arrange(this.facts, wanted);
    this.#list("Parent", info.parent ? [info.parent] : []);
    this.#list("Ancestors", info.ancestors.slice(1));
    this.#list("Links", info.links);
    this.#list("Monitors", info.monitors);
    this.#list("Monitored by", info.monitored_by);
    if (channels) this.#showChannels(channels);
  }

  #list(title, pids) {
    let group = this.groups.get(title);
    if (!group) {
      const list = h("ul", { class: "pids" });
      group = { list, known: "", element: h("section", {}, h("h3", {}, title), list) };
      this.groups.set(title, group);
      this.relatives.append(group.element);
    }
    const most = 50;
    const known = pids.join();
    group.element.hidden = pids.length === 0;
    if (known === group.known) return;
    group.known = known;
    group.list.replaceChildren(...pids.slice(0, most).map((pid) => h("li", {}, this.#pidButton(pid))),
      ...(pids.length > most ? [h("li", { class: "dim" }, `and ${pids.length - most} more`)] : []));
  }

  #pidButton(pid) {
    const { node } = this.#shown;
    return h("button", { type: "button", class: "link mono",
      onclick: () => this.show(pid, { node: nodeOf(pid) ?? node }) }, shortPid(pid, node));
  }

  #showChannels(channels) {
    const known = JSON.stringify(channels);
    if (this.channels.dataset.known === known) return;
    this.channels.dataset.known = known;
    this.channels.replaceChildren(h("h3", {}, `Channels (${channels.length})`),
      h("ul", { class: "channels" }, channels.map((one) => h("li", {},
        h("span", { class: "topic" }, one.topic), " ",
        this.#pidButton(one.pid), " ",
        h("span", { class: "dim" }, one.joined ? one.channel : "joining")))));
  }

  #stateSection() {
    const look = h("button", { type: "button", onclick: () => this.#lookAtState() }, "Look at its state");
    return h("section", {}, h("div", { class: "row" }, h("h3", {}, "State"), look), this.state);
  }

  async #lookAtState() {
    const { pid, node } = this.#shown;
    this.state.hidden = false;
    setText(this.state, "…");
    try {
      const found = await this.app.console.ask("sys.get_state", [pid], node);
      setText(this.state, pretty(found));
      if (this.app.mayChange && found && typeof found === "object") this.#offerReplace(found);
    } catch (error) {
      setText(this.state, error.message);
    }
  }

  #offerReplace(found) {
    this.replace?.remove();
    const text = h("textarea", { rows: "6", spellcheck: "false", "aria-label": "Fields to change, as JSON" });
    text.value = pretty(found);
    const { pid, node } = this.#shown;
    const save = h("button", { type: "button", class: "danger", onclick: async () => {
      let changes;
      try {
        changes = JSON.parse(text.value);
      } catch (error) {
        return this.#say(`expected JSON: ${error.message}`);
      }
      await this.#do("sys.replace_state", [pid, changes], node, "The state was replaced.");
      this.#lookAtState();
    } }, "Replace these fields");
    this.replace = h("details", { class: "replace" }, h("summary", {}, "Replace the state"), text, save);
    this.state.after(this.replace);
  }

  #actions() {
    const { pid, node, child } = this.#shown;
    const row = h("div", { class: "row actions" });
    if (!this.app.mayChange) {
      return h("p", { class: "dim" },
        "This dashboard only looks. operations.dashboard.allow_destructive_actions lets it end and " +
        "restart processes.");
    }
    if (pid) {
      row.append(
        this.#armed("Kill", "Kill it", () =>
          this.#do("Process.exit", [pid, "kill"], node, "It was killed.")),
        this.#armed("Shut down", "Shut it down", () =>
          this.#do("Process.exit", [pid, "shutdown"], node, "It was told to shut down.")));
    }
    if (child?.supervisor) {
      const where = [child.supervisor, child.id];
      row.append(
        this.#armed("Terminate child", "Terminate it", () =>
          this.#do("Supervisor.terminate_child", where, node, "The child was terminated.")),
        this.#armed("Restart child", "Restart it", () =>
          this.#do("Supervisor.restart_child", where, node, "The child was restarted.")));
    }
    return row;
  }

  /// A button that asks once more: the second press within some seconds counts.
  #armed(text, again, act) {
    let disarm = 0;
    const button = h("button", { type: "button", class: "danger", onclick: () => {
      clearTimeout(disarm);
      if (button.dataset.armed) {
        delete button.dataset.armed;
        button.textContent = text;
        return act();
      }
      button.dataset.armed = "yes";
      button.textContent = `${again}?`;
      disarm = setTimeout(() => {
        delete button.dataset.armed;
        button.textContent = text;
      }, 5_000);
    } }, text);
    return button;
  }

  async #do(name, args, node, done) {
    try {
      await this.app.console.ask(name, args, node);
      this.#say(done);
    } catch (error) {
      this.#say(error.message);
    }
    this.refresh();
  }

  #say(text) {
    setText(this.result, text);
  }
}
