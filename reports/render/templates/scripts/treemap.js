"use strict";
(() => {
  const tiles = JSON.parse(document.getElementById("data").textContent);
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  // Names are data: plotly reads some tags in texts, so its brackets are shown as characters.
  const plain = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const trace = {
    type: "treemap",
    branchvalues: "total",
    ids: tiles.ids,
    parents: tiles.parents,
    labels: tiles.labels.map(plain),
    values: tiles.values,
    text: tiles.texts,
    texttemplate: "%{label}<br>%{text}",
    hovertemplate: "%{label}<br>%{text}<extra></extra>",
    marker: { colors: tiles.colours },
    maxdepth: 4,
  };
  const layout = {
    margin: { l: 0, r: 0, t: 30, b: 0 },
    paper_bgcolor: "rgba(0,0,0,0)",
    font: { color: dark ? "#e6e6e6" : "#222222" },
    uniformtext: { minsize: 9, mode: "hide" },
  };
  Plotly.newPlot("treemap", [trace], layout, { responsive: true, displaylogo: false, displayModeBar: false })
    .then(() => { document.documentElement.dataset.ready = "yes"; });
})();
