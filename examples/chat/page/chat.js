// The page of the chat: one phoenix.js socket, to any node of the cluster, one channel for each room.
import { Presence, Socket } from "./vendor/phoenix.mjs";
import { Log, element, paint } from "./log.js";
import { Typing, drawPeople } from "./people.js";

const $ = (id) => document.getElementById(id);
const app = $("app"), body = $("body"), jump = $("jump");

const reasons = {
  invalid_name: "A name has 1 to 30 characters.",
  invalid_body: "Not sent: a message has 1 to 2,000 characters.",
  unavailable: "Not sent: the room was away for a moment.",
  timeout: "Not confirmed: no answer came.",
};

const rooms = [];
let name = localStorage.getItem("name") ?? "";
let current = null;
let socket = null;

// --- asking for a name ---------------------------------------------------------------------------

/// Opens the dialog until there is a name; `error` says what was wrong with the last one.
function askForName(error = "") {
  const dialog = $("welcome");
  $("name").value = name;
  $("name-error").textContent = error;
  if (!dialog.open) dialog.showModal();
  $("name").select();
  return new Promise((resolve) => {
    $("join").onsubmit = (event) => {
      const given = $("name").value.trim();
      if (given) return resolve(given);
      event.preventDefault();
      $("name-error").textContent = reasons.invalid_name;
    };
    dialog.oncancel = (event) => {
      if (name && !error) resolve(name);
      else event.preventDefault();  // there is no chat without a name
    };
  });
}

function useName(chosen) {
  name = chosen;
  localStorage.setItem("name", name);
  $("my-name").textContent = name;
  paint($("my-avatar"), name);
}

/// With another name everything begins anew: who is who is decided when a message is drawn.
async function changeName(error) {
  const chosen = await askForName(error);
  if (chosen === name && !error) return;
  localStorage.setItem("name", chosen);
  location.reload();
}

// --- rooms ---------------------------------------------------------------------------------------

class Room {
  unread = 0;
  draft = "";
  people = [];
  typing = new Typing(() => this === current && showTyping());
  #told = 0;  // when the others were told last that we are typing

  constructor(title) {
    this.title = title;
    this.log = new Log(title, (author) => author === name);
    this.log.element.hidden = true;
    this.log.element.addEventListener("scroll", showJump, { passive: true });
    $("logs").prepend(this.log.element);
    this.#makeTab();
  }

  join() {
    const channel = this.channel = socket.channel(`room:${this.title}`, () => ({ name }));
    this.channel.on("new_msg", (message) => this.#take(message));
    this.channel.on("typing", ({ name: author }) => this.typing.starts(author));
    const presence = new Presence(this.channel);
    presence.onSync(() => this.#arePresent(presence));
    this.channel.onError(() => this.#lost(channel));
    this.channel.join()
      .receive("ok", ({ messages }) => this.#joined(messages))
      .receive("error", ({ reason }) => this.#refused(reason));
  }

  /// The message comes back as a broadcast, as everybody's do; until then it is shown as unsent.
  say(text) {
    const unsent = this.log.addUnsent(name, text);
    this.#told = 0;
    const failed = (reason) =>
      unsent.failed(reasons[reason] ?? reasons.timeout, () => this.say(text));
    this.channel.push("new_msg", { body: text })
      .receive("ok", unsent.done)
      .receive("error", ({ reason }) => failed(reason))
      .receive("timeout", () => failed("timeout"));
    this.log.toEnd();
  }

  /// Not worth keeping for later: whoever is not in the room says nothing.
  types() {
    const now = Date.now();
    if (now - this.#told < 2000 || !socket.isConnected() || this.channel.state !== "joined") return;
    this.#told = now;
    this.channel.push("typing", {});
  }

  select() {
    if (current) current.#leaveScreen();
    current = this;
    this.unread = 0;
    this.#showUnread();
    this.tab.setAttribute("aria-current", "true");
    this.tab.scrollIntoView({ block: "nearest", inline: "nearest" });
    this.log.element.hidden = false;
    this.log.toEnd();
    $("room-title").textContent = `# ${this.title}`;
    $("body-label").textContent = `Message to #${this.title}`;
    body.placeholder = `Message to #${this.title}`;
    body.value = this.draft;
    fitComposer();
    showConnection();
    showPeople();
    showTyping();
    showJump();
  }

  #arePresent(presence) {
    this.people = presence.list((who, { metas }) =>
      ({ name: who, nodes: [...new Set(metas.map(({ node }) => node))].sort() }));
    this.people.sort((one, other) => one.name.localeCompare(other.name));
    if (this === current) showPeople();
  }

  #leaveScreen() {
    this.draft = body.value;
    this.tab.removeAttribute("aria-current");
    this.log.element.hidden = true;
  }

  #makeTab() {
    this.badge = element("span", "badge");
    this.badge.append(element("span"), element("span", "for-screen-readers", " unread"));
    this.tab = element("button");
    this.tab.type = "button";
    this.tab.append(element("span", "", `# ${this.title}`), this.badge);
    this.tab.addEventListener("click", () => this.select());
    const item = element("li");
    item.append(this.tab);
    $("rooms").append(item);
    this.#showUnread();
  }

  #showUnread() {
    this.badge.firstChild.textContent = this.unread;
    this.badge.hidden = this.unread === 0;
    const all = rooms.reduce((sum, room) => sum + room.unread, 0);
    document.title = all ? `(${all}) roost chat` : "roost chat";
  }

  #take(message) {
    this.typing.stops(message.name);
    if (!this.log.add(message)) return;
    if (this === current) return showJump();
    this.unread += 1;
    this.#showUnread();
  }

  #joined(messages) {
    for (const message of messages) this.log.add(message);
    if (this.crashed) this.log.note("You are back in the room.", "good");
    this.crashed = false;
    if (this === current) showConnection();
  }

  /// phoenix.js joins again by itself, after a while that grows.
  #lost(channel) {
    if (channel !== this.channel) return;
    if (socket.isConnected() && !this.crashed) {
      this.crashed = true;
      this.log.note("Your channel crashed. Joining again…", "bad");
    }
    if (this === current) showConnection();
  }

  #refused(reason) {
    if (reason !== "invalid_name") return showConnection();
    socket.disconnect();
    changeName(reasons.invalid_name);
  }
}

function neighbour(step) {
  return rooms[(rooms.indexOf(current) + step + rooms.length) % rooms.length];
}

// --- what the page shows -------------------------------------------------------------------------

function connectionState() {
  if (!socket?.isConnected()) return app.dataset.wasOnline ? "reconnecting" : "connecting";
  if (current.channel.state === "joined") return "online";
  return app.dataset.wasOnline ? "rejoining" : "connecting";
}

function showConnection() {
  const state = connectionState();
  if (state === "online") app.dataset.wasOnline = "yes";
  app.dataset.connection = state;
  if ($("connection").textContent !== state) $("connection").textContent = state;
  $("crash").disabled = state !== "online";
}

function showPeople() {
  drawPeople($("people"), current.people, name);
}

function showTyping() {
  $("typing").textContent = current.typing.text();
}

function showJump() {
  jump.hidden = current.log.isAtEnd();
}

function fitComposer() {
  body.style.height = "auto";
  body.style.height = `${body.scrollHeight}px`;
}

// --- what the user does --------------------------------------------------------------------------

function send() {
  const text = body.value.trim();
  if (text) current.say(text);
  body.value = "";
  fitComposer();
}

function onKey(event) {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  send();
}

function onShortcut(event) {
  const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
  if (!event.altKey || !step || $("welcome").open) return;
  event.preventDefault();
  neighbour(step).select();
}

function listen() {
  $("composer").addEventListener("submit", (event) => {
    event.preventDefault();
    send();
    body.focus();
  });
  body.addEventListener("keydown", onKey);
  body.addEventListener("input", () => {
    fitComposer();
    if (body.value.trim()) current.types();
  });
  document.addEventListener("keydown", onShortcut);
  jump.addEventListener("click", () => current.log.toEnd());
  $("node").addEventListener("change", () => goTo($("node").value));
  $("change-name").addEventListener("click", () => changeName());
  $("crash").addEventListener("click", () => current.channel.push("crash_me", {}));
  // The on-screen keyboard of a phone takes half of the log away; its end should stay in view.
  window.addEventListener("resize", () => current.log.toEnd());
}

// --- nodes ---------------------------------------------------------------------------------------

// The page comes from one node, and its socket may go to any: the rooms are the same everywhere. A
// node that does not come back within this time is left for the next one.
const patience = 4000;
let nodes = [];   // {node, url}; the first one has sent this page
let here = null;  // the one that the socket goes to
let leaving = null;

async function loadNodes() {
  const answer = await fetch("/nodes").then((response) => response.json()).catch(() => null);
  if (answer) {
    nodes = [{ node: answer.node, url: "" }, ...answer.others];
    here ??= nodes[0];
    drawNodes();
  }
  setTimeout(loadNodes, 3000);
}

function drawNodes() {
  const select = $("node");
  const names = nodes.map(({ node }) => node);
  if (!names.includes(here.node)) names.push(here.node);
  if (select.dataset.names !== names.join()) {
    select.dataset.names = names.join();
    select.replaceChildren(...names.map((node) => new Option(node.split("@")[0], node)));
  }
  select.value = here.node;
  $("nodes").hidden = names.length < 2;
}

function connect() {
  // Where no WebSocket gets through, the page polls.
  const url = `${here?.url.replace(/^http/, "ws") ?? ""}/socket`;
  socket = new Socket(url, { longPollFallbackMs: 2500 });
  socket.onOpen(() => {
    clearTimeout(leaving);
    leaving = null;
    showConnection();
  });
  socket.onClose(() => {
    leaving ??= setTimeout(nextNode, patience);
    showConnection();
  });
  for (const room of rooms) room.join();
  socket.connect();
}

function goTo(node) {
  clearTimeout(leaving);
  leaving = null;
  const before = socket;
  here = nodes.find((one) => one.node === node) ?? here;
  connect();  // with new channels, so that nothing of the old socket is heard any more
  before.disconnect();
  for (const room of rooms) room.log.note(`You are on ${here.node} now.`);
  drawNodes();
  showConnection();
}

function nextNode() {
  leaving = null;
  const at = nodes.findIndex(({ node }) => node === here?.node);
  const next = nodes[(at + 1) % nodes.length];
  if (next && next.node !== here.node) goTo(next.node);
}

// --- start ---------------------------------------------------------------------------------------

async function loadRooms() {
  for (;;) {
    const answer = await fetch("/rooms").catch(() => null);
    if (answer?.ok) return answer.json();
    await new Promise((resolve) => setTimeout(resolve, 2000));
  }
}

async function start() {
  const { rooms: titles, allow_crash: allowCrash } = await loadRooms();
  for (const title of titles) rooms.push(new Room(title));
  $("crash").hidden = !allowCrash;

  useName(name || await askForName());
  await loadNodes();
  connect();
  rooms[0].select();
  listen();
  body.focus();
}

start();
