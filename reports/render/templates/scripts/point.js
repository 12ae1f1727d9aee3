  // One point.

  function small(title, traces, ticked) {
    const box = element("div", undefined, "small");
    byId("detail-charts").append(box);
    const common = { gridcolor: css("--line"), linecolor: css("--muted"), automargin: true, zeroline: false };
    const layout = {
      title: { text: title.name, font: { size: 13 }, x: 0, xref: "paper" }, margin: { l: 8, r: 10, t: 30, b: 8 }, hovermode: "closest",
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: css("--ink"), size: 11 },
      legend: { orientation: "h", y: -0.28, yanchor: "top", x: 0, font: { size: 10 } }, showlegend: traces.length > 1 || traces[0].name !== "",
      xaxis: { ...common, title: { text: title.along } }, yaxis: { ...common, rangemode: ticked ? "tozero" : "normal" },
      hoverlabel: { bgcolor: css("--soft"), bordercolor: css("--line"), font: { color: css("--ink") } },
    };
    if (ticked) {
      layout.yaxis.tickvals = ticked.map(([value]) => value);
      layout.yaxis.ticktext = ticked.map(([, label]) => label);
    }
    Plotly.newPlot(box, traces, layout, options());
  }

  // One trace per phase, with its own colour and name; a phase that recurs continues after a gap.
  function byPhase(xs, ys, phases, mode, texts) {
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
      trace.text.push(`${plain(name)} ${texts[place]}`);
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
    byId("detail-title").textContent = `${cell(record, "model")}${mode ? `:${mode}` : ""}, ${shown(index, "agents")} agents, ${shown(index, "seq_len")} timesteps`;
    const others = siblings(index);
    byId("repeats").replaceChildren(...(others.length < 2 ? [] : others.map((place) => {
      const button = element("button", `repeat ${shown(place, "repeat")}: ${cell(data.records[place], "status")}`);
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
      row.append(element("th", name), element("td", shown(index, name), "text"));
      return row;
    });
    byId("facts").tBodies[0].replaceChildren(...facts);
  }

  function drawFiles(samples, timeline) {
    for (const old of byId("detail-charts").children) Plotly.purge(old);
    byId("detail-charts").replaceChildren();
    byId("samples").hidden = !samples;
    if (samples) {
      const { values, texts, ticks: ticked } = samples;
      const numbers = Object.values(values)[0].map((_, place) => place);
      const drawn = (names) => names.filter((name) => values[name]).map((name, style) => ({
        x: numbers, y: values[name], name: name.replace(/_/g, " "), mode: "lines+markers", text: texts[name].map((text, place) => `update ${place}: ${text}`),
        hovertemplate: "%{text}", line: { color: colour(style), dash: dash(style) }, marker: { size: 4, symbol: symbol(style), color: colour(style) },
      }));
      if (values.update_seconds) {
        const hints = texts.update_seconds.map((text, place) => `update ${place}: ${text}`);
        small({ name: "Update time", along: "update" }, byPhase(numbers, values.update_seconds, values.phase, "markers", hints), ticked);
      }
      const losses = drawn(["policy_loss", "value_loss"]);
      if (losses.length) small({ name: "Loss", along: "update" }, losses);
      const returns = drawn(["mean_return", "episode_return", "mean_reward"]);
      if (returns.length) small({ name: "Return and reward", along: "update" }, returns);
      const names = Object.keys(values);
      const numeric = names.map((name) => name !== "phase");
      const table = byId("samples").querySelector("table");
      table.tHead.replaceChildren(line("th", names, numeric));
      table.tBodies[0].replaceChildren(...numbers.map((place) => line("td", names.map((name) => texts[name][place]), numeric)));
    }
    if (timeline) {
      const { values, texts, ticks: ticked } = timeline;
      small({ name: "Resident memory by phase", along: "seconds since process start" }, byPhase(values.seconds, values.rss_bytes, values.phase, "lines", texts), ticked);
    }
  }

  function setUpDetail() {
    byId("close").addEventListener("click", () => byId("detail").close());
    byId("detail").addEventListener("click", (event) => { if (event.target === byId("detail")) byId("detail").close(); });
  }

