// The chat as a process of the operating system, whose log can be waited for.
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";

const patience = 15_000;  // ms

/// Fields of a line become members beside its message.
function read(text) {
  try {
    const { message, fields } = JSON.parse(text);
    return { ...fields, message, text };
  } catch {
    return { message: text, text };  // written before the logger was set up
  }
}

export class Server {
  #lines = [];
  #waiting = [];

  /// The node is called name@127.0.0.1, and looks for those in `hosts`; `more` are other settings.
  constructor(program, { name = `chat${process.pid}`, hosts = [], more = [] } = {}) {
    Object.assign(this, { program, node: `${name}@127.0.0.1`, hosts, more });
  }

  /// Port 0: any free one, which the log tells.
  async start(port = 0) {
    this.#lines = [];
    const settings = [
      `endpoint.http.port=${port}`, "chat.allow_crash=true", "logger.level=debug",
      "logger.format=json", ...(this.hosts.length ? [`cluster.hosts=[${this.hosts}]`] : []),
      ...this.more,
    ];
    this.process = spawn(this.program, ["start", ...settings.flatMap((one) => ["--set", one])], {
      stdio: ["ignore", "ignore", "pipe"],
      // A chat of somebody else may run here: two nodes of one name are refused.
      env: { ...process.env, RELEASE_NODE: this.node },
    });
    this.ended = new Promise((resolve) => {
      this.process.on("exit", (code, signal) => resolve(code ?? signal));
    });
    createInterface({ input: this.process.stderr }).on("line", (line) => this.#take(line));
    const listening = await this.logged(
      (line) => line.message === "listening" && line.endpoint === "endpoint");
    this.port = listening.port;
    this.url = `http://127.0.0.1:${this.port}`;
  }

  /// The `count`-th line of the log that fits, as an object; waits for it.
  logged(fits, count = 1) {
    const line = this.#lines.filter(fits)[count - 1];
    if (line) return line;
    return new Promise((resolve, reject) => {
      const late = setTimeout(
        () => reject(new Error(`expected ${count} line(s) of the log to fit ${fits}`)), patience);
      this.#waiting.push({ fits, count, resolve, late });
    });
  }

  /// Answers the exit code.
  async stop() {
    this.process.kill("SIGTERM");
    return this.ended;
  }

  async kill() {
    if (this.process?.exitCode === null) this.process.kill("SIGKILL");
    await this.ended;
  }

  text() {
    return this.#lines.map((line) => line.text).join("\n");
  }

  #take(text) {
    this.#lines.push(read(text));
    this.#waiting = this.#waiting.filter((wait) => {
      const found = this.#lines.filter(wait.fits)[wait.count - 1];
      if (!found) return true;
      clearTimeout(wait.late);
      wait.resolve(found);
      return false;
    });
  }
}
