// Vega-Lite specifications. Vega draws; the page only names data and encodings.

const CONFIG = {
  font: "system-ui, sans-serif", view: { stroke: null },
  axis: { labelFontSize: 12, titleFontSize: 13, titleFontWeight: "normal", gridColor: "#eaeef2", labelLimit: 420,
    labelFlush: false, labelSeparation: 8 },
  legend: { labelFontSize: 12, title: null, orient: "bottom", symbolType: "circle", symbolOpacity: 1, labelLimit: 300, symbolLimit: 200 },
};
const SHAPES = { o: "circle", s: "square", D: "diamond", d: "diamond", "^": "triangle-up", v: "triangle-down",
  "<": "triangle-left", ">": "triangle-right", P: "cross", X: "cross" };

/** Draws a specification into a figure, after what it draws already; alt says in words what it shows. */
function draw(figure, spec, alt, clicked) {
  figure.drawn = (figure.drawn ?? Promise.resolve()).then(() => drawNow(figure, spec, alt, clicked));
  return figure.drawn;
}

async function drawNow(figure, spec, alt, clicked) {
  const box = figure.querySelector("div");
  figure.view?.finalize();
  figure.view = null;
  if (!spec) {
    box.replaceChildren(element("p", {}, "Nothing to draw: none of the rows shown has these numbers."));
    box.setAttribute("aria-label", "nothing is drawn");
    return;
  }
  const whole = { $schema: "https://vega.github.io/schema/vega-lite/v6.json", config: CONFIG,
    autosize: { type: "fit-x", contains: "padding" }, ...spec, description: alt };
  const { view } = await window.vegaEmbed(box, whole, { actions: false, renderer: "svg" });
  figure.view = view;
  if (clicked) view.addEventListener("click", (_, item) => finite(item?.datum?.cell) && clicked(item.datum.cell));
}

function armScales(grid, cells) {
  const arms = [...new Set(cells.map((n) => grid.cells[n].arm))].map((n) => grid.arms[n]);
  const domain = arms.map((arm) => arm.name);
  return {
    color: { field: "arm", type: "nominal", scale: { domain, range: arms.map((arm) => arm.colour) },
      legend: { columns: columnsOf(domain) } },
    shape: { field: "arm", type: "nominal", legend: { columns: columnsOf(domain) },
      scale: { domain, range: arms.map((arm) => SHAPES[arm.marker] ?? "circle") } },
  };
}

/** How many entries of a legend fit beside each other, right of `taken` letters. */
function columnsOf(names, taken = 0) {
  const longest = Math.max(8, ...names.map((name) => name.length));
  const width = document.getElementById("view").clientWidth - 7 * taken;
  return Math.max(1, Math.floor(width / (longest * 7.5 + 28)));
}

const quantity = (field, title, extra = {}) =>
  ({ field, type: "quantitative", title, scale: { zero: false, nice: true }, ...extra });

const sweptText = (grid, n) => grid.cells[n].swept.filter(finite).join(" · ");

/** Those of the points that lie far enough from each other to be named. */
function apart(points) {
  const extent = (field) => Math.max(...points.map((p) => p[field])) - Math.min(...points.map((p) => p[field])) || 1;
  const [width, height] = [extent("x"), extent("y")];
  const near = (a, b) => Math.abs(a.x - b.x) < 0.04 * width && Math.abs(a.y - b.y) < 0.05 * height;
  const kept = [];
  for (const point of points) if (!kept.some((other) => near(point, other))) kept.push(point);
  return kept;
}

/** One metric against another, with intervals; swept values stand on each arm's curve. */
function tradeoffSpec(grid, cells, x, y, titles) {
  const values = cells.map((n) => {
    const [across, up] = [grid.value(n, x), grid.value(n, y)];
    return { cell: n, label: grid.labels[n], arm: grid.arm(n).name, swept: sweptText(grid, n),
      order: grid.cells[n].swept.find(finite) ?? 0, x: across.mean, xLow: across.low, xHigh: across.high,
      y: up.mean, yLow: up.low, yHigh: up.high };
  }).filter((row) => finite(row.x) && finite(row.y));
  if (!values.length) return null;
  const { color, shape } = armScales(grid, cells);
  const ruled = (low, high) => (row) => finite(row[low]) && finite(row[high]);
  const [axisX, axisY] = [quantity("x", titles[0]), quantity("y", titles[1])];
  const tooltip = [{ field: "label", title: "arm" },
    ...["x", "y"].flatMap((a, n) => [{ field: a, title: titles[n], format: ".4~r" },
      { field: `${a}Low`, title: "from", format: ".4~r" }, { field: `${a}High`, title: "to", format: ".4~r" }])];
  const lines = grid.swept.length === 1
    ? [{ mark: { type: "line", strokeWidth: 1.5, opacity: 0.7 },
      encoding: { x: axisX, y: axisY, color, order: { field: "order", type: "quantitative" } } }] : [];
  return {
    width: "container", height: 440, data: { values },
    layer: [
      { data: { values: values.filter(ruled("yLow", "yHigh")) }, mark: { type: "rule", opacity: 0.45 },
        encoding: { x: axisX, y: quantity("yLow", titles[1]), y2: { field: "yHigh" }, color } },
      { data: { values: values.filter(ruled("xLow", "xHigh")) }, mark: { type: "rule", opacity: 0.45 },
        encoding: { y: axisY, x: quantity("xLow", titles[0]), x2: { field: "xHigh" }, color } },
    ].filter((layer) => layer.data.values.length).concat([
      ...lines,
      { mark: { type: "point", filled: true, size: 90, opacity: 1, cursor: "pointer" },
        encoding: { x: axisX, y: axisY, color, shape, tooltip } },
      ...(grid.swept.length ? [{ data: { values: apart(values) }, mark: { type: "text", dy: -11, fontSize: 11 },
        encoding: { x: axisX, y: axisY, text: { field: "swept" } } }] : []),
    ]),
  };
}

const VERDICTS = { higher: ["#0b6e4f", "triangle-right"], lower: ["#b3261e", "triangle-left"],
  "interval contains 0": ["#57606a", "circle"], "no interval": ["#57606a", "cross"] };

/** A row for each difference from a reference, with its paired interval. */
function forestSpec(rows, title, digits) {
  if (!rows.length) return null;
  const names = rows.map((row) => row.label);
  const y = { field: "label", type: "nominal", sort: names, title: null, axis: { labelFontSize: 12 } };
  const verdicts = Object.keys(VERDICTS).filter((name) => rows.some((row) => row.verdict === name)), legend = { columns: columnsOf(verdicts, Math.max(...names.map((name) => name.length))) };
  const color = { field: "verdict", type: "nominal", legend, scale: { domain: verdicts, range: verdicts.map((name) => VERDICTS[name][0]) } };
  const shape = { field: "verdict", type: "nominal", legend,
    scale: { domain: verdicts, range: verdicts.map((name) => VERDICTS[name][1]) } };
  const form = `+.${digits}f`;
  const tooltip = [{ field: "label", title: "arm" }, { field: "mean", title: "difference", format: form },
    { field: "low", title: "from", format: form }, { field: "high", title: "to", format: form },
    { field: "verdict", title: "verdict" }];
  return {
    width: "container", height: 22 * Math.max(1, rows.length), data: { values: rows },
    layer: [
      { mark: { type: "rule", color: "#1b1f24", strokeDash: [4, 3] }, data: { values: [{ zero: 0 }] },
        encoding: { x: { field: "zero", type: "quantitative" } } },
      { transform: [{ filter: "isValid(datum.low)" }], mark: { type: "rule", strokeWidth: 2 },
        encoding: { y, x: quantity("low", title), x2: { field: "high" }, color } },
      { mark: { type: "point", filled: true, size: 80, opacity: 1, cursor: "pointer" },
        encoding: { y, x: quantity("mean", title), color, shape, tooltip } },
    ],
  };
}

/** Bars of recall, a panel for each slice of the catalogue: [name, its value by cell]. */
function slicesSpec(grid, cells, slices, title) {
  const values = slices.flatMap(([slice, value]) => cells.map((n) =>
    ({ cell: n, slice, label: grid.labels[n], arm: grid.arm(n).name, ...value(n), seeds: null })))
    .filter((row) => finite(row.mean));
  if (!values.length) return null;
  const room = document.getElementById("view").clientWidth;
  const wide = room > 800;
  const names = Math.min(300, 7 * Math.max(...cells.map((n) => grid.labels[n].length)));
  const y = { field: "label", type: "nominal", sort: cells.map((n) => grid.labels[n]), title: null };
  const { color } = armScales(grid, cells);
  return {
    data: { values }, autosize: { type: "pad" },
    facet: { [wide ? "column" : "row"]: { field: "slice", type: "nominal", sort: slices.map(([name]) => name),
      title: null, header: { labelFontSize: 13, labelFontWeight: "bold", labelAnchor: "start",
        ...(wide ? {} : { labelAngle: 0, labelOrient: "top" }) } } },
    spec: {
      width: Math.max(90, wide ? (room - names - 40 * slices.length) / slices.length : room - names - 60),
      height: { step: 17 },
      layer: [
        { mark: { type: "bar", height: 11 }, encoding: { y, x: quantity("mean", title, { scale: { zero: true }, axis: { tickCount: 4 } }),
          color: { ...color, legend: null },
          tooltip: [{ field: "label", title: "arm" }, { field: "slice", title: "items" },
            ...["mean", "low", "high"].map((field) => ({ field, format: ".4f" }))] } },
        // a dark line within a white one is seen on a bar of any colour
        ...[{ color: "#fff", strokeWidth: 3 }, { color: "#1b1f24", strokeWidth: 1 }].map((look) => ({
          transform: [{ filter: "isValid(datum.low)" }], mark: { type: "rule", ...look },
          encoding: { y, x: { field: "low", type: "quantitative" }, x2: { field: "high" } } })),
      ],
    },
  };
}

/** A line for each cell along the epochs. */
function curvesSpec(grid, cells, name) {
  const values = cells.flatMap((n) => (grid.curves[name]?.[n] ?? []).map((y, i) =>
    ({ cell: n, label: grid.labels[n], arm: grid.arm(n).name, swept: sweptText(grid, n),
      epoch: grid.curves.epoch?.[n]?.[i] ?? i + 1, y })))
    .filter((row) => finite(row.y));
  if (!values.length) return null;
  const drawn = cells.filter((n) => values.some((row) => row.cell === n));
  const ends = values.filter((row) => row.swept && !values.some((other) => other.cell === row.cell && other.epoch > row.epoch));
  const x = { field: "epoch", type: "quantitative", title: "epoch",
    axis: { format: "d", tickCount: Math.max(1, Math.min(10, Math.max(...values.map((row) => row.epoch)) - 1)) } };
  return {
    width: "container", height: 320, data: { values },
    layer: [
      { mark: { type: "line", point: { size: 14 }, strokeWidth: 1.5 },
        encoding: { x, y: quantity("y", name), detail: { field: "label" }, color: armScales(grid, drawn).color,
          tooltip: [{ field: "label", title: "arm" }, { field: "epoch" }, { field: "y", title: name, format: ".4~r" }] } },
      ...(ends.length ? [{ data: { values: apart(ends.map((row) => ({ ...row, x: 0 }))) },
        mark: { type: "text", align: "right", dx: -4, dy: -7, fontSize: 11 },
        encoding: { x, y: quantity("y", name), text: { field: "swept" } } }] : []),
    ],
  };
}
