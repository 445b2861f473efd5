// The chat as a process of the operating system, whose log can be waited for.
import { spawn } from "node:child_process";
import { randomInt } from "node:crypto";
import net from "node:net";
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

/// Not one of those that the system gives to whoever connects: until a server is there, or is there
/// again, the browser would get it.
export function freePort() {
  const port = randomInt(10_000, 32_000);
  const probe = net.createServer();
  return new Promise((resolve) => {
    probe.on("error", () => resolve(freePort()));
    probe.listen(port, "127.0.0.1", () => probe.close(() => resolve(port)));
  });
}

export class Server {
  #lines = [];
  #waiting = [];

  /// The node is called name@127.0.0.1, and looks for those in `hosts`; `more` are other settings.
  constructor(program, { name = `chat${process.pid}`, hosts = [], more = [] } = {}) {
    Object.assign(this, { program, node: `${name}@127.0.0.1`, hosts, more });
  }

  async start(port) {
    this.#lines = [];
    const settings = [
      `endpoint.http.port=${port ?? await freePort()}`, "chat.allow_crash=true", "logger.level=debug",
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
