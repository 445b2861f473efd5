#!/usr/bin/env node
// Two headless browser windows, a desktop and a phone, chat with each other through the page of the
// chat example, while its server is being broken. The steps build on each other like a story.
//
//   tests/browser/chat_test.mjs PROGRAM
//
// Screenshots go to ../screenshots beside the program's directory. Needs Debian's chromium, or the
// browser that $CHROMIUM names.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { flags, phone } from "./browser.mjs";
import { freePort, Server } from "./server.mjs";

const program = path.resolve(process.argv[2] ?? "");
const screenshots = path.resolve(path.dirname(program), "../screenshots");
const patience = 15_000;  // ms; a condition that holds is not waited for

const desktop = { viewport: { width: 1280, height: 800 }, colorScheme: "light" };

/// One person in front of one browser window.
class Visitor {
  static async open(browser, server, name, device) {
    const { withoutWebSockets = false, ...options } = device;
    const context = await browser.newContext({
      locale: "en-GB", reducedMotion: "reduce", ...options,
    });
    context.setDefaultTimeout(patience);
    if (withoutWebSockets) await context.addInitScript("delete window.WebSocket");
    return new Visitor(context, await context.newPage(), server, name);
  }

  constructor(context, page, server, name) {
    Object.assign(this, { context, page, server, name });
    Object.assign(this, { errors: [], received: [], sent: [], sockets: [], polls: [] });
    page.on("pageerror", (error) => this.errors.push(error.message));
    page.on("console", (line) => {
      if (line.type() === "error") this.errors.push(line.text());
    });
    page.on("request", (request) => {
      if (request.url().includes("/longpoll?")) this.polls.push(request.url());
    });
    page.on("websocket", (socket) => {
      this.sockets.push(socket.url());
      socket.on("framereceived", ({ payload }) => this.received.push(payload));
      socket.on("framesent", ({ payload }) => this.sent.push(payload));
    });
  }

  async enter() {
    await this.page.goto(this.server.url);
    await this.page.getByLabel("Name", { exact: true }).fill(this.name);
    await this.page.getByRole("button", { name: "Enter the chat" }).click();
    await this.is("online");
  }

  async is(state) {
    await this.page.locator(`[data-connection="${state}"]`).waitFor();
  }

  async goTo(room) {
    await this.page.getByRole("button", { name: `# ${room}` }).click();
    await this.page.getByRole("log", { name: `Messages in ${room}` }).waitFor();
  }

  async says(text) {
    await this.page.getByRole("textbox", { name: /^Message/ }).fill(text);
    await this.page.keyboard.press("Enter");
  }

  /// The message in the room on the screen; the newest one, should there be several of it.
  message(text) {
    return this.page.getByRole("log").locator(".message:not(.unsent)", { hasText: text }).last();
  }

  async sees(text) {
    await this.message(text).waitFor();
  }

  /// An entry of the list of those who are in the room on the screen.
  person(name, node = "") {
    return this.page.getByRole("region", { name: "In this room" }).getByRole("listitem")
      .filter({ hasText: name }).filter({ hasText: node });
  }

  note(text) {
    return this.page.getByRole("log").locator(".note", { hasText: text });
  }

  /// Frames such as ["3","3","room:lobby","phx_error",{}].
  saw(frames, event) {
    return frames.filter((frame) => String(frame).includes(`"${event}"`)).length;
  }

  async takes(picture) {
    await this.page.screenshot({ path: path.join(screenshots, `${picture}.png`) });
  }
}

async function converse(people, lines) {
  for (const [name, text] of lines) {
    await people[name].says(text);
    for (const one of Object.values(people)) await one.sees(text);
  }
}

/// Runs in a page, without what the page does: joins rooms, pushes, and answers what was answered.
async function talkToRooms(steps) {
  const { Socket } = await import("/vendor/phoenix.mjs");
  const socket = new Socket("/socket");
  socket.connect();
  const answer = (push) => new Promise((resolve) => {
    for (const status of ["ok", "error", "timeout"])
      push.receive(status, (response) => resolve({ status, ...response }));
  });
  const answers = [];
  for (const { room, name, bodies = [] } of steps) {
    const channel = socket.channel(`room:${room}`, { name });
    answers.push(await answer(channel.join()));
    for (const body of bodies) answers.push(await answer(channel.push("new_msg", { body })));
    channel.leave();
  }
  socket.disconnect();
  return answers;
}

// --- the story -----------------------------------------------------------------------------------

async function story(test, browser, server) {
  const ann = await Visitor.open(browser, server, "Ann", desktop);
  const ben = await Visitor.open(browser, server, "Ben", phone);
  const both = { ann, ben };

  await test("a newcomer is asked for a name, and then is online", async () => {
    await ben.page.goto(server.url);
    await ben.page.getByRole("dialog").waitFor();
    await ben.takes("phone-welcome");
    await ann.enter();
    await ben.enter();
  });

  await test("what one window says, the other shows", async () => {
    await ann.says("Good morning! Is anybody awake?");
    await ben.sees("Good morning! Is anybody awake?");
    await ben.says("Wide awake, on the train to work.");
    await ann.sees("Wide awake, on the train to work.");
    assert.match(await ann.message("on the train").innerText(), /Ben/);
  });

  await test("each window lists who is in the room", async () => {
    await ann.person("Ann (you)").waitFor();
    await ann.person("Ben").waitFor();
    await ben.person("Ann").waitFor();
    await ben.person("Ben (you)").waitFor();
    await ben.page.getByRole("button", { name: "# random" }).click();
    const second = await Visitor.open(browser, server, "Ann", desktop);
    await second.enter();
    await second.person("Ann (you)").waitFor();
    assert.equal(await ann.person("Ann").count(), 1, "two windows are one person");
    await second.context.close();
    const fay = await Visitor.open(browser, server, "Fay", desktop);
    await fay.enter();
    await ann.person("Fay").waitFor();
    await fay.context.close();
    await ann.person("Fay").waitFor({ state: "detached" });
    await ann.person("Ann (you)").waitFor();
    await ben.goTo("lobby");
  });

  await test("who is typing is seen by the others until they have said it", async () => {
    const [seen, own] = [ann, ben].map(({ page }) => page.locator("#typing"));
    await ben.page.getByRole("textbox", { name: /^Message/ }).pressSequentially("One mom");
    await seen.filter({ hasText: "Ben is typing…" }).waitFor();
    assert.equal(await own.textContent(), "");
    await ben.takes("phone-typing");
    await ann.takes("desktop-typing");
    await ben.says("One moment.");
    await ann.sees("One moment.");
    await seen.filter({ hasText: /^$/ }).waitFor({ state: "attached" });
  });

  await test("one's own messages stand apart, once", async () => {
    const mine = ann.page.locator(".message.mine", { hasText: "Good morning!" });
    assert.equal(await mine.count(), 1);
    assert.equal(await ben.page.locator(".message.mine", { hasText: "Good morning!" }).count(), 0);
    await ann.page.locator(".unsent").waitFor({ state: "detached" });
  });

  await test("a name has the same colour in both windows", async () => {
    const colour = (window, text) =>
      window.message(text).evaluate((item) => item.style.getPropertyValue("--hue"));
    assert.equal(await colour(ann, "on the train"), await colour(ben, "on the train"));
  });

  await test("text that looks like HTML stays text", async () => {
    await ben.says('<img src="x" onerror="document.title = 1"> <b>not bold</b>');
    await ann.sees("<b>not bold</b>");
    assert.equal(await ann.page.locator(".body *").count(), 0);
  });

  await test("a message of nothing but spaces is not sent", async () => {
    const before = ann.saw(ann.sent, "new_msg");
    await ann.says("   ");
    await ann.says("Still here.");
    await ben.sees("Still here.");
    assert.equal(ann.saw(ann.sent, "new_msg"), before + 1);
  });

  await test("a room that is not on the screen counts what was said there", async () => {
    await ben.goTo("random");
    await ben.says("Has anybody seen my umbrella?");
    await ann.page.getByRole("button", { name: "# random 1 unread" }).waitFor();
    assert.equal(await ann.page.title(), "(1) roost chat");
    await ann.goTo("random");
    await ann.sees("Has anybody seen my umbrella?");
    assert.equal(await ann.page.title(), "roost chat");
    await ann.page.keyboard.press("Alt+ArrowUp");
    await ben.goTo("lobby");
  });

  await test("the name and the history are there again after a reload", async () => {
    await ann.page.reload();
    await ann.is("online");
    await ann.page.locator(".message.mine", { hasText: "Good morning!" }).waitFor();
    assert.equal(await ann.page.getByRole("dialog").count(), 0);
  });

  await test("the page is worth looking at", async () => {
    await ann.goTo("cpp");
    await ben.goTo("cpp");
    const cleo = await Visitor.open(browser, server, "Cleo Martin", desktop);
    await cleo.enter();
    await cleo.goTo("cpp");
    await converse({ ...both, cleo }, [
      ["ben", "Our worker threw in production last night."],
      ["ben", "Nobody noticed. Its supervisor had it back before I had found my glasses."],
      ["ann", "That is the idea: let it crash, and begin again from a state that is known."],
      ["cleo", "And the people in the room?"],
      ["ann", "They stayed. Only the room's memory begins anew."],
      ["cleo", "So what do you do with a process that crashes all the time?"],
      ["ben", "More than three times in five seconds and its supervisor gives up as well. Then the "
        + "supervisor above decides, and so on.\nAt the very top the program ends, loudly."],
      ["ann", "A tree of people who each know when to give up. I like it."],
      ["cleo", "Let me try the red button up there…"],
    ]);
    await ann.takes("desktop");
    await ben.takes("phone");
    await ann.page.emulateMedia({ colorScheme: "dark" });
    await ben.page.emulateMedia({ colorScheme: "light" });
    await ann.takes("desktop-dark");
    await ben.takes("phone-light");
    await ann.page.emulateMedia({ colorScheme: "light" });
    await ben.page.emulateMedia({ colorScheme: "dark" });
    await cleo.context.close();
    await ann.goTo("lobby");
    await ben.goTo("lobby");
  });

  await test("a killed room is restarted, and both windows carry on", async () => {
    const answer = await fetch(`${server.url}/admin/crash_room?room=lobby`, { method: "POST" });
    assert.equal(answer.status, 200);
    assert.match(await answer.text(), /^killed <0\.\d+\.\d+>/);
    const about = (line, what) => line.message === what && line.child === "room:lobby";
    await server.logged((line) => about(line, "child terminated") && line.reason === "killed");
    await server.logged((line) => about(line, "child started"), 2);

    await ann.says("Did you notice anything?");
    await ben.sees("Did you notice anything?");
    await ben.says("Not a thing.");
    await ann.sees("Not a thing.");
    for (const one of [ann, ben]) {
      await one.is("online");
      assert.equal(one.saw(one.received, "phx_error"), 0, "no channel should have crashed");
      await one.sees("Good morning!");  // what was on the screen stays there
    }
  });

  await test("the restarted room has a new memory", async () => {
    const dora = await Visitor.open(browser, server, "Dora", desktop);
    await dora.enter();
    await dora.sees("Not a thing.");
    assert.equal(await dora.message("Good morning!").count(), 0);
    await dora.context.close();
  });

  await test("a crashed channel gets phx_error, joins again by itself and goes on", async () => {
    const joins = ann.saw(ann.sent, "phx_join");
    await ann.page.getByRole("button", { name: "Crash my channel" }).click();
    await ann.note("Your channel crashed").waitFor();
    assert.equal(ann.saw(ann.received, "phx_error"), 1);
    await ann.note("You are back in the room.").waitFor();
    await ann.is("online");
    assert.equal(ann.saw(ann.sent, "phx_join"), joins + 1, "one join, of the crashed channel only");

    await ann.says("I am back.");
    await ben.sees("I am back.");
    await ben.says("You were away?");
    await ann.sees("You were away?");
    assert.equal(await ann.page.locator(".message", { hasText: "Not a thing." }).count(), 1);
    assert.equal(ben.saw(ben.received, "phx_error"), 0);
    await ann.takes("desktop-after-a-crash");
  });

  await test("rooms refuse what they should", async () => {
    const name = "Eve", long = "é".repeat(2000);
    const answers = await ann.page.evaluate(talkToRooms, [
      { room: "random", name: "" },
      { room: "random", name: " \n " },
      { room: "random", name: 7 },
      { room: "random", name: "ü".repeat(31) },
      { room: "attic", name },
      { room: "random", name: ` ${"ü".repeat(30)} `, bodies: ["", " ", 7, `${long}é`, long] },
    ]);
    const reasons = answers.map(({ status, reason }) => reason ?? status);
    assert.deepEqual(reasons, [
      ...Array(4).fill("invalid_name"), "no_such_room",
      "ok", ...Array(4).fill("invalid_body"), "ok",
    ]);
  });

  await test("a room remembers the latest fifty messages, in order", async () => {
    const bodies = Array.from({ length: 60 }, (_, i) => `message ${i}`);
    const answers = await ben.page.evaluate(
      talkToRooms, [{ room: "random", name: "Eve", bodies }, { room: "random", name: "Eve" }]);
    const { messages } = answers.at(-1);
    assert.deepEqual(messages.map(({ body }) => body), bodies.slice(-50));
    assert.ok(messages.every(({ id }, i) => i === 0 || id > messages[i - 1].id));
    const age = Date.now() - messages.at(-1).at;
    assert.ok(age > -1000 && age < 60_000, `expected a time of now, got one of ${age} ms ago`);
    await ben.page.getByRole("button", { name: "# random 61 unread" }).waitFor();
  });

  await test("nothing went wrong in the pages so far", async () => {
    assert.deepEqual([...ann.errors, ...ben.errors], []);
  });

  await test("SIGTERM ends the server in order, with code 0", async () => {
    assert.equal(await server.stop(), 0);
    await ann.is("reconnecting");
    await ben.is("reconnecting");
  });

  await test("what is written meanwhile is sent when the server is back", async () => {
    await ann.says("Written while you were away.");
    await ann.page.locator(".unsent").waitFor();
    await ben.takes("phone-reconnecting");
    await server.start(server.port);
    await ann.is("online");
    await ben.is("online");
    await ben.sees("Written while you were away.");
    await ann.page.locator(".unsent").waitFor({ state: "detached" });
  });
}

async function storyOfTwoNodes(test, browser, [first, second]) {
  const ann = await Visitor.open(browser, first, "Ann", desktop);
  const ben = await Visitor.open(browser, first, "Ben", phone);
  const choice = ben.page.getByLabel("Node of the cluster");
  const goTo = async (server) => {
    await choice.selectOption(server.node);
    await ben.note(`You are on ${server.node} now.`).last().waitFor();
    await ben.is("online");
    assert.equal(await choice.inputValue(), server.node, "it should have stayed there");
  };

  await test("the page offers the other node once the two have found each other", async () => {
    await ann.enter();
    await ben.enter();
    await choice.waitFor();
    for (const [one, other] of [[first, second], [second, first]]) {
      const { others } = await (await fetch(`${one.url}/nodes`)).json();
      assert.deepEqual(others, [{ node: other.node, url: other.url }]);
    }
    await ben.page.waitForFunction(() => document.querySelectorAll("#node option").length === 2);
  });

  await test("a window that goes to the other node is in the same room", async () => {
    await goTo(second);
    await ann.person("Ben", second.node.split("@")[0]).waitFor();
    await ben.person("Ann", first.node.split("@")[0]).waitFor();
    await ben.says("Hello from the other node.");
    await ann.sees("Hello from the other node.");
    await ann.says("Loud and clear.");
    await ben.sees("Loud and clear.");
    await ben.takes("phone-on-another-node");
    await goTo(first);
    await ben.says("And back.");
    await ann.sees("And back.");
    await goTo(second);
  });

  await test("when its node is killed, the window goes on at the other one", async () => {
    await second.kill();
    await ben.note(`You are on ${first.node} now.`).last().waitFor();
    await ben.is("online");
    await ann.person("Ben", first.node.split("@")[0]).waitFor();
    await ben.says("Mine has died.");
    await ann.sees("Mine has died.");
    await ann.takes("desktop-after-the-loss-of-a-node");
    assert.ok(ben.sockets.some((url) => url.includes(`:${second.port}/`)), `${ben.sockets}`);
  });
}

async function storyOfTransports(test, browser, server, secure) {
  const ann = await Visitor.open(browser, server, "Ann", { ...desktop, withoutWebSockets: true });
  const ben = await Visitor.open(browser, secure, "Ben", { ...phone, ignoreHTTPSErrors: true });

  await test("a page without WebSockets polls, one that came by https speaks wss", async () => {
    await ann.enter();
    await ben.enter();
    assert.ok(ann.polls.length > 0 && ann.sockets.length === 0, `${ann.sockets}`);
    assert.ok(ben.sockets.every((url) => url.startsWith("wss://")), `${ben.sockets}`);
    assert.equal(ben.polls.length, 0);
  });

  await test("both are in the same room and see each other", async () => {
    await ann.person("Ben").waitFor();
    await ben.person("Ann").waitFor();
    await ann.says("I have to ask for everything.");
    await ben.sees("I have to ask for everything.");
    await ben.says("Nobody reads along here.");
    await ann.sees("Nobody reads along here.");
    await ann.takes("desktop-long-polling");
  });

  await test("a page that polls joins again when its channel crashes", async () => {
    await ann.page.getByRole("button", { name: "Crash my channel" }).click();
    await ann.note("You are back in the room.").waitFor();
    await ann.says("Still polling.");
    await ben.sees("Still polling.");
    assert.deepEqual([...ann.errors, ...ben.errors], []);
  });

  await test("both come back when the server was away", async () => {
    assert.equal(await server.stop(), 0);
    await ann.is("reconnecting");
    await ben.is("reconnecting");
    await server.start(server.port);
    await ann.is("online");
    await ben.is("online");
    await ann.says("There you are.");
    await ben.sees("There you are.");
  });
}

/// A certificate that nobody has signed, and the settings of a server that shows it.
function certificate(folder, port) {
  const [certfile, keyfile] = ["cert.pem", "key.pem"].map((name) => path.join(folder, name));
  execFileSync("openssl", [
    "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1",
    "-subj", "/CN=localhost", "-keyout", keyfile, "-out", certfile,
  ], { stdio: "ignore" });
  return [`certfile=${certfile}`, `keyfile=${keyfile}`, `port=${port}`].map(
    (setting) => `endpoint.https.${setting}`);
}

// --- running it ----------------------------------------------------------------------------------

async function load() {
  assert.ok(fs.existsSync(program), `expected a program, got ${program}`);
  const browser = process.env.CHROMIUM ?? "/usr/bin/chromium";
  assert.ok(fs.existsSync(browser), `expected ${browser}, run script/bootstrap`);
  const { chromium } = await import("playwright-core").catch(() => {
    throw new Error("expected tests/browser/node_modules, run script/bootstrap");
  });
  return chromium.launch({ executablePath: browser, args: flags, timeout: 60_000 });
}

async function main() {
  let passed = 0, failed = 0;
  const test = async (title, run) => {
    const error = await run().then(() => null, (thrown) => thrown);
    if (error) failed += 1; else passed += 1;
    console.log(`${error ? "FAIL" : "PASS"} ${title}`);
    if (error) console.log(`     ${error.stack ?? error}`);
  };

  fs.mkdirSync(screenshots, { recursive: true });
  const browser = await load();
  const server = new Server(program);
  const cluster = [];
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "chat-"));
  try {
    await server.start();
    await story(test, browser, server);
    await test("the server ends in order once more", async () => {
      assert.equal(await server.stop(), 0);
    });
    const names = ["one", "two"].map((name) => `chat${process.pid}${name}`);
    const hosts = names.map((name) => `${name}@127.0.0.1`);
    cluster.push(...names.map((name) => new Server(program, { name, hosts })));
    for (const one of cluster) await one.start();
    await storyOfTwoNodes(test, browser, cluster);
    const port = await freePort();
    const other = new Server(
      program, { name: `chat${process.pid}tls`, more: certificate(folder, port) });
    cluster.push(other);
    await other.start();
    await storyOfTransports(test, browser, other, { url: `https://127.0.0.1:${port}` });
  } finally {
    await browser.close();
    for (const one of [server, ...cluster]) await one.kill();
    fs.rmSync(folder, { recursive: true });
  }
  if (failed)
    for (const one of [server, ...cluster])
      console.log(`--- ${one.node} wrote\n${one.text()}`);
  console.log(`${passed} passed, ${failed} failed`);
  return failed ? 1 : 0;
}

main().then((code) => process.exit(code), (error) => {
  console.log(error.stack ?? error);
  console.log("0 passed, 1 failed");
  process.exit(1);
});
