"use strict";

/* Tables of any length: all rows are in memory as columns, one page of them is in the document. */

const PAGE_SIZES = [20, 50, 200];
const PAPER = 8; // columns that a page of paper has room for

class Table {
  constructor(name, packed) {
    this.name = name;
    this.n = packed.n;
    this.tracedBy = packed.tracedBy;
    this.markedBy = packed.markedBy;
    this.columns = packed.columns.map((column) => new Column(column));
    this.byName = new Map(this.columns.map((column) => [column.name, column]));
    const names = this.columns.map((column) => column.name);
    const known = packed.printed.filter((name) => this.byName.has(name));
    this.printed = new Set(known.length ? known : names.slice(0, PAPER));
    this.filters = new Map();
    this.sortedBy = null;
    this.direction = 1;
    this.page = 0;
    this.pageSize = PAGE_SIZES[0];
    this.rows = Int32Array.from({ length: this.n }, (_, row) => row);
  }

  /* Return the rows that have these values, in their order or that of a column. */
  select(where, order) {
    const tests = Object.entries(where).map(([name, value]) => {
      const column = this.byName.get(name);
      if (column.codes) {
        const code = value === null ? -1 : column.known.indexOf(value);
        return (row) => column.codes[row] === code;
      }
      return (row) => column.at(row) === value;
    });
    const rows = [];
    for (let row = 0; row < this.n; row++) if (tests.every((test) => test(row))) rows.push(row);
    if (order) {
      const keys = this.byName.get(order).keys();
      rows.sort((a, b) => keys[a] - keys[b] || a - b);
    }
    return rows;
  }

  refresh() {
    const tests = this.columns.map((column) => column.test(this.filters.get(column.name) ?? "")).filter(Boolean);
    const rows = [];
    for (let row = 0; row < this.n; row++) if (tests.every((test) => test(row))) rows.push(row);
    if (this.sortedBy) {
      const keys = this.byName.get(this.sortedBy).keys();
      const sign = this.direction;
      rows.sort((a, b) => {
        const [x, y] = [keys[a], keys[b]];
        if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y) || a - b;
        return sign * (x - y) || a - b;
      });
    }
    this.rows = rows;
    this.page = 0;
    this.draw();
  }

  /* Return the rows that are shown on any page, as CSV. */
  csv() {
    const cell = (value) => {
      const text = value === null ? "" : String(value);
      return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
    };
    const lines = [this.columns.map((column) => cell(column.name)).join(",")];
    for (const row of this.rows) lines.push(this.columns.map((column) => cell(column.at(row))).join(","));
    return lines.join("\n") + "\n";
  }
}

/* The part of a table that is in the document. */
class TableView {
  constructor(table, place, onTrace) {
    Object.assign(this, { table, place, onTrace });
    table.draw = () => this.draw();
    this.count = element("span", { className: "count", role: "status" });
    this.body = element("tbody");
    this.heads = new Map();
    this.inputs = new Map();
    const scroll = element("div", { className: "scroll", tabIndex: 0 });
    scroll.setAttribute("role", "region");
    scroll.setAttribute("aria-label", `table ${table.name}`);
    scroll.append(element("table", {}, this.head(), this.body));
    const others = table.columns.filter((column) => !table.printed.has(column.name)).map((column) => column.name);
    const left = element("p", { className: "unprinted", textContent: `Not on paper: ${others.join(", ")}.` });
    place.replaceChildren(this.tools(), scroll, ...(others.length ? [left] : []));
    this.draw();
  }

  head() {
    const heads = element("tr");
    const filters = element("tr", { className: "filters" });
    for (const column of this.table.columns) {
      const button = element("button", { type: "button", textContent: column.name });
      button.addEventListener("click", () => this.sort(column.name));
      const head = element("th", { scope: "col", className: this.look(column) }, button);
      head.setAttribute("aria-sort", "none");
      this.heads.set(column.name, head);
      heads.append(head);
      const input = element("input", { type: "search", placeholder: column.isNumber ? ">= 1, 2..3" : "contains" });
      input.setAttribute("aria-label", `filter ${column.name}`);
      let timer = 0;
      input.addEventListener("input", () => {
        clearTimeout(timer);
        timer = setTimeout(() => this.filter(column.name, input.value), this.table.n > 5000 ? 150 : 0);
      });
      this.inputs.set(column.name, input);
      filters.append(element("td", { className: this.look(column) }, input));
    }
    if (this.traces()) {
      heads.append(element("th", { scope: "col", className: "trace", textContent: "\u00a0made from" }));
      filters.append(element("td", { className: "trace" }));
    }
    return element("thead", {}, heads, ...(this.table.n > 8 ? [filters] : []));
  }

  /* Return the class of a column's cells: those for the screen alone are not printed. */
  look(column) {
    const names = [column.isNumber ? "number" : "", this.table.printed.has(column.name) ? "" : "screen"];
    return names.join(" ").trim();
  }

  /* Say whether the rows of the results behind a row can be shown. */
  traces() {
    const { tracedBy } = this.table;
    return this.onTrace && tracedBy.length > 0 && tracedBy.every((name) => this.onTrace.knows(name));
  }

  tools() {
    const save = element("button", { type: "button", className: "save", textContent: "Save as CSV" });
    save.addEventListener("click", () => download(`${this.table.name}.csv`, this.table.csv()));
    const bar = element("div", { className: "bar" }, this.count);
    if (this.table.n > PAGE_SIZES[0]) bar.append(this.pager());
    bar.append(save);
    return bar;
  }

  pager() {
    const step = (label, title, target) => {
      const button = element("button", { type: "button", textContent: label });
      button.setAttribute("aria-label", title);
      button.addEventListener("click", () => {
        this.table.page = Math.min(Math.max(target(), 0), this.lastPage());
        this.draw();
      });
      return button;
    };
    const page = () => this.table.page;
    this.back = [step("«", "first page", () => 0), step("‹", "previous page", () => page() - 1)];
    this.forth = [step("›", "next page", () => page() + 1), step("»", "last page", () => this.lastPage())];
    const size = element("select");
    size.setAttribute("aria-label", "rows of a page");
    for (const n of PAGE_SIZES) size.append(element("option", { value: String(n), textContent: `${n} rows` }));
    size.addEventListener("change", () => {
      this.table.pageSize = Number(size.value);
      this.table.page = 0;
      this.draw();
    });
    return element("span", { className: "pager" }, ...this.back, " ", ...this.forth, " ", size);
  }

  lastPage() {
    return Math.max(Math.ceil(this.table.rows.length / this.table.pageSize) - 1, 0);
  }

  sort(name) {
    const table = this.table;
    table.direction = table.sortedBy === name ? -table.direction : 1;
    table.sortedBy = name;
    for (const [other, head] of this.heads) {
      const way = table.direction > 0 ? "ascending" : "descending";
      head.setAttribute("aria-sort", other === name ? way : "none");
    }
    table.refresh();
  }

  filter(name, text) {
    this.table.filters.set(name, text);
    this.table.refresh();
  }

  /* Show only the rows with these values. */
  show(values) {
    this.table.filters = new Map();
    for (const [name, input] of this.inputs) {
      const wanted = name in values && values[name] !== null;
      input.value = wanted ? `=${values[name]}` : "";
      if (wanted) this.table.filters.set(name, input.value);
    }
    this.table.refresh();
  }

  draw() {
    const { rows, page, pageSize, n, columns } = this.table;
    const first = page * pageSize;
    const shown = Array.from(rows.slice(first, first + pageSize));
    this.body.replaceChildren(...shown.map((row) => this.line(row, columns)));
    const total = n.toLocaleString("en-US");
    const all = rows.length === n ? `${total} rows` : `${rows.length.toLocaleString("en-US")} of ${total} rows`;
    const span = rows.length > pageSize ? `rows ${(first + 1).toLocaleString("en-US")} to ${(first + shown.length).toLocaleString("en-US")} of ` : "";
    this.count.textContent = span + (n === 1 ? "1 row" : all);
    for (const button of this.back ?? []) button.disabled = page === 0;
    for (const button of this.forth ?? []) button.disabled = page >= this.lastPage();
  }

  line(row, columns) {
    const cells = columns.map((column) => {
      const value = column.at(row);
      const names = [this.look(column), value === null ? "missing" : ""];
      if (typeof value === "string" && value.includes("incomplete")) names.push("incomplete");
      const cell = element("td", { className: names.join(" ").trim(), textContent: column.shown(row) });
      if (value === null) cell.title = "missing";
      else if (column.isNumber || String(value).length > 40) cell.title = String(value);
      return cell;
    });
    if (this.traces()) {
      const values = Object.fromEntries(this.table.tracedBy.map((name) => [name, this.table.byName.get(name).at(row)]));
      const button = element("button", { type: "button", textContent: "results" });
      button.addEventListener("click", () => this.onTrace.show(values));
      cells.push(element("td", { className: "trace" }, button));
    }
    const { markedBy, byName } = this.table;
    if (!markedBy || byName.get(markedBy).at(row) !== "yes") return element("tr", {}, ...cells);
    return element("tr", { className: "marked", title: markedBy }, ...cells);
  }
}

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function download(name, text) {
  const url = URL.createObjectURL(new Blob([text], { type: "text/csv;charset=utf-8" }));
  element("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}
