// A client of the chat that says something again and again, and how long each answer takes:
//   pinger.mjs URL
// Prints a line {"count", "p50", "p99", "worst"} (ms) whenever a line comes, of the time since the
// last one; "ready" at first.
import { createRequire } from "node:module";
import readline from "node:readline";
globalThis.window = globalThis;
globalThis.addEventListener ||= () => {};
const require = createRequire(new URL("../conformance/client.mjs", import.meta.url));
const { Socket } = require("phoenix");
const socket = new Socket(process.argv[2].replace(/^http/, "ws") + "/socket", {
  transport: require("ws"),
});
socket.connect();
const channel = socket.channel("room:lobby", { name: "pinger" });
let times = [];
const next = () => {
  const begin = performance.now();
  channel.push("new_msg", { body: "x" }).receive("ok", () => {
    times.push(performance.now() - begin);
    setTimeout(next, 5);
  });
};
channel.join().receive("ok", () => {
  console.log("ready");
  next();
});
for await (const _ of readline.createInterface({ input: process.stdin })) {
  const sorted = times.sort((a, b) => a - b);
  const at = (part) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0;
  console.log(JSON.stringify(
    { count: sorted.length, p50: at(0.5), p99: at(0.99), worst: sorted.at(-1) ?? 0 }));
  times = [];
}
process.exit();
