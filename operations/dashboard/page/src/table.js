// A table whose rows stay the same elements while their numbers change.
import { arrange, h, setAttribute, setText } from "./dom.js";

/// columns: [{ title, text(row), numeric, wide, mono, open(row), sort, badge(row), title(row) }]
/// `wide` is hidden where there is little room. `open` makes the text a button. `sort` is the name
/// that `onSort` is told when the header is clicked.
export class Table {
  #rows = new Map();

  constructor({ label, columns, key, onSort, sorted, empty = "Nothing here." }) {
    Object.assign(this, { columns, key, onSort, empty });
    this.headers = columns.map((column) => this.#header(column));
    this.body = h("tbody");
    this.nothing = h("p", { class: "dim nothing", hidden: true }, empty);
    this.element = h("div", {},
      h("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": label },
        h("table", { "aria-label": label },
          h("thead", {}, h("tr", {}, this.headers)), this.body)),
      this.nothing);
    if (sorted) this.sortedBy(sorted);
  }

  sortedBy(name) {
    this.columns.forEach((column, at) => {
      if (column.sort)
        setAttribute(this.headers[at], "aria-sort", column.sort === name ? "descending" : "none");
    });
  }

  show(list) {
    const seen = new Set();
    const rows = list.map((data) => {
      const key = String(this.key(data));
      seen.add(key);
      let row = this.#rows.get(key);
      if (!row) this.#rows.set(key, row = this.#row());
      row.data = data;
      this.#fill(row);
      return row.element;
    });
    for (const key of this.#rows.keys()) if (!seen.has(key)) this.#rows.delete(key);
    arrange(this.body, rows);
    this.nothing.hidden = list.length > 0;
    this.element.firstChild.hidden = list.length === 0;
  }

  #class(column) {
    return [column.numeric && "number", column.open && "opens", column.wide && "wide", column.mono && "mono",
      column.grow && "grow"].filter(Boolean).join(" ") || undefined;
  }

  #header(column) {
    const inside = column.sort
      ? h("button", { type: "button", class: "sort", onclick: () => {
          this.sortedBy(column.sort);
          this.onSort(column.sort);
        } }, column.title)
      : column.title;
    return h("th", { scope: "col", class: this.#class({ ...column, mono: false }) }, inside);
  }

  #row() {
    const row = { data: null };
    row.cells = this.columns.map((column, at) => {
      const cell = h(at === 0 ? "th" : "td",
        { scope: at === 0 ? "row" : undefined, class: this.#class(column) });
      let target = cell;
      if (column.open) {
        target = h("button", { type: "button", class: "link",
          onclick: () => column.open(row.data) });
        cell.append(target);
      }
      return { cell, target };
    });
    row.element = h("tr", {}, row.cells.map(({ cell }) => cell));
    return row;
  }

  #fill({ data, cells }) {
    this.columns.forEach((column, at) => {
      const { cell, target } = cells[at];
      setText(target, column.text(data) ?? "");
      if (column.open) target.disabled = column.opens ? !column.opens(data) : false;
      if (column.hint) setAttribute(cell, "title", column.hint(data));
      if (column.badge) setAttribute(cell, "data-badge", column.badge(data));
    });
  }
}
