// Elements of the page. Text is always put in as text: nothing that a node tells is read as HTML.

/// h("button", { class: "quiet", onclick: f, "aria-label": "x" }, "Close", child…)
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/// Changes the text only when it is another one, so that nothing flickers or loses its selection.
export function setText(element, text) {
  const wanted = String(text);
  if (element.textContent !== wanted) element.textContent = wanted;
}

export function setAttribute(element, name, value) {
  if (value === null || value === undefined) element.removeAttribute(name);
  else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
}

/// Puts the children into this order with as few moves as possible; the focus stays where it was.
export function arrange(parent, wanted) {
  const focused = document.activeElement;
  const keep = new Set(wanted);
  for (const child of [...parent.children]) if (!keep.has(child)) child.remove();
  wanted.forEach((child, at) => {
    if (parent.children[at] !== child) parent.insertBefore(child, parent.children[at] ?? null);
  });
  if (focused && focused !== document.activeElement && parent.contains(focused))
    focused.focus({ preventScroll: true });
}

/// A <select> that shows these choices: [value, text].
export function setOptions(select, choices) {
  const same = select.options.length === choices.length &&
    choices.every(([value, text], at) =>
      select.options[at].value === value && select.options[at].text === text);
  if (same) return;
  const chosen = select.value;
  select.replaceChildren(...choices.map(([value, text]) => h("option", { value }, text)));
  if (choices.some(([value]) => value === chosen)) select.value = chosen;
}

let made = 0;

export function field(label, control) {
  control.id ||= `field-${made += 1}`;
  return h("div", { class: "field" }, h("label", { for: control.id }, label), control);
}

export function card(title, ...children) {
  const id = `section-${made += 1}`;
  return h("section", { class: "card", "aria-labelledby": id },
    h("h2", { id }, title), ...children);
}
