"use strict";

/* Unpack, show the tables, then draw the figures one after another so that the page stays alive. */

async function unpack(id) {
  const letters = atob(document.getElementById(id).textContent.trim());
  const bytes = new Uint8Array(letters.length);
  for (let i = 0; i < letters.length; i++) bytes[i] = letters.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}

const RESULTS = "results";
const tables = new Map();
const views = new Map();
const figures = [];
let every = null; // the value that stands for all values of a column

function showTable(name) {
  const place = document.querySelector(`.table[data-table="${CSS.escape(name)}"]`);
  if (!place || views.has(name)) return;
  const results = tables.get(RESULTS);
  const onTrace = results && name !== RESULTS && { show: trace, knows: (column) => results.byName.has(column) };
  views.set(name, new TableView(tables.get(name), place, onTrace));
}

/* Show the results that a row of another table was made from. */
function trace(values) {
  const narrow = Object.entries(values).filter(([, value]) => value !== every);
  views.get(RESULTS).show(Object.fromEntries(narrow));
  const place = document.getElementById(`table-${RESULTS}`);
  place.scrollIntoView();
  place.querySelector(".scroll").focus({ preventScroll: true });
}

function unfold() {
  const target = location.hash ? document.getElementById(decodeURIComponent(location.hash.slice(1))) : null;
  if (target instanceof HTMLDetailsElement) target.open = true;
}

function followSections() {
  const links = new Map([...document.querySelectorAll("nav a")].map((link) => [link.hash.slice(1), link]));
  const observer = new IntersectionObserver((entries) => {
    for (const entry of entries.filter((one) => one.isIntersecting)) {
      for (const link of links.values()) link.removeAttribute("aria-current");
      links.get(entry.target.id)?.setAttribute("aria-current", "true");
    }
  }, { rootMargin: "-10% 0px -80% 0px" });
  for (const section of document.querySelectorAll("main section")) observer.observe(section);
}

/* Paper is light and has its own width, whatever the screen looks like. */
function dress(look, width) {
  document.documentElement.className = look;
  for (const view of figures) view.restyle(width);
}

async function start() {
  const content = JSON.parse(await unpack("packed-data"));
  every = content.every;
  for (const [name, packed] of Object.entries(content.tables)) tables.set(name, new Table(name, packed));
  for (const place of document.querySelectorAll(".table")) {
    const folded = place.closest("details");
    if (!folded) showTable(place.dataset.table);
    else folded.addEventListener("toggle", () => folded.open && showTable(place.dataset.table));
  }
  followSections();
  addEventListener("hashchange", unfold);
  unfold();
  document.body.append(element("script", { textContent: await unpack("packed-drawing") }));
  for (const place of document.querySelectorAll(".plot")) {
    const figure = content.figures[place.dataset.figure];
    const view = new FigureView(figure, tables.get(figure.table), place);
    figures.push(view);
    await view.draw();
    await new Promise((next) => setTimeout(next));
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => figures.forEach((view) => view.restyle()));
  addEventListener("beforeprint", () => dress("printing", PRINTED_WIDTH));
  addEventListener("afterprint", () => dress("", 0));
  document.documentElement.dataset.ready = "yes";
}

start().catch((error) => {
  const place = document.getElementById("failed");
  place.textContent = `This report cannot be shown here (${error}); open it in a browser of 2023 or newer.`;
  place.hidden = false;
  document.documentElement.dataset.ready = "no";
  throw error;
});
