// Who is in a room, and who is writing there.
import { element, paint } from "./log.js";

const mostShown = 100;
const noticeHolds = 4000;  // ms; nobody says that they have stopped

/// `people` are {name, nodes}: somebody with several windows is one person, on one node or more.
export function drawPeople(list, people, myName) {
  const shown = people.slice(0, mostShown).map(({ name, nodes }) => {
    const item = element("li", "person");
    const avatar = element("span", "avatar");
    avatar.setAttribute("aria-hidden", "true");
    paint(avatar, name);
    const who = element("span", "who", name === myName ? `${name} (you)` : name);
    const on = element("span", "on", nodes.map((node) => node.split("@")[0]).join(", "));
    on.title = `on ${nodes.join(", ")}`;
    item.append(avatar, who, on);
    return item;
  });
  const more = people.length - shown.length;
  if (more > 0) shown.push(element("li", "person more", `and ${more} more`));
  list.replaceChildren(...shown);
}

export class Typing {
  #timers = new Map();
  #changed;

  constructor(changed) {
    this.#changed = changed;
  }

  starts(name) {
    clearTimeout(this.#timers.get(name));
    this.#timers.set(name, setTimeout(() => this.stops(name), noticeHolds));
    this.#changed();
  }

  stops(name) {
    clearTimeout(this.#timers.get(name));
    if (this.#timers.delete(name)) this.#changed();
  }

  text() {
    const names = [...this.#timers.keys()];
    if (names.length === 0) return "";
    if (names.length === 1) return `${names[0]} is typing…`;
    if (names.length === 2) return `${names[0]} and ${names[1]} are typing…`;
    return "Several people are typing…";
  }
}
