"use strict";

/* Figures: plotly draws them from columns of tables, in the colours of the page. */

const PRINTED_WIDTH = 690; // pixels: an upright A4 page between its margins
const NARROW = Math.log10(8); // a range of a logarithmic axis with too few of 1, 2 and 5 in it

function escaped(value) {
  if (typeof value !== "string") return value;
  return value.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

/* Return a piece of a figure with the columns that it names in place. */
function filled(piece, table, rows) {
  if (Array.isArray(piece)) return piece.map((one) => filled(one, table, rows));
  if (piece === null || typeof piece !== "object") return piece;
  if ("$" in piece) {
    const column = table.byName.get(piece.$);
    return rows.map((row) => escaped(column.at(row)));
  }
  const entries = Object.entries(piece).filter(([key]) => key !== "$rows");
  return Object.fromEntries(entries.map(([key, value]) => [key, filled(value, table, rows)]));
}

function tracesOf(figure, table, chosen) {
  const traces = [];
  for (const trace of figure.traces) {
    const { where, order, table: other } = trace.$rows ?? { where: {} };
    const own = other ? tables.get(other) : table;
    const picked = chosen !== null && own.byName.has(figure.choose) ? { [figure.choose]: chosen } : {};
    const rows = own.select({ ...where, ...picked }, order);
    if (rows.length) traces.push(filled(trace, own, rows));
  }
  return traces;
}

/* Return plotly's template in the colours that the page has now. */
function template() {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const axis = {
    gridcolor: colour("--grid"), linecolor: colour("--line"), zerolinecolor: colour("--line"),
    tickcolor: colour("--line"), automargin: true, ticks: "outside",
  };
  return {
    layout: {
      font: { family: getComputedStyle(document.body).fontFamily, size: 13, color: colour("--text") },
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      margin: { l: 60, r: 20, t: 20, b: 50 }, hovermode: "closest",
      legend: { orientation: "h", traceorder: "normal", y: 1.02, yanchor: "bottom", x: 0, bgcolor: "rgba(0,0,0,0)" },
      hoverlabel: { bgcolor: colour("--card"), bordercolor: colour("--line"), font: { color: colour("--text") }, align: "left" },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("--soft"), activecolor: colour("--text") },
      xaxis: axis, yaxis: axis,
    },
  };
}

class FigureView {
  constructor(figure, table, place) {
    Object.assign(this, { figure, table, place, chosen: null });
    this.listens = false;
    if (figure.choose) this.offer();
  }

  /* Let the reader pick which value of a column is drawn. */
  offer() {
    const column = this.table.byName.get(this.figure.choose);
    const values = column.known ? [...column.known] : [...new Set(this.table.select({}, "").map((row) => column.at(row)))];
    values.sort((a, b) => natural.compare(a, b));
    const select = element("select", { id: `choose-${this.place.dataset.figure}` });
    for (const value of values) select.append(element("option", { value: String(value), textContent: String(value) }));
    select.addEventListener("change", () => {
      this.chosen = values[select.selectedIndex];
      label.dataset.chosen = String(this.chosen);
      this.draw();
    });
    this.chosen = values[0] ?? null;
    const label = element("label", { htmlFor: select.id, textContent: this.figure.choose });
    label.dataset.chosen = String(this.chosen);
    this.place.before(element("div", { className: "chooser" }, label, select));
  }

  async draw() {
    const layout = { ...structuredClone(this.figure.layout), template: template(), autosize: true };
    const title = this.figure.yTitles[this.chosen];
    if (title) layout.yaxis.title.text = title;
    // named one by one: plotly's own choice has a button that sends the figure to its maker
    const buttons = ["toImage", "zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d"];
    const image = { format: "svg", filename: this.place.dataset.figure };
    const config = { responsive: true, displaylogo: false, modeBarButtons: [buttons], toImageButtonOptions: image };
    await Plotly.react(this.place, tracesOf(this.figure, this.table, this.chosen), layout, config);
    if (!this.listens) this.place.on("plotly_relayout", () => this.mark());
    this.listens = true;
    await this.mark();
  }

  /* Give narrow logarithmic axes ticks at equal steps, which plotly finds by itself. */
  async mark() {
    const changes = {};
    for (const [name, axis] of Object.entries(this.figure.layout)) {
      if (axis?.type !== "log") continue;
      const { range: [start, end], tickmode } = this.place._fullLayout[name];
      const wanted = Math.abs(end - start) < NARROW ? "auto" : axis.tickmode;
      if (tickmode !== wanted) changes[`${name}.tickmode`] = wanted;
    }
    if (Object.keys(changes).length) await Plotly.relayout(this.place, changes);
  }

  restyle(width) {
    const size = width ? { width, autosize: false } : { width: null, autosize: true };
    return Plotly.relayout(this.place, { template: template(), ...size });
  }
}
