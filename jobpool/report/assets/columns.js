"use strict";

/* Columns of a table, as they come packed: how their values are shown, sorted and searched. */

const natural = new Intl.Collator("en", { numeric: true });

class Column {
  constructor(packed) {
    this.name = packed.name;
    this.isNumber = packed.kind === "number";
    this.isWhole = packed.whole === true;
    if (this.isNumber) {
      this.values = Float64Array.from(packed.values, (value) => (value === null ? NaN : value));
    } else if (packed.codes) {
      this.known = packed.known;
      this.codes = Int32Array.from(packed.codes);
    } else {
      this.texts = packed.values;
    }
  }

  /* Return the value of a row: a number, a text, or null where it is missing. */
  at(row) {
    if (this.isNumber) return Number.isNaN(this.values[row]) ? null : this.values[row];
    if (this.codes) return this.codes[row] < 0 ? null : this.known[this.codes[row]];
    return this.texts[row];
  }

  shown(row) {
    const value = this.at(row);
    if (value === null) return "–";
    if (!this.isNumber) return value;
    if (this.isWhole) return value.toLocaleString("en-US");
    if (Math.abs(value) >= 10000) return Math.round(value).toLocaleString("en-US");
    return String(Number(value.toPrecision(4)));
  }

  /* Return a number for each row by which it is sorted; what is missing is NaN. */
  keys() {
    this.sorted ??= this.isNumber ? this.values : this.places();
    return this.sorted;
  }

  places() {
    if (this.codes) {
      const order = this.known.map((_, code) => code);
      order.sort((a, b) => natural.compare(this.known[a], this.known[b]));
      const place = new Float64Array(order.length);
      order.forEach((code, i) => (place[code] = i));
      return Float64Array.from(this.codes, (code) => (code < 0 ? NaN : place[code]));
    }
    const order = this.texts.map((_, row) => row);
    order.sort((a, b) => (this.texts[a] < this.texts[b] ? -1 : this.texts[a] > this.texts[b] ? 1 : a - b));
    const keys = new Float64Array(order.length);
    order.forEach((row, i) => (keys[row] = this.texts[row] === null ? NaN : i));
    return keys;
  }

  /* Return a function that says whether a row passes what was typed, or null for all rows. */
  test(typed) {
    const text = typed.trim();
    if (!text) return null;
    const wanted = this.isNumber ? numberTest(text) : textTest(text);
    if (this.codes) {
      const passes = this.known.map((value) => wanted(value));
      const missing = wanted("");
      return (row) => (this.codes[row] < 0 ? missing : passes[this.codes[row]]);
    }
    if (this.isNumber) return (row) => wanted(this.values[row]);
    return (row) => wanted(this.texts[row] ?? "");
  }
}

function textTest(text) {
  if (text.startsWith("=")) return (value) => value === text.slice(1);
  const part = text.toLowerCase();
  if (part.startsWith("!")) return (value) => !value.toLowerCase().includes(part.slice(1));
  return (value) => value.toLowerCase().includes(part);
}

function numberTest(text) {
  const range = text.match(/^(.+)\.\.(.+)$/);
  if (range) return (value) => value >= Number(range[1]) && value <= Number(range[2]);
  const [, sign, rest] = text.match(/^(>=|<=|>|<|=)?(.*)$/);
  const limit = Number(rest.replaceAll(",", ""));
  if (sign === ">=") return (value) => value >= limit;
  if (sign === "<=") return (value) => value <= limit;
  if (sign === ">") return (value) => value > limit;
  if (sign === "<") return (value) => value < limit;
  if (sign === "=") return (value) => value === limit;
  return (value) => String(value).startsWith(rest);
}
