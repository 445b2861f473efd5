// The way to the nodes: one channel, over which their consoles are asked.
import { Socket } from "phoenix";

const patience = 20_000;
const mostAtOnce = 8;

export class Console extends EventTarget {
  #token = "";
  #waiting = [];
  #asking = 0;

  state = "connecting";
  welcome = {};

  constructor() {
    super();
    const path = new URL("dashboard/socket", document.baseURI).pathname;
    this.socket = new Socket(path, {
      authToken: () => this.#token,
      // A token is old after a minute, so each attempt leaves time to get another one.
      reconnectAfterMs: (tries) => [400, 800, 1500, 3000][tries - 1] ?? 5000,
    });
    this.socket.onError(() => this.#lost());
    this.socket.onClose(() => this.#lost());
    this.channel = this.socket.channel("console", {});
    this.channel.onClose(() => this.#is("reconnecting"));
    this.channel.join()
      .receive("ok", (welcome) => {
        this.welcome = welcome;
        this.#is("online");
      })
      .receive("error", () => this.#is("refused"));
  }

  async connect() {
    await this.#renew();
    this.socket.connect();
  }

  get online() { return this.state === "online" && this.channel.state === "joined"; }

  /// What a function of the console answers. Throws an Error with the reason.
  async ask(name, args = [], node = undefined) {
    if (this.#asking >= mostAtOnce) await new Promise((go) => this.#waiting.push(go));
    this.#asking += 1;
    try {
      return await this.#push({ function: name, arguments: args, ...(node ? { node } : {}) });
    } finally {
      this.#asking -= 1;
      this.#waiting.shift()?.();
    }
  }

  #push(question) {
    if (!this.online) return Promise.reject(new Error("not connected"));
    return new Promise((resolve, reject) => {
      this.channel.push("ask", question, patience)
        .receive("ok", ({ value }) => resolve(value))
        .receive("error", ({ reason }) => reject(new Error(reason)))
        .receive("timeout", () => reject(new Error("no answer in 20 s")));
    });
  }

  #lost() {
    if (this.state === "signed out") return;
    this.#is("reconnecting");
    this.#renew();
  }

  async #renew() {
    try {
      const response = await fetch("dashboard/token", { cache: "no-store" });
      if (response.status === 401 || response.status === 403) {
        this.socket.disconnect();
        return this.#is("signed out");
      }
      this.#token = (await response.json()).token;
    } catch {
      // The node is away; the next attempt asks again.
    }
  }

  #is(state) {
    this.state = state;
    this.dispatchEvent(new Event("state"));
  }
}
