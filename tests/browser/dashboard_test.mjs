#!/usr/bin/env node
// The dashboards of three nodes of the chat, looked at by a desktop and a phone, while clients come,
// talk, crash and go. The steps build on each other like a story.
//
//   tests/browser/dashboard_test.mjs PROGRAM
//
// Screenshots go to ../screenshots beside the program's directory. Needs Debian's chromium, or the
// browser that $CHROMIUM names.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import http from "node:http";
import { createRequire } from "node:module";
import path from "node:path";
import { gzipSync } from "node:zlib";
import { flags, phone } from "./browser.mjs";
import { freePort, Server } from "./server.mjs";

const program = path.resolve(process.argv[2] ?? "");
const screenshots = path.resolve(path.dirname(program), "../screenshots");
const patience = 20_000;  // ms; a condition that holds is not waited for
const heaviest = 300 * 1024;

const user = "ann", password = "correct horse battery", token = "a token that nobody guesses";

const desktop = { viewport: { width: 1360, height: 900 }, colorScheme: "light" };
const nasty = "<img src=x onerror=alert(1)>";
const pages = ["Overview", "Processes", "Supervisors", "Sockets", "Presence", "Tables", "Links",
  "Alarms and errors", "Log"];

/// One person in front of one dashboard.
class Operator {
  static async open(browser, url, device) {
    const context = await browser.newContext({ locale: "en-GB", reducedMotion: "reduce", ...device });
    context.setDefaultTimeout(patience);
    return new Operator(context, await context.newPage(), url);
  }

  constructor(context, page, url) {
    Object.assign(this, { context, page, url, errors: [], sockets: [] });
    page.on("pageerror", (error) => this.errors.push(error.message));
    page.on("console", (line) => {
      if (line.type() === "error") this.errors.push(line.text());
    });
    page.on("websocket", (socket) => this.sockets.push(socket.url()));
  }

  async enter() {
    await this.page.goto(`${this.url}/dashboard`);
    await this.online();
  }

  async online() {
    await this.page.locator("#connection[data-state=online]").waitFor();
  }

  async goTo(title) {
    await this.page.locator(`nav a[data-page=${title.split(" ")[0].toLowerCase()}]`).click();
    await this.page.getByRole("heading", { level: 1, name: title, exact: true }).waitFor();
  }

  async choose(node) {
    await this.page.getByLabel("Node", { exact: true }).selectOption(node);
  }

  table(name) {
    return this.page.getByRole("table", { name, exact: true });
  }

  row(table, text) {
    return this.table(table).locator("tbody tr").filter({ hasText: text });
  }

  /// The number in a tile of the overview.
  async tile(name) {
    const text = await this.page.locator(".tiles > div", { hasText: name }).locator("dd").first()
      .textContent();
    return Number(text.replaceAll(",", "").split(" ")[0]);
  }

  async until(what, holds) {
    const end = Date.now() + patience;
    for (;;) {
      const found = await holds();
      if (found) return found;
      if (Date.now() > end) throw new Error(`expected ${what}`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  panel() {
    return this.page.getByRole("dialog");
  }

  async takes(picture, options = {}) {
    await this.page.screenshot({ path: path.join(screenshots, `${picture}.png`), ...options });
  }

  /// Asks the console as the page does, by hand: what the page has no button for.
  ask(name, args, node) {
    return this.page.evaluate(async ([name, args, node]) => {
      const { token } = await (await fetch("dashboard/token")).json();
      const socket = new WebSocket(
        `${location.origin.replace("http", "ws")}/dashboard/socket/websocket?vsn=2.0.0`,
        ["phoenix", `base64url.bearer.phx.${btoa(token).replace(/=/g, "")}`]);
      const answers = new Promise((resolve, reject) => {
        socket.onerror = () => reject(new Error("refused"));
        socket.onopen = () => socket.send(JSON.stringify(["1", "1", "console", "phx_join", {}]));
        socket.onmessage = ({ data }) => {
          const [, ref, , , { response }] = JSON.parse(data);
          if (ref === "1")
            socket.send(JSON.stringify(
              ["1", "2", "console", "ask", { function: name, arguments: args, node }]));
          else resolve(response);
        };
      });
      const answer = await answers;
      socket.close();
      return answer;
    }, [name, args, node]);
  }

  /// How often each answer came to so many questions at once.
  flood(count) {
    return this.page.evaluate(async (count) => {
      const { token } = await (await fetch("dashboard/token")).json();
      const socket = new WebSocket(
        `${location.origin.replace("http", "ws")}/dashboard/socket/websocket?vsn=2.0.0`,
        ["phoenix", `base64url.bearer.phx.${btoa(token).replace(/=/g, "")}`]);
      const seen = {};
      await new Promise((resolve) => {
        socket.onopen = () => socket.send(JSON.stringify(["1", "1", "console", "phx_join", {}]));
        socket.onmessage = ({ data }) => {
          const [, ref, , , { response }] = JSON.parse(data);
          if (ref === "1") {
            for (let at = 0; at < count; at += 1)
              socket.send(JSON.stringify(["1", `${at + 2}`, "console", "ask", { function: "Node.self" }]));
            return;
          }
          const what = response.reason ?? "answered";
          seen[what] = (seen[what] ?? 0) + 1;
          if (Object.values(seen).reduce((sum, one) => sum + one, 0) === count) resolve();
        };
      });
      socket.close();
      return seen;
    }, count);
  }

  async isAccessible(what) {
    const { violations } = await this.page.evaluate(`${axe()}
      axe.run(document, { resultTypes: ["violations"] })`);
    const bad = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
    const told = bad.map(({ id, help, nodes }) =>
      `${id}: ${help}: ${nodes.slice(0, 3).map((one) => `${one.html.slice(0, 200)} ${one.any[0]?.message ?? ""}`).join(" ")}`);
    assert.deepEqual(told, [], `of ${what}`);
  }
}

let axeSource = "";
function axe() {
  axeSource ||= fs.readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
  return axeSource;
}

/// Clients of the chat in a page of their own: they join rooms, and talk until they are told to stop.
class Crowd {
  static async open(browser, server, size) {
    const page = await (await browser.newContext()).newPage();
    await page.goto(server.url);
    await page.evaluate(async ([size, nasty]) => {
      const { Socket } = await import("/vendor/phoenix.mjs");
      window.crowd = await Promise.all(Array.from({ length: size }, async (_, at) => {
        const socket = new Socket("/socket");
        socket.connect();
        const room = socket.channel(at % 3 ? "room:lobby" : "room:cpp", { name: at === 2 ? nasty : `visitor ${at}` });
        await new Promise((resolve, reject) =>
          room.join().receive("ok", resolve).receive("error", reject));
        return { socket, room };
      }));
      window.talk = setInterval(() => {
        for (const { room } of window.crowd) room.push("typing", {});
        window.crowd[0].room.push("new_msg", { body: "hello" });
      }, 100);
    }, [size, nasty]);
    return new Crowd(page);
  }

  constructor(page) {
    this.page = page;
  }

  crash() {
    return this.page.evaluate(() => { window.crowd[1].room.push("crash_me", {}); });
  }

  async leave() {
    await this.page.context().close();
  }
}

/// The status and the headers of one request.
function request(url, { headers = {}, method = "GET", body = "" } = {}) {
  return new Promise((resolve, reject) => {
    const sent = http.request(url, { method, headers }, (response) => {
      let text = "";
      response.on("data", (part) => { text += part; });
      response.on("end", () => resolve({ status: response.statusCode, headers: response.headers, text }));
    });
    sent.on("upgrade", (response, socket) => {
      socket.destroy();
      resolve({ status: 101 });
    });
    sent.on("error", reject);
    sent.end(body);
  });
}

const basic = (name, secret) => ({ authorization: `Basic ${btoa(`${name}:${secret}`)}` });
const upgrade = (more = {}) => ({
  connection: "Upgrade", upgrade: "websocket", "sec-websocket-version": "13",
  "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==", ...more,
});

async function storyOfTheDoor(test, browser, [one, two]) {
  await test("a dashboard that others could reach without a password does not start", async () => {
    for (const [settings, reason] of [
      [["operations.http.enabled=true", "operations.http.ip=0.0.0.0"], /dashboard\.password/],
      [["operations.http.enabled=true", "operations.trusted_proxies=[10.0.0.1]"], /dashboard\.password/],
      [["operations.http.enabled=true", "operations.dashboard.password=short"], /8 characters/],
      [[], /http\.enabled/],
    ]) {
      const all = ["operations.dashboard.enabled=true", "endpoint.http.port=0", ...settings];
      const { status, stderr } = spawnSync(
        program, ["start", "--name", `dash${process.pid}never@127.0.0.1`, ...all.flatMap((text) => ["--set", text])],
        { encoding: "utf8", timeout: patience });
      assert.equal(status, 2, stderr);
      assert.match(stderr, reason);
      assert.ok(!stderr.includes("short"), stderr);
    }
  });

  const page = `${one.dashboard}/dashboard`;

  await test("nobody comes in without the password, and guessing is logged", async () => {
    for (const where of [page, `${page}/token`]) {
      const answer = await request(where);
      assert.equal(answer.status, 401);
      assert.match(answer.headers["www-authenticate"], /^Basic /);
      assert.ok(!answer.text.includes("token\":"));
    }
    for (const guess of [basic(user, "wrong password"), basic("eve", password), basic("", ""),
      { authorization: "Basic %%%" }, { authorization: `Bearer ${password}` }, { cookie: "roost_dashboard=x" }])
      assert.equal((await request(page, { headers: guess })).status, 401);
    assert.equal((await request(page, { headers: basic(user, password) })).status, 200);
    await one.logged((line) => line.message === "somebody was refused at the dashboard");
  });

  await test("the page is guarded by headers, and light", async () => {
    const { headers, text } = await request(page, { headers: basic(user, password) });
    assert.match(headers["content-security-policy"], /default-src 'none'; script-src 'self'; style-src 'self'/);
    assert.ok(!headers["content-security-policy"].includes("unsafe"));
    assert.equal(headers["x-frame-options"], "DENY");
    assert.equal(headers["x-content-type-options"], "nosniff");
    assert.equal(headers["cache-control"], "no-store");
    assert.ok(!/<script(?![^>]*src=)|style=|\son\w+=/.test(text), "there should be nothing inline");
    let size = gzipSync(text).length;
    for (const [, file] of text.matchAll(/(?:src|href)="(dashboard\/assets\/[^"]+)"/g)) {
      const asset = await request(`${one.dashboard}/${file}`, { headers: { "accept-encoding": "gzip" } });
      assert.equal(asset.status, 200);
      assert.equal(asset.headers["content-encoding"], "gzip");
      size += Number(asset.headers["content-length"]);
    }
    assert.ok(size < heaviest, `${size} bytes`);
    console.log(`     ${Math.round(size / 1024)} KB compressed`);
  });

  await test("the socket wants a token of its own, and only from its own page", async () => {
    const socket = `${one.dashboard}/dashboard/socket/websocket?vsn=2.0.0`;
    assert.equal((await request(socket, { headers: upgrade() })).status, 403);
    assert.equal((await request(socket, { headers: upgrade(basic(user, password)) })).status, 403);
    const signed = await request(`${page}/token`, { headers: basic(user, password) });
    const carried = (text) => ({
      "sec-websocket-protocol": `phoenix, base64url.bearer.phx.${btoa(text).replace(/=/g, "")}` });
    const good = carried(JSON.parse(signed.text).token);
    assert.equal((await request(socket, { headers: upgrade(good) })).status, 101);
    assert.equal((await request(socket, { headers: upgrade(carried("nonsense")) })).status, 403);
    assert.equal((await request(socket, {
      headers: upgrade({ ...good, origin: "http://elsewhere.example" }) })).status, 403);
    assert.equal((await request(socket, { headers: upgrade({ ...good, origin: one.dashboard }) })).status, 101);
  });

  await test("a node with a token asks for it, and a wrong one is refused", async () => {
    const bea = await Operator.open(browser, two.dashboard, desktop);
    await bea.page.goto(`${two.dashboard}/dashboard`);
    await bea.isAccessible("the form");
    await bea.takes("dashboard-sign-in");
    await bea.page.getByLabel("Token").fill("a token that somebody guesses");
    await bea.page.getByRole("button", { name: "Sign in" }).click();
    await bea.page.getByLabel("Token").waitFor();
    assert.match(bea.page.url(), /sign_in$/);
    await bea.page.getByLabel("Token").fill(token);
    await bea.page.getByRole("button", { name: "Sign in" }).click();
    await bea.online();
    assert.match(bea.page.url(), /\/dashboard$/);
    await bea.page.getByRole("button", { name: "Sign out" }).click();
    await bea.page.getByLabel("Token").waitFor();
    await bea.context.close();
    const { status, headers } = await request(`${two.dashboard}/dashboard?token=${encodeURIComponent(token)}`);
    assert.equal(status, 303);
    assert.match(headers["set-cookie"][0], /HttpOnly; SameSite=Strict/);
  });
}

async function storyOfLooking(test, browser, [one, two, three]) {
  const ann = await Operator.open(browser, one.dashboard, { ...desktop, httpCredentials: { username: user, password } });
  let crowd;

  await test("the overview has all nodes, and its numbers follow the load", async () => {
    await ann.enter();
    for (const { node } of [one, two, three]) await ann.row("All nodes", node).filter({ hasText: "ready" }).waitFor();
    const before = { sockets: await ann.tile("Sockets"), processes: await ann.tile("Processes") };
    crowd = await Crowd.open(browser, one, 30);
    await ann.until("30 sockets more", async () => (await ann.tile("Sockets")) >= before.sockets + 30);
    await ann.until("60 processes more", async () => (await ann.tile("Processes")) >= before.processes + 60);
    const messages = ann.page.locator("figure", { hasText: "Messages handled" });
    await ann.until("messages", async () => parseFloat((await messages.locator(".now").textContent()).replace(",", "")) > 100);
    const shown = () => messages.locator(".now").textContent();
    const then = await shown();
    await ann.until("another number", async () => (await shown()) !== then);
    await ann.until("a text for the chart", async () =>
      /now, between .* and /.test(await messages.getByRole("img").getAttribute("aria-label")));
    assert.ok(await messages.locator("canvas").evaluate((canvas) => {
      const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      return new Set(data).size > 20;
    }), "something should be drawn");
  });

  await test("processes are sorted and found, and one tells all about itself", async () => {
    await ann.goTo("Processes");
    await ann.page.getByRole("button", { name: "Messages", exact: true }).click();
    const counts = async () => (await ann.table("Processes").locator("tbody tr td:nth-child(5)").allTextContents())
      .map((text) => Number(text.replaceAll(",", "")));
    await ann.until("the busiest first", async () => {
      const all = await counts();
      return all.length > 5 && all.every((value, at) => at === 0 || value <= all[at - 1]);
    });
    await ann.takes("dashboard-processes");
    await ann.page.getByLabel("Find", { exact: true }).fill("room:lobby");
    await ann.until("one process", async () => (await ann.table("Processes").locator("tbody tr").count()) === 1);
    await ann.row("Processes", "room:lobby").getByRole("button").click();
    await ann.panel().getByRole("heading", { name: "room:lobby" }).waitFor();
    await ann.panel().getByText("chat::room").first().waitFor();
    await ann.panel().getByRole("button", { name: "Look at its state" }).click();
    await ann.until("its state", async () => (await ann.panel().getByLabel("State", { exact: true }).textContent()).length > 3);
    await ann.isAccessible("the panel");
    await ann.takes("dashboard-process");
    const parent = ann.panel().locator("section", { hasText: "Parent" }).getByRole("button").first();
    await parent.click();
    await ann.panel().getByRole("heading", { name: /rooms/ }).waitFor();
    await ann.panel().getByRole("button", { name: "Back" }).click();
    await ann.panel().getByRole("heading", { name: "room:lobby" }).waitFor();
  });

  await test("a dashboard that may only look has no buttons for more, and the server refuses", async () => {
    await ann.panel().getByText("only looks").waitFor();
    assert.equal(await ann.panel().getByRole("button", { name: "Kill" }).count(), 0);
    for (const [name, args] of [["Process.exit", ["room:lobby", "kill"]],
      ["Supervisor.terminate_child", ["rooms", "room:lobby"]], ["Endpoint.drain", []],
      ["sys.replace_state", ["room:lobby", {}]], ["GenServer.call", ["room:lobby", "x"]]]) {
      const { reason } = await ann.ask(name, args);
      assert.match(reason, /needs an admin/, name);
    }
    assert.match((await ann.ask("Process.exit", ["room:lobby", "kill"], two.node)).reason, /needs an admin/);
    assert.match((await ann.ask("Node.self", [], "evil@127.0.0.1")).reason, /a node of the cluster/);
    await ann.page.keyboard.press("Escape");
    await ann.panel().waitFor({ state: "hidden" });
  });

  await test("nonsense is answered, and whoever asks too much is told to slow down", async () => {
    assert.match((await ann.ask(5, [])).reason, /expected \{function: text/);
    assert.match((await ann.ask("Node.self", "x")).reason, /arguments: list/);
    assert.match((await ann.ask("No.such", [])).reason, /undefined function No\.such/);
    const seen = await ann.flood(600);
    // How many are let through depends on how long the flood takes here.
    assert.ok(seen.answered > 0 && seen["slow down"] > 0, JSON.stringify(seen));
  });

  await test("another node is chosen, and the page is about it", async () => {
    await ann.page.getByLabel("Find", { exact: true }).fill("console");
    await ann.choose(two.node);
    await ann.goTo("Supervisors");
    await ann.page.getByRole("treeitem", { name: two.node }).waitFor();
    assert.match(ann.page.url(), /node=/);
    await ann.page.reload();
    await ann.page.getByRole("treeitem", { name: two.node }).waitFor();
    await ann.goTo("Sockets");
    await ann.row("Endpoints", String(two.port)).waitFor();
    await ann.choose(one.node);
    await ann.row("Endpoints", String(one.port)).waitFor();
  });

  await test("the supervision tree is drawn, folds, and is walked by keys", async () => {
    await ann.goTo("Supervisors");
    const lobby = ann.page.getByRole("treeitem", { name: "room:lobby" });
    await lobby.waitFor();
    assert.ok((await ann.page.locator(".branches path").getAttribute("d")).split("M").length > 10);
    await ann.takes("dashboard-supervisors");
    const root = ann.page.getByRole("treeitem", { name: one.node });
    await root.focus();
    await ann.page.keyboard.press("ArrowLeft");
    await lobby.waitFor({ state: "detached" });
    await ann.page.keyboard.press("ArrowRight");
    await lobby.waitFor();
    await ann.page.keyboard.press("ArrowRight");
    await ann.until("the focus on a child", () =>
      ann.page.evaluate(() => document.activeElement.getAttribute("aria-level") === "2"));
    await lobby.click();
    await ann.panel().getByRole("heading", { name: "room:lobby" }).waitFor();
    await ann.panel().getByRole("button", { name: "Close" }).click();
  });

  await test("sockets lead to channels, topics have listeners, and people are present", async () => {
    await ann.goTo("Sockets");
    await ann.row("Topics", "room:lobby").waitFor();
    await ann.takes("dashboard-sockets");
    await ann.row("Sockets", "chat::").first().getByRole("button").click();
    await ann.panel().getByRole("heading", { name: "Channels (1)" }).waitFor();
    await ann.panel().locator(".channels").getByText("room:").waitFor();
    await ann.page.keyboard.press("Escape");
    await ann.goTo("Presence");
    await ann.page.getByLabel("Topic", { exact: true }).fill("room:lobby");
    await ann.row("Who is there", "visitor 1").first().waitFor();
    // Whatever somebody calls himself stays text.
    await ann.row("Who is there", nasty).waitFor();
    assert.equal(await ann.page.locator("main img").count(), 0);
    await ann.takes("dashboard-presence");
  });

  await test("tables and links are listed", async () => {
    await ann.goTo("Tables");
    await ann.page.getByRole("heading", { name: "Registries" }).waitFor();
    await ann.takes("dashboard-tables");
    await ann.goTo("Links");
    for (const { node } of [two, three]) await ann.row("Links to other nodes", node).waitFor();
    await ann.until("a rate", async () => /\d B\/s|KB\/s/.test(await ann.row("Links to other nodes", two.node).textContent()));
    await ann.takes("dashboard-links");
  });

  await test("what crashes is told of, in the log too", async () => {
    await crowd.crash();
    await ann.goTo("Alarms and errors");
    const recent = ann.page.getByRole("region", { name: "Recent crash reports" }).locator("details");
    await recent.filter({ hasText: "crashed" }).locator("summary").first().click();
    await recent.locator("dl").first().waitFor();
    const group = ann.page.getByRole("region", { name: "Errors, grouped" }).locator("details");
    await group.filter({ hasText: "crashed on demand" }).locator("summary").click();
    await group.getByText("stack").waitFor();
    assert.match((await ann.ask("Errors.clear", [])).reason, /needs an admin/);
    await ann.takes("dashboard-alarms");
    await ann.goTo("Log");
    await ann.page.getByRole("listitem").filter({ hasText: "crashed" }).first().waitFor();
    await ann.takes("dashboard-log");
    await ann.page.getByLabel("From level").selectOption("error");
    assert.equal(await ann.page.locator(".log [data-level=info]:visible").count(), 0);
    await ann.page.getByLabel("Find", { exact: true }).fill("no such line");
    await ann.page.getByText("No line fits.").waitFor();
  });

  await test("a page is taken for what it is by those who do not see it", async () => {
    for (const colorScheme of ["light", "dark"]) {
      await ann.page.emulateMedia({ colorScheme });
      for (const title of pages) {
        await ann.goTo(title);
        await ann.page.waitForTimeout(1_300);  // so that there is something on it
        await ann.isAccessible(`${title}, ${colorScheme}`);
        await ann.takes(`dashboard-${title.split(" ")[0].toLowerCase()}-${colorScheme}`);
      }
    }
    await ann.page.emulateMedia({ colorScheme: "light" });
  });

  await test("on a phone nothing is cut off", async () => {
    const pam = await Operator.open(browser, one.dashboard, { ...phone, httpCredentials: { username: user, password } });
    await pam.enter();
    for (const title of pages) {
      await pam.goTo(title);
      await pam.page.waitForTimeout(1_300);
      const [wide, shown] = await pam.page.evaluate(() =>
        [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
      assert.ok(wide <= shown, `${title} is ${wide} wide, of ${shown}`);
      await pam.isAccessible(`${title} on a phone`);
      await pam.takes(`dashboard-phone-${title.split(" ")[0].toLowerCase()}`);
    }
    await pam.goTo("Processes");
    await pam.page.getByLabel("Find", { exact: true }).fill("room:lobby");
    await pam.row("Processes", "room:lobby").getByRole("button").click();
    await pam.panel().getByRole("heading", { name: "room:lobby" }).waitFor();
    await pam.takes("dashboard-phone-process");
    assert.deepEqual(pam.errors, []);
    await pam.context.close();
  });

  await test("no token is in an address, and the page has nothing to complain of", async () => {
    assert.ok(ann.sockets.length > 0 && ann.sockets.every((url) => !/token/i.test(url)), `${ann.sockets}`);
    assert.deepEqual(ann.errors.filter((text) => !/needs an admin/.test(text)), []);
  });

  return { ann, crowd };
}

async function storyOfActing(test, browser, [one, two]) {
  const bea = await Operator.open(browser, two.dashboard, desktop);

  await test("where it is allowed, a process is killed, and the log says who did it", async () => {
    await bea.page.goto(`${two.dashboard}/dashboard?token=${encodeURIComponent(token)}`);
    await bea.online();
    assert.ok(!bea.page.url().includes("token"));
    await bea.goTo("Processes");
    await bea.page.getByLabel("Find", { exact: true }).fill("room:random");
    const row = bea.row("Processes", "room:random");
    const pid = await row.getByRole("cell").first().textContent();
    await row.getByRole("button").click();
    await bea.takes("dashboard-process-admin");
    await bea.panel().getByRole("button", { name: "Kill", exact: true }).click();
    await bea.panel().getByRole("button", { name: "Kill it?" }).click();
    await bea.panel().getByText("It was killed.").waitFor();
    await bea.panel().getByText("It has ended.").waitFor();
    await bea.panel().getByRole("button", { name: "Close" }).click();
    await bea.until("another pid", async () => {
      const [now] = await row.getByRole("cell").allTextContents();
      return now && now !== pid;
    });
    const audit = await two.logged((line) => line.message.endsWith("console command") &&
      line.function === "Process.exit" && line.outcome === "ok");
    assert.match(audit.who, /^dashboard: token from 127\.0\.0\.1$/);
    await bea.goTo("Log");
    await bea.page.getByRole("listitem").filter({ hasText: "console command" }).first().waitFor();
  });

  await test("a field of a state is replaced", async () => {
    await bea.goTo("Processes");
    await bea.page.getByLabel("Find", { exact: true }).fill("room:cpp");
    await bea.row("Processes", "room:cpp").getByRole("button").click();
    await bea.panel().getByRole("button", { name: "Look at its state" }).click();
    const state = bea.panel().getByLabel("State", { exact: true });
    await bea.until("its state", async () => /"limit": 50/.test(await state.textContent()));
    await bea.panel().getByText("Replace the state").click();
    await bea.panel().getByLabel("Fields to change, as JSON").fill('{"limit": 7}');
    await bea.panel().getByRole("button", { name: "Replace these fields" }).click();
    await bea.panel().getByText("The state was replaced.").waitFor();
    await bea.until("another state", async () => /"limit": 7/.test(await state.textContent()));
    await bea.isAccessible("the panel with its buttons");
    await bea.takes("dashboard-process-state");
    await bea.panel().getByRole("button", { name: "Close" }).click();
  });

  await test("an endpoint is drained, when asked twice", async () => {
    await bea.goTo("Sockets");
    await bea.page.getByRole("combobox", { name: "Endpoint" }).selectOption("endpoint");
    await bea.page.getByRole("button", { name: "Drain" }).click();
    assert.ok(!(await bea.row("Endpoints", String(two.port)).textContent()).includes("draining"));
    await bea.page.getByRole("button", { name: "Send its clients away?" }).click();
    await bea.row("Endpoints", String(two.port)).filter({ hasText: "draining" }).waitFor();
  });

  await test("a child is terminated and restarted, on another node too", async () => {
    await bea.choose(one.node);
    await bea.goTo("Supervisors");
    const child = bea.page.getByRole("treeitem", { name: "room:random" });
    await child.click();
    const press = async (name, again) => {
      await bea.panel().getByRole("button", { name, exact: true }).click();
      await bea.panel().getByRole("button", { name: again }).click();
    };
    await press("Terminate child", "Terminate it?");
    await bea.panel().getByText("The child was terminated.").waitFor();
    await press("Restart child", "Restart it?");
    await bea.panel().getByText("The child was restarted.").waitFor();
    await bea.panel().getByRole("button", { name: "Close" }).click();
    await child.filter({ hasText: "worker" }).waitFor();
    assert.deepEqual(bea.errors, []);
  });

  await test("errors are cleared where it is allowed", async () => {
    await bea.goTo("Alarms and errors");
    await bea.page.getByRole("button", { name: "Clear them" }).click();
    await bea.page.getByText("No error was seen.").waitFor();
  });

  await test("a page that only the role lets through is refused for what it has no button for", async () => {
    assert.match((await bea.ask("PubSub.broadcast", ["chat", "room:lobby", "x", {}])).reason, /needs an admin/);
  });
  await bea.context.close();
}

async function storyOfLosses(test, { ann, crowd }, [one, two, three]) {
  await test("nodes that are gone leave the list, and an alarm is set", async () => {
    await crowd.leave();
    await two.kill();
    await three.kill();
    await ann.goTo("Overview");
    await ann.row("All nodes", two.node).waitFor({ state: "detached" });
    await ann.goTo("Alarms and errors");
    await ann.until("an alarm", async () => (await ann.table("Alarms").locator("tbody tr").count()) > 0);
    await ann.takes("dashboard-alarm-set");
  });

  await test("the page comes back with its node", async () => {
    assert.equal(await one.stop(), 0);
    await ann.page.locator("#connection[data-state=reconnecting]").waitFor();
    await one.start(one.port);
    await ann.online();
    await ann.goTo("Processes");
    await ann.page.getByLabel("Find", { exact: true }).fill("room:lobby");
    await ann.row("Processes", "room:lobby").waitFor();
  });
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

async function begin(server) {
  await server.start();
  const listening = await server.logged(
    (line) => line.message === "listening" && line.endpoint === "operations");
  server.dashboard = `http://127.0.0.1:${listening.port}`;
}

async function main() {
  let passed = 0, failed = 0;
  const test = async (title, run) => {
    const begun = Date.now();
    const error = await run().then(() => null, (thrown) => thrown);
    if (error) failed += 1; else passed += 1;
    console.log(`${error ? "FAIL" : "PASS"} ${title} (${((Date.now() - begun) / 1000).toFixed(1)} s)`);
    if (error) console.log(`     ${error.stack ?? error}`);
  };

  fs.mkdirSync(screenshots, { recursive: true });
  const names = ["one", "two", "three"].map((name) => `dash${process.pid}${name}`);
  const hosts = names.map((name) => `${name}@127.0.0.1`);
  const dashboard = ["operations.http.enabled=true", "operations.dashboard.enabled=true"];
  const settings = [
    [...dashboard, `operations.dashboard.user=${user}`, `operations.dashboard.password=${password}`],
    [...dashboard, `operations.dashboard.token=${token}`, "operations.dashboard.allow_destructive_actions=true"],
    ["operations.http.enabled=true"],
  ];
  for (const some of settings) some.push(`operations.http.port=${await freePort()}`);
  const nodes = names.map((name, at) => new Server(
    program, { name, hosts, more: [...settings[at], "cluster.alarm_after=1s"] }));
  const browser = await load();
  try {
    for (const node of nodes) await begin(node);
    await storyOfTheDoor(test, browser, nodes);
    const people = await storyOfLooking(test, browser, nodes);
    await storyOfActing(test, browser, nodes);
    await storyOfLosses(test, people, nodes);
  } finally {
    await browser.close();
    for (const node of nodes) await node.kill();
  }
  if (failed) for (const node of nodes) console.log(`--- ${node.node} wrote\n${node.text().slice(-20_000)}`);
  console.log(`${passed} passed, ${failed} failed`);
  return failed ? 1 : 0;
}

main().then((code) => process.exit(code), (error) => {
  console.log(error.stack ?? error);
  console.log("0 passed, 1 failed");
  process.exit(1);
});
