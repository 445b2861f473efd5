// Draws what was said in one room. What people wrote is only ever set as text, never as HTML.

// Messages of one person within this time stand together under one name.
const together = 5 * 60 * 1000;

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const calendar = new Intl.DateTimeFormat(undefined, {
  weekday: "long", day: "numeric", month: "long",
});

export function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

/// The same name has the same colour in every window.
export function hue(name) {
  let hash = 0;
  for (const letter of name) hash = (hash * 31 + letter.codePointAt(0)) % 360000;
  return (hash * 47) % 360;
}

export function initials(name) {
  const words = name.trim().split(/\s+/);
  const letters = words.length > 1 ? words[0].at(0) + words.at(-1).at(0) : [...name][0] ?? "";
  return letters.toUpperCase();
}

export function paint(avatar, name) {
  avatar.textContent = initials(name);
  avatar.style.setProperty("--hue", hue(name));
}

function dayOf(at) {
  const day = new Date(at).toDateString();
  const now = new Date();
  if (day === now.toDateString()) return "Today";
  now.setDate(now.getDate() - 1);
  return day === now.toDateString() ? "Yesterday" : calendar.format(at);
}

export class Log {
  #list = element("ol", "messages");
  #unsent = element("ol", "messages");
  #empty;
  #ids = new Set();
  #isMine;

  constructor(room, isMine) {
    this.#isMine = isMine;
    this.#empty = element("p", "empty", `Nobody has said anything in #${room} lately. Say hello!`);
    this.element = element("div", "log");
    this.element.tabIndex = 0;  // so that the arrow keys scroll it
    this.element.setAttribute("role", "log");
    this.element.setAttribute("aria-label", `Messages in ${room}`);
    this.#unsent.setAttribute("aria-live", "off");  // it is read out when it comes back
    this.element.append(this.#empty, this.#list, this.#unsent);
  }

  /// Shows a message in its place, unless it is there already: after a rejoin the history holds
  /// what was seen before. Answers whether it was new.
  add(message) {
    if (this.#ids.has(message.id)) return false;
    this.#ids.add(message.id);
    this.#keepingTheEnd(() => {
      const item = this.#draw(message);
      let before = null;  // nearly always: the newest message is the last one
      for (let other = this.#list.lastElementChild; other?.dataset.id > message.id;
        other = other.previousElementSibling) before = other;
      this.#list.insertBefore(item, before);
      this.#arrange(item);
      if (before) this.#arrange(before);
    });
    return true;
  }

  /// A remark of the page itself, such as "You are back."
  note(text, kind) {
    this.#keepingTheEnd(() => this.#list.append(element("li", `note ${kind}`, text)));
  }

  /// Something of ours that nobody has confirmed yet.
  addUnsent(name, body) {
    const item = this.#draw({ name, body, at: Date.now() });
    item.classList.add("mine", "follows", "unsent");
    const state = item.querySelector("time");
    state.textContent = "sending…";
    this.#keepingTheEnd(() => this.#unsent.append(item));
    return {
      done: () => item.remove(),
      failed: (why, again) => {
        const retry = element("button", "retry", "Send again");
        retry.type = "button";
        retry.addEventListener("click", () => { item.remove(); again(); });
        item.classList.add("failed");
        state.replaceChildren(why, " ", retry);
      },
    };
  }

  isAtEnd() {
    const { scrollHeight, scrollTop, clientHeight } = this.element;
    return scrollHeight - scrollTop - clientHeight < 60;
  }

  toEnd() {
    this.element.scrollTop = this.element.scrollHeight;
  }

  /// Who reads older messages is not torn away from them by a new one.
  #keepingTheEnd(change) {
    const wasAtEnd = this.isAtEnd();
    this.#empty.hidden = true;
    change();
    if (wasAtEnd) this.toEnd();
  }

  #draw({ id, name, body, at }) {
    const item = element("li", "message");
    Object.assign(item.dataset, { name, at });
    if (id !== undefined) item.dataset.id = id;
    item.classList.toggle("mine", this.#isMine(name));
    item.style.setProperty("--hue", hue(name));

    const avatar = element("span", "avatar", initials(name));
    avatar.setAttribute("aria-hidden", "true");
    const time = element("time", "", clock.format(at));
    time.dateTime = new Date(at).toISOString();
    const bubble = element("div", "bubble");
    bubble.append(element("strong", "name", name), element("p", "body", body), time);
    item.append(avatar, bubble);
    return item;
  }

  /// A new day has a heading; several messages in a row need their author once.
  #arrange(item) {
    const before = item.previousElementSibling;
    const { name, at } = item.dataset;
    const previous = before?.dataset ?? {};
    const isNewDay = dayOf(Number(previous.at ?? 0)) !== dayOf(Number(at));
    item.classList.toggle(
      "follows", !isNewDay && previous.name === name && at - previous.at < together);
    if (isNewDay && !before?.classList.contains("note")) item.dataset.day = dayOf(Number(at));
    else delete item.dataset.day;
  }
}
