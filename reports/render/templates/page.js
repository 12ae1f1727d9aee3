"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const column = Object.fromEntries(data.columns.map((name, place) => [name, place]));
  const hidden = new Set();
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const PAGE = 500;

  // Numbers as people read them, exactly as reports/units.py writes them: three significant digits, ties to the even one.

  const MORE = 30;

  function even(rounded, exact) {
    const cut = exact.slice(0, -MORE).replace(/\.$/, "");
    return /[02468]$/.test(cut) && /^50*$/.test(exact.slice(-MORE)) ? cut : rounded;
  }

  function fixed(value, places) { return even(value.toFixed(places), value.toFixed(places + MORE)); }

  function scientific(value) {
    const [mantissa, power] = value.toExponential(2).split("e");
    return [even(mantissa, value.toExponential(2 + MORE).split("e")[0]), power[0] + power.slice(1).padStart(2, "0")];
  }

  function digits(value) {
    if (value === 0) return "0";
    if (Math.abs(value) < 0.000995) return scientific(value).join("e");
    return fixed(value, Math.max(0, 2 - Number(value.toExponential(2).split("e")[1])));
  }

  function scaled(value, base, units) {
    let place = 0;
    while (Math.abs(value) >= base - 0.5 && place < units.length - 1) { value /= base; place += 1; }
    const whole = base === 1024 && (place === 0 || Math.abs(value) >= 999.5);
    return (whole ? fixed(value, 0) : digits(value)) + units[place];
  }

  function duration(seconds) {
    if (seconds < 0) return `-${duration(-seconds)}`;
    if (seconds === 0) return "0 s";
    if (seconds < 59.95) {
      const units = [[1, "s"], [1e-3, "ms"], [1e-6, "us"], [1e-9, "ns"]];
      const [unit, name] = units.find(([least]) => seconds >= least * 0.9995) || units[3];
      return `${digits(seconds / unit)} ${name}`;
    }
    const two = (large, small, count, ratio) => `${Math.floor(count / ratio)} ${large} ${String(count % ratio).padStart(2, "0")} ${small}`;
    const whole = Number(fixed(seconds, 0));
    if (whole < 3600) return two("min", "s", whole, 60);
    const minutes = Number(fixed(seconds / 60, 0));
    return minutes < 1440 ? two("h", "min", minutes, 60) : two("d", "h", Number(fixed(seconds / 3600, 0)), 24);
  }

  function formatted(value, unit) {
    if (value === null || value === undefined || value === "") return "";
    if (typeof value !== "number") return String(value);
    if (unit === "bytes") return scaled(value, 1024, [" B", " KiB", " MiB", " GiB", " TiB", " PiB", " EiB"]);
    if (unit === "rate") return scaled(value, 1000, ["", "k", "M", "G", "T", "P", "E"]);
    if (unit === "seconds") return duration(value);
    if (unit === "whole" || (unit !== "number" && Number.isInteger(value))) return String(value);
    if (Math.abs(value) < 1e6) return digits(value);
    const [mantissa, power] = scientific(value);
    return `${mantissa.replace(/\.?0+$/, "")}e${power}`;
  }

  // At a tick, without the noughts that tables need.
  function tickLabel(value, unit) {
    const [number, ...name] = formatted(value, unit).split(" ");
    const short = number.includes(".") && !number.includes("e") ? number.replace(/\.?0+(?=[a-zA-Z]?$)/, "") : number;
    return [short, ...name].join(" ");
  }

  function unitOf(name) { return data.units[name] || ""; }

  function cell(record, name) { return record[column[name]]; }

  // What a chart library takes for markup is none: plotly reads a few tags and entities in its texts.
  function plain(text) { return String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;"); }

  function element(name, text, className) {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    if (className) made.className = className;
    return made;
  }

  function median(values) {
    const sorted = [...values].sort((a, b) => a - b);
    const middle = sorted.length >> 1;
    return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  }

  // Charts.

  function colour(style) {
    const found = data.look.colours[style % data.look.colours.length];
    return dark.matches ? data.look.dark[found] || found : found;
  }
  const symbol = (style) => data.look.markers[style % data.look.markers.length];
  const dash = (style) => data.look.dashes[style % data.look.dashes.length];
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const charts = () => data.slices.filter((slice) => slice.axis === byId("axis").value);
  const slice = () => charts()[Number(byId("slice").value)] || charts()[0];

  function ticks(low, high, unit) {
    const base = unit === "bytes" || unit === "count" ? 2 : 10;
    const sets = base === 2
      ? [[1], [1, 1.5], [1, 1.25, 1.5, 1.75], Array.from({ length: 16 }, (_, n) => 1 + n / 16)]
      : [[1], [1, 3], [1, 2, 5], [1, 1.5, 2, 3, 5, 7], Array.from({ length: 18 }, (_, n) => 1 + n / 2)];
    const first = Math.floor(Math.log(low) / Math.log(base));
    const last = Math.ceil(Math.log(high) / Math.log(base));
    let found = [];
    for (const steps of sets) {
      found = [];
      for (let power = first; power <= last; power += 1) {
        for (const step of steps) {
          const value = step * base ** power;
          if (value >= low && value <= high) found.push(value);
        }
      }
      if (found.length >= 4) break;
    }
    if (found.length < 2) found = [low, high];
    const every = Math.ceil(found.length / 8);
    return found.filter((_, place) => place % every === 0);
  }

  function axis(range, unit, title, values) {
    const shown = values || ticks(range[0], range[1], unit);
    return {
      type: "log", range: range.map(Math.log10), title: { text: title, standoff: 8 }, tickvals: shown, automargin: true,
      ticktext: shown.map((value) => tickLabel(value, unit)), gridcolor: css("--line"), linecolor: css("--muted"), zeroline: false,
    };
  }

  function repeatsOf(curve, size, measure) {
    const known = [];
    const [least, largest] = data.drawn;
    for (const index of curve.points[size]) {
      const record = data.records[index];
      const value = cell(record, measure.field);
      if (cell(record, "status") === "ok" && typeof value === "number" && value >= least && value <= largest) known.push([value, index]);
    }
    return known;
  }

  function curveTraces(curve, shown, measure) {
    const look = { color: colour(curve.style) };
    const sizes = Object.keys(curve.points).map(Number).sort((a, b) => a - b);
    const traces = [];
    const trend = curve.trends[measure.field];
    if (trend) {
      const line = { x: trend.sizes, mode: "lines", hoverinfo: "skip", meta: "fit" };
      if (trend.low.length) {
        traces.push({ ...line, y: trend.low, line: { width: 0 } });
        traces.push({ ...line, y: trend.high, line: { width: 0 }, fill: "tonexty", fillcolor: `${look.color}2b` });
      }
      traces.push({ ...line, y: trend.values, line: { ...look, width: 1.2, dash: "4px,4px" } });
    }
    const middle = { x: [], y: [], customdata: [], text: [] };
    const single = { x: [], y: [], customdata: [], text: [] };
    for (const size of sizes) {
      const known = repeatsOf(curve, size, measure);
      if (!known.length) continue;
      const at = `${plain(curve.label)}<br>${size} ${shown.axis === "agents" ? "agents" : "timesteps"}: `;
      const value = median(known.map(([number]) => number));
      middle.x.push(size); middle.y.push(value); middle.customdata.push(known[0][1]);
      middle.text.push(at + formatted(value, measure.unit) + (known.length > 1 ? `, median of ${known.length}` : ""));
      if (known.length < 2) continue;
      for (const [number, index] of known) {
        single.x.push(size); single.y.push(number); single.customdata.push(index);
        single.text.push(`${at}${formatted(number, measure.unit)}, repeat ${cell(data.records[index], "repeat")}`);
      }
    }
    const hover = { hovertemplate: "%{text}<extra></extra>", marker: { ...look, symbol: symbol(curve.style) } };
    if (single.x.length) {
      traces.push({ ...single, ...hover, mode: "markers", meta: "repeats", marker: { ...hover.marker, size: 5, opacity: 0.5 } });
    }
    if (middle.x.length) {
      traces.push({
        ...middle, ...hover, mode: "lines+markers", meta: "median", line: { ...look, width: 2, dash: dash(curve.style) },
        marker: { ...hover.marker, size: 9, symbol: `${symbol(curve.style)}-open`, line: { width: 2 } },
      });
    }
    return traces;
  }

  function failureTraces(curves) {
    const rows = new Map();
    const traces = [];
    for (const curve of curves) {
      const sizes = Object.keys(curve.points).map(Number).sort((a, b) => a - b);
      for (const size of sizes) {
        const index = curve.points[size].find((one) => data.look.failures[cell(data.records[one], "status")]);
        if (index === undefined) continue;
        const row = rows.get(size) || 0;
        rows.set(size, row + 1);
        const record = data.records[index];
        const status = cell(record, "status");
        const why = plain(String(cell(record, "reason") || "").slice(0, 90));
        const at = { x: [size], y: [row], yaxis: "y2", mode: "markers", cliponaxis: false };
        const line = { width: 1.5, color: colour(curve.style) };
        traces.push({ ...at, meta: "whose", hoverinfo: "skip", marker: { symbol: `${symbol(curve.style)}-open`, size: 17, color: line.color, line } });
        traces.push({
          ...at, meta: "failure", customdata: [index], hovertemplate: "%{text}<extra></extra>",
          text: [`${plain(curve.label)}<br>${size}: ${status}${why ? `<br>${why}` : ""}`],
          marker: { symbol: data.look.failures[status], size: 7, color: line.color, line: { width: 0 } },
        });
      }
    }
    return [traces, Math.max(0, ...rows.values())];
  }

  function drawChart(target, measure, limits) {
    const shown = slice();
    if (!measure || !shown) { target.hidden = true; return; }
    const curves = shown.curves.filter((curve) => !hidden.has(curve.style));
    const [failures, stacked] = failureTraces(curves);
    const traces = curves.flatMap((curve) => curveTraces(curve, shown, measure));
    const values = traces.filter((trace) => trace.meta !== "fit").flatMap((trace) => trace.y).concat(limits.map((one) => one[1]));
    let low = values.length ? Math.min(...values) : 1;
    let high = values.length ? Math.max(...values) : 4;
    const middle = Math.sqrt(low * high);
    const half = Math.sqrt(Math.max(high / low, 4)) * 1.18;
    [low, high] = [middle / half, middle * half];
    const part = stacked ? Math.min(0.5, (stacked + 0.5) * 0.06) : 0;
    const range = [low, low * (high / low) ** (1 / (1 - part))];
    const margin = Math.max(1.15, (shown.sizes[shown.sizes.length - 1] / shown.sizes[0]) ** 0.05);
    const sizes = [shown.sizes[0] / margin, shown.sizes[shown.sizes.length - 1] * margin];
    const along = shown.sizes.length <= 9 ? shown.sizes : undefined;
    const rows = stacked ? stacked / Math.min(0.5, stacked * 0.06) : 1;
    const layout = {
      margin: { l: 8, r: 14, t: 8, b: 8 }, showlegend: false, hovermode: "closest", dragmode: "zoom",
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: css("--ink"), size: 12, family: "system-ui, DejaVu Sans, sans-serif" },
      hoverlabel: { bgcolor: css("--soft"), bordercolor: css("--line"), font: { color: css("--ink") }, align: "left" },
      xaxis: axis(sizes, "count", data.axes[shown.axis], along), yaxis: axis(range, measure.unit, measure.title),
      yaxis2: { overlaying: "y", range: [rows - 0.6, -0.6], visible: false, fixedrange: true },
      shapes: limits.map(([, at]) => ({ type: "line", xref: "paper", x0: 0, x1: 1, y0: at, y1: at, layer: "below", line: { color: css("--muted"), width: 3 } })),
      annotations: limits.map(([limit, at]) => ({
        xref: "paper", x: 0, xanchor: "left", y: Math.log10(at), yanchor: "top", showarrow: false, font: { color: css("--muted"), size: 11 },
        text: `memory limit ${tickLabel(limit, "bytes")}${limit === at ? "" : ", less what the process holds"}`,
      })),
    };
    target.hidden = false;
    Plotly.react(target, [...traces, ...failures], layout, options());
    if (!target.dataset.listens) {
      target.dataset.listens = "yes";
      target.on("plotly_click", (event) => { const index = event.points[0].customdata; if (index !== undefined) open(index); });
      target.on("plotly_relayout", (change) => { if (Object.keys(change).some((key) => key.includes("axis.") && !key.includes("tick"))) retick(target); });
    }
  }

  function options() {
    return { displaylogo: false, displayModeBar: false, responsive: true };
  }

  // Ticks are given by us, so that they are round in MiB; after a zoom they have to be given anew.
  function retick(target) {
    const measure = (target.id === "memory-chart" ? data.memory : data.speed)[Number(byId(target.id.replace("chart", "measure")).value)];
    const range = target.layout.yaxis.range.map((power) => 10 ** power);
    const shown = ticks(range[0], range[1], measure.unit);
    const sizes = target.layout.xaxis.range.map((power) => 10 ** power);
    const inside = slice().sizes.filter((size) => size >= sizes[0] && size <= sizes[1]);
    const along = inside.length > 1 && inside.length <= 9 ? inside : ticks(sizes[0], sizes[1], "count");
    Plotly.relayout(target, {
      "yaxis.tickvals": shown, "yaxis.ticktext": shown.map((value) => tickLabel(value, measure.unit)),
      "xaxis.tickvals": along, "xaxis.ticktext": along.map((value) => tickLabel(value, "count")),
    });
  }

  function draw() {
    const memory = data.memory[Number(byId("memory-measure").value)];
    const speed = data.speed[Number(byId("speed-measure").value)];
    drawChart(byId("memory-chart"), memory, memory ? data.limits[memory.field] : []);
    drawChart(byId("speed-chart"), speed, []);
    listFits([memory, speed].filter(Boolean));
  }

  function listFits(measures) {
    const rows = [];
    for (const measure of measures) {
      for (const curve of slice() ? slice().curves : []) {
        const trend = curve.trends[measure.field];
        if (trend && !hidden.has(curve.style)) rows.push([curve.label, measure.title, trend.words]);
      }
    }
    byId("fits").replaceChildren();
    if (!rows.length) return;
    const table = element("table");
    table.append(line("th", ["Fit of", "", "Grows"], []));
    for (const row of rows) table.append(line("td", row, []));
    byId("fits").append(table);
  }

  function swatch(style) {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("width", "30"); svg.setAttribute("height", "14"); svg.setAttribute("aria-hidden", "true");
    const made = (name, attributes) => {
      const part = document.createElementNS("http://www.w3.org/2000/svg", name);
      for (const [key, value] of Object.entries(attributes)) part.setAttribute(key, value);
      svg.append(part);
    };
    const pattern = dash(style) === "solid" ? "" : dash(style).replace(/px/g, "");
    made("line", { x1: 0, y1: 7, x2: 30, y2: 7, stroke: colour(style), "stroke-width": 2, "stroke-dasharray": pattern });
    made("path", { d: data.look.swatches[style % data.look.swatches.length], transform: "translate(15 7)", fill: css("--soft"), stroke: colour(style), "stroke-width": 2 });
    return svg;
  }

  function drawLegend() {
    const buttons = (slice() ? slice().curves : []).map((curve) => {
      const button = element("button");
      button.type = "button";
      button.setAttribute("aria-pressed", String(!hidden.has(curve.style)));
      button.append(swatch(curve.style), element("span", curve.label));
      button.addEventListener("click", () => {
        if (!hidden.delete(curve.style)) hidden.add(curve.style);
        drawLegend(); draw();
      });
      return button;
    });
    byId("legend").replaceChildren(...buttons);
  }

  function fill(select, names, chosen) {
    select.replaceChildren(...names.map(([value, text]) => { const option = element("option", text); option.value = value; return option; }));
    if (chosen !== undefined) select.value = String(chosen);
    select.parentElement.hidden = names.length < 2;
  }

  function chooseSlices() {
    const found = charts();
    fill(byId("slice"), found.map((one, place) => [String(place), one.title]), Math.max(0, found.findIndex((one) => one.chosen)));
  }

  function setUpCharts() {
    const axes = Object.keys(data.axes).filter((name) => data.slices.some((one) => one.axis === name));
    fill(byId("axis"), axes.map((name) => [name, data.axes[name].toLowerCase()]));
    fill(byId("memory-measure"), data.memory.map((one, place) => [String(place), one.title]));
    fill(byId("speed-measure"), data.speed.map((one, place) => [String(place), one.title]));
    chooseSlices();
    byId("no-charts").hidden = data.memory.length + data.speed.length > 0;
    byId("axis").addEventListener("change", () => { chooseSlices(); drawLegend(); draw(); });
    byId("slice").addEventListener("change", () => { drawLegend(); draw(); });
    byId("memory-measure").addEventListener("change", draw);
    byId("speed-measure").addEventListener("change", draw);
    byId("controls").addEventListener("submit", (event) => event.preventDefault());
    dark.addEventListener("change", () => { drawLegend(); draw(); });
    drawLegend();
    draw();
  }

  // The table.

  let sortBy = null;
  let downwards = false;
  let room = PAGE;

  function columns() { return byId("every-column").checked ? data.columns : data.shown; }

  const folded = (value) => String(value ?? "").toLowerCase();

  // What the filter asks for: texts, and `column=value` with the value in quotes, or going on for as many words as
  // the column has a value of.
  function conditions(text) {
    const unquoted = (part) => part.replace(/^"|"$/g, "").trim().replace(/\s+/g, " ");
    const words = folded(text).match(/[^\s="]+="[^"]*"?|"[^"]*"?|\S+/g) || [];
    const found = [];
    while (words.length) {
      const word = words.shift();
      const [, name, value] = word.match(/^([^=]+)=(.*)$/s) || [];
      if (name === undefined || !Object.hasOwn(column, name)) {
        found.push({ text: unquoted(word) });
      } else if (value === "" || value.startsWith('"')) {
        found.push({ name, text: unquoted(value) });
      } else {
        const known = new Set(data.records.map((record) => folded(cell(record, name))));
        const further = (count) => [value, ...words.slice(0, count)].join(" ");
        const more = words.findLastIndex((_, place) => known.has(further(place + 1))) + 1;
        found.push({ name, text: further(more) });
        words.splice(0, more);
      }
    }
    return found;
  }

  function matches(record, asked) {
    return asked.every(({ name, text }) => (
      name === undefined ? record.some((value) => folded(value).includes(text)) : folded(cell(record, name)) === text));
  }

  function compare(a, b) {
    if (a === null || a === "") return b === null || b === "" ? 0 : 1;
    if (b === null || b === "") return -1;
    const order = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
    return downwards ? -order : order;
  }

  function line(kind, texts, numbers) {
    const row = element("tr");
    texts.forEach((text, place) => row.append(element(kind, text, numbers[place] ? "number" : text.length > 40 ? "text" : "")));
    return row;
  }

  function drawTable() {
    const names = columns();
    const asked = conditions(byId("filter").value);
    const status = byId("status").value;
    const found = data.records.map((record, index) => [record, index])
      .filter(([record]) => (!status || cell(record, "status") === status) && matches(record, asked));
    if (sortBy !== null) found.sort(([a], [b]) => compare(cell(a, sortBy), cell(b, sortBy)));
    const head = element("tr");
    for (const name of names) {
      const header = element("th", undefined, data.numeric.includes(name) ? "number" : "");
      header.setAttribute("aria-sort", name !== sortBy ? "none" : downwards ? "descending" : "ascending");
      const button = element("button", name);
      button.type = "button";
      button.addEventListener("click", () => {
        if (sortBy === name && downwards) { sortBy = null; downwards = false; } else { downwards = sortBy === name; sortBy = name; }
        drawTable();
      });
      header.append(button);
      head.append(header);
    }
    const table = byId("table");
    table.tHead.replaceChildren(head);
    const numbers = names.map((name) => data.numeric.includes(name));
    const rows = found.slice(0, room).map(([record, index]) => {
      const row = line("td", names.map((name) => formatted(cell(record, name), unitOf(name))), numbers);
      row.tabIndex = 0;
      row.addEventListener("click", () => open(index));
      row.addEventListener("keydown", (event) => { if (event.key === "Enter") open(index); });
      return row;
    });
    if (found.length > room) {
      const more = element("button", `show ${Math.min(PAGE, found.length - room)} more`);
      more.type = "button";
      more.addEventListener("click", (event) => { event.stopPropagation(); room += PAGE; drawTable(); });
      const row = element("tr");
      const place = element("td");
      place.colSpan = names.length;
      place.append(more);
      row.append(place);
      rows.push(row);
    }
    table.tBodies[0].replaceChildren(...rows);
    byId("count").textContent = `${found.length} of ${data.records.length} rows${found.length > room ? `, the first ${room} shown` : ""}`;
  }

  function setUpTable() {
    const statuses = [...new Set(data.records.map((record) => cell(record, "status")))];
    fill(byId("status"), [["", "any way"], ...statuses.map((name) => [name, name])]);
    byId("filter").addEventListener("input", () => { room = PAGE; drawTable(); });
    byId("status").addEventListener("change", () => { room = PAGE; drawTable(); });
    byId("every-column").addEventListener("change", drawTable);
    drawTable();
  }

  // One point.

  function small(title, traces, unit) {
    const box = element("div", undefined, "small");
    byId("detail-charts").append(box);
    const shown = { gridcolor: css("--line"), linecolor: css("--muted"), automargin: true, zeroline: false };
    const layout = {
      title: { text: title.name, font: { size: 13 }, x: 0, xref: "paper" }, margin: { l: 8, r: 10, t: 30, b: 8 }, hovermode: "closest",
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: css("--ink"), size: 11 },
      legend: { orientation: "h", y: -0.28, yanchor: "top", x: 0, font: { size: 10 } }, showlegend: traces.length > 1 || traces[0].name !== "",
      xaxis: { ...shown, title: { text: title.along } }, yaxis: { ...shown, rangemode: unit ? "tozero" : "normal" },
      hoverlabel: { bgcolor: css("--soft"), bordercolor: css("--line"), font: { color: css("--ink") } },
    };
    if (unit) {
      const top = Math.max(...traces.flatMap((trace) => trace.y.filter((value) => value !== null)), 0) || 1;
      const step = roundStep(top / 4, unit);
      layout.yaxis.tickvals = Array.from({ length: Math.floor(top / step) + 1 }, (_, n) => n * step);
      layout.yaxis.ticktext = layout.yaxis.tickvals.map((value) => tickLabel(value, unit));
    }
    Plotly.newPlot(box, traces, layout, options());
  }

  function roundStep(least, unit) {
    if (unit === "bytes") return 2 ** Math.ceil(Math.log2(least));
    const power = 10 ** Math.floor(Math.log10(least));
    return [1, 2, 5, 10].find((step) => step * power >= least) * power;
  }

  // One trace per phase, so that each has its colour and its name; a phase that comes again goes on with a gap.
  function byPhase(xs, ys, phases, mode, unit) {
    const traces = new Map();
    xs.forEach((x, place) => {
      const name = phases ? phases[place] : "";
      if (!traces.has(name)) {
        const style = traces.size;
        traces.set(name, { x: [], y: [], text: [], name: plain(name), mode, marker: { color: colour(style), size: 5, symbol: symbol(style) }, line: { color: colour(style), dash: style < data.look.colours.length ? "solid" : "dot" }, hovertemplate: "%{text}<extra></extra>" });
      }
      const trace = traces.get(name);
      const first = place > 0 && phases && phases[place - 1] !== name;
      if (first && mode === "lines") {
        trace.x.push(xs[place - 1]); trace.y.push(null); trace.text.push("");
        trace.x.push(xs[place - 1]); trace.y.push(ys[place - 1]); trace.text.push("");
      }
      trace.x.push(x); trace.y.push(ys[place]);
      trace.text.push(`${plain(name)} ${formatted(x, "")}: ${formatted(ys[place], unit)}`);
    });
    return [...traces.values()];
  }

  function siblings(index) {
    const key = (record) => data.identity.map((name) => JSON.stringify(cell(record, name))).join();
    const wanted = key(data.records[index]);
    return data.records.map((record, place) => place).filter((place) => key(data.records[place]) === wanted);
  }

  function open(index) {
    const record = data.records[index];
    const mode = cell(record, "mode");
    byId("detail-title").textContent = `${cell(record, "model")}${mode ? `:${mode}` : ""}, ${cell(record, "agents")} agents, ${cell(record, "seq_len")} timesteps`;
    const others = siblings(index);
    byId("repeats").replaceChildren(...(others.length < 2 ? [] : others.map((place) => {
      const button = element("button", `repeat ${cell(data.records[place], "repeat")}: ${cell(data.records[place], "status")}`);
      button.type = "button";
      button.setAttribute("aria-pressed", String(place === index));
      button.addEventListener("click", () => open(place));
      return button;
    })));
    const reason = cell(record, "reason");
    byId("reason").textContent = cell(record, "status") === "ok" ? "" : `${cell(record, "status")}${reason ? `: ${reason}` : ""}`;
    if (!byId("detail").open) byId("detail").showModal();
    const files = data.files[index] || {};
    drawFiles(files.samples, files.timeline);
    byId("no-files").hidden = Boolean(files.samples || files.timeline);
    const facts = data.columns.filter((name) => cell(record, name) !== null && cell(record, name) !== "").map((name) => {
      const row = element("tr");
      row.append(element("th", name), element("td", formatted(cell(record, name), unitOf(name)), "text"));
      return row;
    });
    byId("facts").tBodies[0].replaceChildren(...facts);
  }

  function drawFiles(samples, timeline) {
    for (const old of byId("detail-charts").children) Plotly.purge(old);
    byId("detail-charts").replaceChildren();
    byId("samples").hidden = !samples;
    if (samples) {
      const length = Object.values(samples)[0].length;
      const numbers = Array.from({ length }, (_, place) => place);
      const drawn = (names) => names.filter((name) => samples[name]).map((name, style) => ({
        x: numbers, y: samples[name], name: name.replace(/_/g, " "), mode: "lines+markers",
        line: { color: colour(style), dash: dash(style) }, marker: { size: 4, symbol: symbol(style), color: colour(style) },
      }));
      if (samples.update_seconds) small({ name: "Time of every update", along: "updates in the order of time" }, byPhase(numbers, samples.update_seconds, samples.phase, "markers", "seconds"), "seconds");
      const losses = drawn(["policy_loss", "value_loss"]);
      if (losses.length) small({ name: "Loss", along: "updates in the order of time" }, losses);
      const returns = drawn(["mean_return", "episode_return", "mean_reward"]);
      if (returns.length) small({ name: "Return and reward", along: "updates in the order of time" }, returns);
      const names = Object.keys(samples);
      const numeric = names.map((name) => name !== "phase");
      const table = byId("samples").querySelector("table");
      table.tHead.replaceChildren(line("th", names, numeric));
      table.tBodies[0].replaceChildren(...numbers.map((_, place) => line("td", names.map((name) => formatted(samples[name][place], unitOf(name))), numeric)));
    }
    if (timeline) small({ name: "Resident memory by phase", along: "seconds since the process began" }, byPhase(timeline.seconds, timeline.rss_bytes, timeline.phase, "lines", "bytes"), "bytes");
  }

  function setUpDetail() {
    byId("close").addEventListener("click", () => byId("detail").close());
    byId("detail").addEventListener("click", (event) => { if (event.target === byId("detail")) byId("detail").close(); });
  }

  byId("csv").href = URL.createObjectURL(new Blob([data.csv], { type: "text/csv;charset=utf-8" }));
  setUpTable();
  setUpDetail();
  setUpCharts();
  document.documentElement.dataset.ready = "yes";
})();
