  // The data, and what all parts of the page share. Every number comes with the text to show: see page_data.py.

  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const column = Object.fromEntries(data.columns.map((name, place) => [name, place]));
  const dark = matchMedia("(prefers-color-scheme: dark)");

  // Characters from which on a text may be cut in a table; its title holds all of it.
  const LONG = 40;

  function cell(record, name) { return record[column[name]]; }

  // The text of a cell: what Python formatted, or the text that the cell holds.
  function shown(index, name) {
    const text = data.texts[index][column[name]];
    return text === 0 ? cell(data.records[index], name) ?? "" : text;
  }

  // Plotly interprets a few tags and entities in its texts.
  function plain(text) { return String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;"); }

  function element(name, text, className) {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    if (className) made.className = className;
    return made;
  }

  function line(kind, texts, numbers) {
    const row = element("tr");
    texts.forEach((text, place) => {
      const made = element(kind, text, numbers[place] ? "number" : text.length > LONG ? "text" : "");
      if (text.length > LONG) made.title = text;
      row.append(made);
    });
    return row;
  }

  function fill(select, names, chosen) {
    select.replaceChildren(...names.map(([value, text]) => { const option = element("option", text); option.value = value; return option; }));
    if (chosen !== undefined) select.value = String(chosen);
    select.parentElement.hidden = names.length < 2;
  }

  function colour(style) {
    const found = data.look.colours[style % data.look.colours.length];
    return dark.matches ? data.look.dark[found] || found : found;
  }
  const symbol = (style) => data.look.markers[style % data.look.markers.length];
  const dash = (style) => data.look.dashes[style % data.look.dashes.length];
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  function options() {
    return { displaylogo: false, displayModeBar: false, responsive: true };
  }

