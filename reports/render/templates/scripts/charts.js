  // Charts.

  const ROW_PIXELS = 20;
  const STRIP_EDGE_PIXELS = 6;
  const BELOW_AXES_PIXELS = 56;
  const MOST_OF_A_CHART = 0.45;

  const MEANINGS = {
    fit: "Thin short dashes: the law of the curve, extrapolated beyond its last point.",
    band: "Shaded: the law's 95\u00a0% interval.",
    repeats: "Small filled marks: the repeats.",
    bars: "Vertical bars: from the lowest to the highest repeat.",
    failures: "Markers above the axes: points without a result; the outline shows the curve, the inner mark the status.",
  };

  const hidden = new Set();
  const drawn = new Set();
  const charts = () => data.slices.filter((slice) => slice.axis === byId("axis").value);
  const slice = () => charts()[Number(byId("slice").value)] || charts()[0];

  // The ticks in a range: of the coarsest level with enough of them, as reports/text/ticks.py chooses.
  function ticks([low, high], unit) {
    const { fewest, most, levels } = data.ticks;
    let found = [];
    for (const { values, labels } of levels[unit]) {
      found = values.map((value, place) => [value, labels[place]]).filter(([value]) => value >= low && value <= high);
      if (found.length >= fewest) break;
    }
    const every = Math.ceil(found.length / most);
    return found.filter((_, place) => place % every === 0);
  }

  function axis(range, title, ticked) {
    return {
      type: "log", range: range.map(Math.log10), title: { text: title, standoff: 8 }, automargin: true, gridcolor: css("--line"),
      linecolor: css("--muted"), zeroline: false, tickvals: ticked.map(([value]) => value), ticktext: ticked.map(([, label]) => label),
    };
  }

  // The sizes of a slice where there is room for them.
  function sizeTicks(range) {
    const inside = slice().sizes.filter(([size]) => size >= range[0] && size <= range[1]);
    return inside.length > 1 && inside.length <= data.ticks.most ? inside : ticks(range, "count");
  }

  function curveTraces(curve, measure) {
    const look = { color: colour(curve.style) };
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
    const above = [];
    const below = [];
    for (const { size, at, value, text, places } of curve.measured[measure.field]) {
      const where = `${plain(curve.label)}<br>${at}: `;
      middle.x.push(size); middle.y.push(value); middle.customdata.push(places[0]); middle.text.push(where + text);
      const repeats = places.map((index) => cell(data.records[index], measure.field));
      above.push(Math.max(...repeats) - value); below.push(value - Math.min(...repeats));
      if (places.length < 2) continue;
      for (const index of places) {
        single.x.push(size); single.y.push(cell(data.records[index], measure.field)); single.customdata.push(index);
        single.text.push(`${where}${shown(index, measure.field)}, repeat ${shown(index, "repeat")}`);
      }
    }
    const hover = { hovertemplate: "%{text}<extra></extra>", marker: { ...look, symbol: symbol(curve.style) } };
    if (single.x.length) {
      traces.push({ ...single, ...hover, mode: "markers", meta: "repeats", marker: { ...hover.marker, size: 5, opacity: 0.5 } });
    }
    if (middle.x.length) {
      // From the lowest to the highest repeat; a single one has no bar.
      const bars = above.some((height, place) => height + below[place] > 0);
      const errors = { type: "data", symmetric: false, array: above, arrayminus: below, color: look.color, thickness: 1.2, width: 4 };
      traces.push({
        ...(bars ? { error_y: errors } : {}),
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
      for (const { size, at: where, place } of curve.failures) {
        const row = rows.get(size) || 0;
        rows.set(size, row + 1);
        const record = data.records[place];
        const status = cell(record, "status");
        const why = plain(String(cell(record, "reason") || "").slice(0, 90));
        const at = { x: [size], y: [row], yaxis: "y2", mode: "markers", cliponaxis: false };
        const line = { width: 1.5, color: colour(curve.style) };
        traces.push({ ...at, meta: "whose", hoverinfo: "skip", marker: { symbol: `${symbol(curve.style)}-open`, size: 17, color: line.color, line } });
        traces.push({
          ...at, meta: "failure", customdata: [place], hovertemplate: "%{text}<extra></extra>",
          text: [`${plain(curve.label)}<br>${where}: ${status}${why ? `<br>${why}` : ""}`],
          marker: { symbol: data.look.failures[status], size: 7, color: line.color, line: { width: 0 } },
        });
      }
    }
    return [traces, Math.max(0, ...rows.values())];
  }

  // The part of a chart's height that failures take, in a strip above the axes, and how many rows it is high.
  function strip(target, stacked) {
    if (!stacked) return { part: 0, rows: 1 };
    const part = Math.min(MOST_OF_A_CHART, (stacked * ROW_PIXELS + STRIP_EDGE_PIXELS) / (target.clientHeight - BELOW_AXES_PIXELS));
    return { part, rows: stacked };
  }

  function drawChart(target, measure, limits) {
    const one = slice();
    target.hidden = !measure || !one;
    if (target.hidden) return;
    const curves = one.curves.filter((curve) => !hidden.has(curve.style));
    const [failures, stacked] = failureTraces(curves);
    const traces = curves.flatMap((curve) => curveTraces(curve, measure));
    const values = traces.filter((trace) => trace.meta !== "fit").flatMap((trace) => trace.y).concat(limits.map(([at]) => at));
    let low = values.length ? Math.min(...values) : 1;
    let high = values.length ? Math.max(...values) : 4;
    const middle = Math.sqrt(low * high);
    const half = Math.sqrt(Math.max(high / low, 4)) * 1.18;
    [low, high] = [middle / half, middle * half];
    const { part, rows } = strip(target, stacked);
    const range = [low, high];
    const [[first], [last]] = [one.sizes[0], one.sizes[one.sizes.length - 1]];
    const margin = Math.max(1.15, (last / first) ** 0.05);
    const sizes = [first / margin, last * margin];
    const layout = {
      margin: { l: 8, r: 14, t: 8, b: 8 }, showlegend: false, hovermode: "closest", dragmode: "zoom",
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: css("--ink"), size: 12, family: "system-ui, DejaVu Sans, sans-serif" },
      hoverlabel: { bgcolor: css("--soft"), bordercolor: css("--line"), font: { color: css("--ink") }, align: "left" },
      xaxis: axis(sizes, data.axes[one.axis], sizeTicks(sizes)), yaxis: { ...axis(range, measure.title, ticks(range, measure.unit)), domain: [0, 1 - part] },
      yaxis2: { domain: [1 - part, 1], range: [-0.7, rows - 0.5], visible: false, fixedrange: true },
      shapes: limits.map(([at]) => ({ type: "line", xref: "paper", x0: 0, x1: 1, y0: at, y1: at, layer: "below", line: { color: css("--muted"), width: 3 } })),
      annotations: limits.map(([at, text]) => ({
        xref: "paper", x: 0, xanchor: "left", y: Math.log10(at), yanchor: "top", showarrow: false, font: { color: css("--muted"), size: 11 }, text,
      })),
    };
    if (part) layout.annotations.push({
      xref: "paper", x: 0, xanchor: "right", xshift: -6, yref: "paper", y: 1 - part / 2, yanchor: "middle", showarrow: false,
      font: { color: css("--muted"), size: 11 }, text: "no result",
    });
    if (part) layout.shapes.push({
      type: "line", xref: "paper", x0: 0, x1: 1, yref: "paper", y0: 1 - part, y1: 1 - part, layer: "below", line: { color: css("--line"), width: 1 },
    });
    Plotly.react(target, [...traces, ...failures], layout, options());
    for (const trace of traces) {
      drawn.add(trace.meta);
      if (trace.fill) drawn.add("band");
      if (trace.error_y) drawn.add("bars");
    }
    if (failures.length) drawn.add("failures");
    if (!target.dataset.listens) {
      target.dataset.listens = "yes";
      target.on("plotly_click", (event) => { const index = event.points[0].customdata; if (index !== undefined) open(index); });
      target.on("plotly_relayout", (change) => { if (Object.keys(change).some((key) => key.includes("axis.") && !key.includes("tick"))) retick(target); });
    }
  }

  // Ticks are set explicitly, so that they are round in MiB: a zoom has to set them anew.
  function retick(target) {
    const measure = (target.id === "memory-chart" ? data.memory : data.speed)[Number(byId(target.id.replace("chart", "measure")).value)];
    const visible = (name) => target.layout[name].range.map((power) => 10 ** power);
    const [along, values] = [sizeTicks(visible("xaxis")), ticks(visible("yaxis"), measure.unit)];
    Plotly.relayout(target, {
      "yaxis.tickvals": values.map(([value]) => value), "yaxis.ticktext": values.map(([, label]) => label),
      "xaxis.tickvals": along.map(([value]) => value), "xaxis.ticktext": along.map(([, label]) => label),
    });
  }

  function draw() {
    const memory = data.memory[Number(byId("memory-measure").value)];
    const speed = data.speed[Number(byId("speed-measure").value)];
    drawn.clear();
    drawChart(byId("memory-chart"), memory, memory ? data.limits[memory.field] : []);
    drawChart(byId("speed-chart"), speed, []);
    byId("drawn").textContent = Object.keys(MEANINGS).filter((what) => drawn.has(what)).map((what) => MEANINGS[what]).join(" ");
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
    table.append(line("th", ["curve", "measure", "growth"], []));
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

