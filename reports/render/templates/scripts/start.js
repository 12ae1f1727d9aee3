  byId("csv").href = URL.createObjectURL(new Blob([data.csv], { type: "text/csv;charset=utf-8" }));
  setUpTable();
  setUpDetail();
  setUpCharts();
  document.documentElement.dataset.ready = "yes";
