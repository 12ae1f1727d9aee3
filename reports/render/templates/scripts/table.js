  // The table.

  const PAGE = 500;
  let sortBy = null;
  let downwards = false;
  let room = PAGE;

  function columns() { return byId("every-column").checked ? data.columns : data.shown; }

  const folded = (value) => String(value ?? "").toLowerCase();

  // The conditions of the filter: texts, and `column=value` with the value in quotes or extending over as many words as
  // match a value of the column.
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
    const rows = found.slice(0, room).map(([, index]) => {
      const row = line("td", names.map((name) => shown(index, name)), numbers);
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
    fill(byId("status"), [["", "all"], ...statuses.map((name) => [name, name])]);
    byId("filter").addEventListener("input", () => { room = PAGE; drawTable(); });
    byId("status").addEventListener("change", () => { room = PAGE; drawTable(); });
    byId("every-column").addEventListener("change", drawTable);
    drawTable();
  }

