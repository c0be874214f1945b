// The view of one grid or study: what is shown, its table, its figures, its records.

const index = JSON.parse(document.getElementById("index").textContent);
const metricOf = (key) => index.metrics[key.slice(0, key.lastIndexOf("@"))];
const cutoffOf = (key) => key.slice(key.lastIndexOf("@") + 1);
const titled = (key, what = "label") => {
  const text = metricOf(key)[what];
  return text.includes("{k}") ? text.replace("{k}", cutoffOf(key)) : `${text} @${cutoffOf(key)}`;
};
const axis = (key) => titled(key) + (metricOf(key).unit ? ` (${metricOf(key).unit})` : "");
const number = (x, digits, sign = false) => (finite(x) ? (sign && x >= 0 ? "+" : "") + x.toFixed(digits) : "–");
const bracket = (one, digits, sign) =>
  (finite(one.low) ? ` [${number(one.low, digits, sign)}, ${number(one.high, digits, sign)}]` : "");
const figure = (caption) => element("figure", {}, element("div", {}), element("figcaption", {}, caption));

function panel(title, about, ...children) {
  const id = title.toLowerCase().replaceAll(/[^a-z]+/g, "-");
  return element("section", { id, "aria-labelledby": `${id}-title` },
    element("h3", { id: `${id}-title` }, title), element("p", { class: "soft" }, about), ...children);
}

/** Everything on a grid. `shown` narrows the cells of all panels at once. */
class View {
  constructor(grid, about) {
    this.grid = grid;
    this.about = about;
    this.words = "";
    this.arms = new Set(grid.arms.map((arm) => arm.name));
    this.values = {};
    this.compared = Object.keys(grid.pairs);
    this.panels = [this.table(), this.tradeoff(), this.forest(), this.slices(), this.curves(), this.people()]
      .filter((one) => one !== null);
  }

  cells() {
    const words = this.words.toLowerCase().split(/\s+/).filter(Boolean);
    return this.grid.cells.map((cell, n) => n).filter((n) => this.arms.has(this.grid.arm(n).name)
      && words.every((word) => this.grid.labels[n].toLowerCase().includes(word))
      && this.grid.swept.every((name, i) => !this.values[name] || !finite(this.grid.cells[n].swept[i])
        || String(this.grid.cells[n].swept[i]) === this.values[name]));
  }

  refresh() {
    const cells = this.cells();
    this.count.textContent = `${cells.length} of ${this.grid.cells.length} rows shown`;
    for (const one of this.panels) one.refresh(cells);
  }

  show(root) {
    this.count = element("span", { role: "status", class: "soft" });
    root.replaceChildren(...heading(this.about, this.grid), this.findings(), this.shown(),
      ...this.panels.map((one) => one.root), ...furtherTables(this.grid.tables));
    this.refresh();
  }

  shown() {
    const filter = element("input", { type: "search", oninput: () => { this.words = filter.value; this.refresh(); } });
    const swatch = (arm) => { const s = element("span", { class: "swatch" }); s.style.background = arm.colour; return s; };
    const sweeps = this.grid.swept.map((name, n) => {
      const values = [...new Set(this.grid.cells.map((cell) => cell.swept[n]).filter(finite))].sort((a, b) => a - b);
      return chooser(name, [["", "all"], ...values.map((v) => [String(v), String(v)])], "",
        (value) => { this.values[name] = value; this.refresh(); });
    });
    return element("div", { class: "controls shown" }, element("label", {}, "Filter rows by name", filter), ...sweeps, this.count,
      ticks("Arms on and off", this.grid.arms.map((arm) => [arm.name, arm.name, swatch(arm)]), this.arms, () => this.refresh()));
  }

  /** The differences from the grid's reference in words. */
  findings() {
    const { grid } = this, key = this.compared[0], groups = { higher: {}, lower: {}, "interval contains 0": {} };
    for (const n of key ? grid.cells.keys() : []) {
      const other = grid.counterpart(n, grid.reference);
      if (other === undefined || other === n) continue;
      const group = groups[verdict(grid.difference(n, other, key))] ?? {}, arm = grid.arm(n).name;
      group[arm] = (group[arm] ?? 0) + 1;
    }
    const size = (arm) => grid.cells.filter((_, n) => grid.arm(n).name === arm).length;
    const named = ([arm, count]) => (size(arm) > 1 ? `${arm} (${count} of ${size(arm)} rows)` : arm);
    const said = Object.entries(groups).filter(([, arms]) => Object.keys(arms).length).map(([name, arms]) =>
      element("li", {}, element("b", {}, `${name}: `), Object.entries(arms).map(named).join("; ")));
    if (!said.length) return element("div", {});
    return element("section", { "aria-label": "Verdicts" },
      element("p", {}, `${titled(key)} against ${grid.reference}${grid.swept.length ? " at the same swept values" : ""}, each by its own paired 95 % interval${grid.contrasts ? " (above: adjusted for the number of contrasts)" : ""}:`), element("ul", {}, said));
  }

  table() {
    const { grid } = this, table = new SortedTable(`All numbers of ${this.about.title}`);
    const every = [...grid.place.keys()];
    const usual = every.filter((key) => (metricOf(key).leading && ["20", "100"].includes(cutoffOf(key)))
      || ["coverage@20", "train_count@20"].includes(key));
    const chosen = new Set(usual);
    let intervals = false;
    // as in the long table: that of the configs, unless it is swept
    const stated = !grid.swept.includes("temperature") && grid.cells.some((cell) => finite(cell.temperature));
    const columns = () => [
      { name: "arm", value: (n) => grid.arm(n).name },
      ...(stated ? [{ name: "temperature", number: true, value: (n) => grid.cells[n].temperature }] : []),
      ...grid.swept.map((name, i) => ({ name, number: true, value: (n) => grid.cells[n].swept[i] })),
      ...every.filter((key) => chosen.has(key)).map((key) => ({
        name: titled(key, "heading"), help: metricOf(key).help, number: true,
        value: (n) => grid.value(n, key).mean, cell: (n) => this.number(n, key, intervals) })),
    ];
    const refresh = (cells) => table.show(columns(), cells);
    const again = () => refresh(this.cells());
    return { refresh, root: panel("Table",
      "Click a heading to sort. Hover over a number for its 95 % interval (with the keyboard: tab into the table, then the arrow keys); click it for the record behind it. Bold: column's best; †: the 95 % interval of the difference from the best contains 0, not adjusted for the number of arms.",
      element("div", { class: "controls" }, tick("intervals in the cells", false, (on) => { intervals = on; again(); }),
        ticks("Columns", every.map((key) => [key, `${titled(key)}: ${metricOf(key).help}`]), chosen, again)), table.box) };
  }

  number(n, key, intervals) {
    const { grid } = this, one = grid.value(n, key), { digits } = metricOf(key), failed = grid.cells[n].failed;
    if (!finite(one.mean)) return element("span", { class: "soft" }, failed || "–");
    const mark = this.mark(n, key), text = number(one.mean, digits) + (mark === "tie" ? "†" : "");
    const about = `${grid.labels[n]}: ${titled(key)} ${number(one.mean, digits)}${bracket(one, digits)}, ${one.seeds.length} seed${one.seeds.length > 1 ? "s" : ""}`;
    const inner = element("span", { class: mark === "best" ? "best" : null }, text,
      intervals ? element("span", { class: "interval" }, bracket(one, digits)) : null);
    return telling(inner, about, () => this.record(n, key));
  }

  mark(n, key) {
    const { better } = metricOf(key);
    if (better === "neither" || !this.grid.pairs[key]) return "";
    this.best ??= new Map();
    if (!this.best.has(key)) {
      const sign = better === "higher" ? 1 : -1;
      const means = this.grid.cells.map((_, m) => this.grid.value(m, key).mean);
      this.best.set(key, means.reduce((at, x, m) => (finite(x) && (at < 0 || sign * x > sign * means[at]) ? m : at), -1));
    }
    const best = this.best.get(key);
    if (best === n) return "best";
    return verdict(this.grid.difference(n, best, key)) === "interval contains 0" ? "tie" : "";
  }

  record(n, key) {
    const { grid, about } = this, one = grid.value(n, key), cell = grid.cells[n], dialog = document.getElementById("record");
    const lines = [["metric", `${titled(key)}: ${metricOf(key).help}`], ["mean", number(one.mean, 6) + bracket(one, 6)],
      ...cell.seeds.map((seed, i) => [`seed ${seed}`, `${number(one.seeds[i], 6)} (row ${cell.rows[i]} of the file)`]),
      ["file", about.file], ["SHA-256", about.sha256], ["data", about.digest || "–"], ["records version", String(about.version)]];
    dialog.replaceChildren(element("h2", { id: "record-title" }, `The record behind ${grid.labels[n]}`),
      element("dl", {}, lines.flatMap(([name, text]) => [element("dt", {}, name), element("dd", {}, text)])),
      element("form", { method: "dialog" }, element("button", { class: "plain", autofocus: true }, "Close")));
    tip.hide();
    dialog.showModal();
  }

  keysAsOptions(keys) { return keys.map((key) => [key, titled(key)]); }

  tradeoff() {
    const every = [...this.grid.place.keys()], options = this.keysAsOptions(every);
    if (!every.length) return null;
    let y = every.includes("recall@20") ? "recall@20" : every[0];
    let x = [...["train_count@20", "coverage@20"].filter((key) => this.grid.place.has(key)), ...every].find((key) => key !== y) ?? y;
    const shown = figure("Lines through a point: its 95 % intervals. Click a point for its record.");
    const refresh = (cells) => draw(shown, tradeoffSpec(this.grid, cells, x, y, [x, y].map(axis)),
      `${titled(y)} against ${titled(x)} of ${cells.length} rows; the table has the numbers.`, (n) => this.record(n, y));
    const again = () => refresh(this.cells());
    return { refresh, root: panel("Trade-off", "Any metric against any other. Switch arms on and off above; values along a curve are those of the swept field.",
      element("div", { class: "controls" }, chooser("vertical axis", options, y, (key) => { y = key; again(); }),
        chooser("horizontal axis", options, x, (key) => { x = key; again(); })), shown) };
  }

  forest() {
    const { grid } = this;
    if (!this.compared.length) return null;
    const own = grid.cells.findIndex((_, n) => grid.arm(n).name === grid.reference);
    let key = this.compared[0], against = grid.swept.length ? `arm ${grid.reference}` : String(Math.max(own, 0));
    const options = [...(grid.swept.length ? grid.arms.map((arm) => [`arm ${arm.name}`, `${arm.name}, at the same swept value`]) : []),
      ...grid.labels.map((label, n) => [String(n), label])];
    const shown = figure("Dashed line: the reference; left of it lower, right of it higher.");
    const table = new SortedTable("Paired differences from the reference");
    const refresh = (cells) => {
      const rows = cells.map((n) => {
        const other = against.startsWith("arm ") ? grid.counterpart(n, against.slice(4)) : Number(against);
        const difference = other === undefined || other === n ? null : grid.difference(n, other, key);
        return difference && { cell: n, label: grid.labels[n], verdict: verdict(difference), ...difference };
      }).filter(Boolean);
      const { digits } = metricOf(key), name = `difference in ${titled(key)}`;
      draw(shown, forestSpec(rows, name, digits), `${name} of ${rows.length} rows from the reference; the table below has the numbers.`, (n) => this.record(n, key));
      const column = (field) => ({ name: field, number: true, value: (row) => row[field], cell: (row) => number(row[field], digits, true) });
      table.show([{ name: "arm", value: (row) => row.label }, { ...column("mean"), name: "difference" }, { ...column("low"), name: "from" },
        { ...column("high"), name: "to" }, { name: "verdict", value: (row) => row.verdict }], rows);
    };
    const again = () => refresh(this.cells());
    return { refresh, root: panel("Differences",
      "Differences paired by user and seed, with 95 % intervals that are not adjusted for the number of arms, as the contrasts' p values are.",
      element("div", { class: "controls" }, chooser("reference", options, against, (value) => { against = value; again(); }),
        chooser("metric", this.keysAsOptions(this.compared), key, (value) => { key = value; again(); })), shown,
      element("details", {}, element("summary", {}, "The differences as a table"), table.box)) };
  }

  slices() {
    const { grid } = this, bands = ["head", "torso", "tail"];
    const cutoffs = grid.keys.filter(([name]) => name === "recall_head").map(([, k]) => String(k));
    if (!cutoffs.length) return null;
    const thirds = (k) => bands.map((band) => [band, (n) => grid.value(n, `recall_${band}@${k}`)]);
    const tenths = Array.from({ length: 10 }, (_, i) => [`decile ${i + 1}`, (n) => {
      const [mean, low, high] = grid.deciles[n]?.[i] ?? [null, null, null];
      return { mean, low, high };
    }]);
    const named = grid.deciles.some(finite);
    const options = [...cutoffs.map((k) => [k, `thirds of the clicks, recall@${k}`]), ...(named ? [["tenths", "tenths of the items, recall@20"]] : [])];
    let choice = named ? "tenths" : cutoffs.includes("20") ? "20" : cutoffs[0];
    const shown = figure("Thin lines: 95 % intervals.");
    const refresh = (cells) => {
      const [slices, k] = choice === "tenths" ? [tenths, "20"] : [thirds(choice), choice];
      return draw(shown, slicesSpec(grid, cells, slices, `recall@${k}`),
        `Recall@${k} by popularity of the items, from the most clicked on, for ${cells.length} rows.`, (n) => this.record(n, `recall@${k}`));
    };
    return { refresh, root: panel("Popularity", "Recall of held-out positives by popularity of the item: in thirds of the training clicks (the head has the fewest items)"
      + (named ? ", or in tenths of the items, decile 1 the most clicked." : ". These records don't name the items, so there are no deciles."),
      element("div", { class: "controls" }, chooser("slices", options, choice, (value) => { choice = value; refresh(this.cells()); })), shown) };
  }

  curves() {
    const names = Object.keys(this.grid.curves).filter((name) => !["epoch", "step"].includes(name));
    if (!names.length) return { refresh() {}, root: panel("Learning curves", "These records hold no training curves.") };
    let name = names.includes("loss") ? "loss" : names[0];
    const shown = figure("Mean over the seeds.");
    const refresh = (cells) => draw(shown, curvesSpec(this.grid, cells, name), `${name} by epoch for ${cells.length} rows.`);
    return { refresh, root: panel("Learning curves", "What was measured after each epoch of training.",
      element("div", { class: "controls" }, chooser("quantity", names.map((one) => [one, one]), name, (value) => { name = value; refresh(this.cells()); })), shown) };
  }

  people() {
    const { grid } = this;
    if (!grid.people.length) return null;
    const options = grid.labels.map((label, n) => [String(n), label]);
    const sides = [0, Math.min(1, grid.cells.length - 1)], box = element("div", { class: "people" });
    const refresh = () => box.replaceChildren(...grid.people.map((person) => personTable(grid, person, sides)));
    const kept = grid.people.some((person) => person.lists.some(finite));
    const about = kept ? "The first seed's lists of 20, side by side; a dot marks an item that is in both."
      : "These records hold the places of held-out positives only. To see whole lists, run the grid and open the page of its output folder.";
    return { refresh, root: panel("Two users", about,
      element("div", { class: "controls" }, sides.map((n, i) =>
        chooser(i ? "right" : "left", options, String(n), (value) => { sides[i] = Number(value); refresh(); }))), box) };
  }
}

/** What a user's lists under two arms hold: where the positives are, then the titles. */
function personTable(grid, person, sides) {
  const found = (n) => {
    const places = person.places[n];
    if (!places) return "no record";
    return `${places.length} of ${person.held}${places.length ? `: at ${places.join(", ")}` : ""}`;
  };
  const lists = sides.map((n) => person.lists[n]);
  const items = lists.map((list) => new Set((list ?? []).map(([, , item]) => item)));
  const listed = (side, slot) => {
    if (!lists[side]) return slot ? "" : "no list was kept";
    const [title, held, item] = lists[side][slot] ?? ["–", false], both = items.every((one) => one.has(item));
    return element("span", { class: held ? "best" : null }, both ? "• " : "", title, held ? " ✓ held out" : "");
  };
  const longest = Math.max(...lists.map((list) => list?.length ?? 0));
  const rows = [["held-out positives in the first 100", sides.map(found)],
    ...Array.from({ length: longest }, (_, slot) => [String(slot + 1), [listed(0, slot), listed(1, slot)]])];
  const common = [...items[0]].filter((item) => items[1].has(item)).length;
  const caption = `${person.name}, ${person.held} held-out positives${lists.every(finite) ? `; the lists share ${common} of ${longest}` : ""}`;
  return element("table", {}, element("caption", {}, caption),
    element("thead", {}, element("tr", {}, ["place", ...sides.map((n) => grid.labels[n])].map((text) => element("th", { scope: "col" }, text)))),
    element("tbody", {}, rows.map(([name, cells]) => element("tr", {}, element("th", { scope: "row" }, name),
      cells.map((cell) => element("td", {}, cell))))));
}

function heading(about, { contrasts, statements, holes = [] }) {
  const notes = [...about.notes, ...holes].map((note) => ["", note]);
  const lines = [about.prediction && ["Prediction", about.prediction], ...notes].filter(Boolean);
  const figures = about.figures.flatMap((path) => [" · ", element("a", { href: path }, path.split("/").pop())]);
  return [element("h2", {}, about.question), element("p", { class: "soft" }, `${about.title} · ${about.file}`),
    ...(figures.length ? [element("p", {}, "Figures: ", figures.slice(1))] : []),
    ...lines.map(([name, text]) => element("p", {}, name ? element("b", {}, `${name}: `) : null, text)),
    ...(statements ? [csvTable("What came of the prediction", statements).box] : []),
    ...(contrasts ? [contrastTable(contrasts).box] : [])];
}

const CONTRAST = { arm: "arm", against: "against", metric: "metric", verdict: "verdict", difference: "difference",
  low: "low", high: "high", p_holm: "p", p_equivalence_holm: "p, equivalence" };

/** What a contrast is a difference of, as in its Markdown page. */
function measured(metric, k, over) {
  const name = index.metrics[metric] ? titled(`${metric}@${k}`) : `${metric}@${k}`;
  return Number(over) ? `factor in ${name}, less that at ${over}` : name;
}

/** The declared contrasts that these records have; their file has the rest. */
function contrastTable({ columns, rows }) {
  const kept = Object.keys(CONTRAST).filter((name) => columns.includes(name)), at = (name) => columns.indexOf(name);
  const some = rows.filter((row) => row[at("verdict")]), left = rows.length - some.length;
  return csvTable(`Declared contrasts, p values after Holm${left ? `; ${left} without data are left out` : ""}`,
    { columns: kept.map((name) => CONTRAST[name]), rows: some.map((row) => kept.map((name) =>
      (name === "metric" ? measured(row[at("metric")], row[at("k")], row[at("over")]) : row[at(name)]))) });
}

const NUMBER = /^(-?(0|[1-9]\d*)(\.\d+)?(e[-+]\d+)?|-?inf|nan)$/;
const numberOf = (text) => (text === "" || text === "nan" ? null : Number(text.replace("inf", "Infinity")));
/** Four digits of a number, all of a whole one; the file has the rest. */
const short = (x) => (!finite(x) ? "–" : Number.isFinite(x) ? String(Number.isInteger(x) ? x : Number(x.toPrecision(4)))
  : x > 0 ? "∞" : "-∞");

/** A column is of numbers if all its texts are; an id such as 007 is none. */
function csvTable(caption, { columns, rows }) {
  const table = new SortedTable(caption);
  table.show(columns.map((name, i) => {
    const number = rows.every((row) => row[i] === "" || NUMBER.test(row[i]));
    return { name, number, value: (row) => (number ? numberOf(row[i]) : row[i] || null),
      cell: number ? (row) => short(numberOf(row[i])) : null };
  }), rows);
  return table;
}

/** Tables that a grid or a study writes beside its own, each with a filter. */
function furtherTables(tables) {
  return tables.flatMap((one) => {
    const box = element("div", {});
    const filter = element("input", { type: "search", oninput: () => fill() });
    const fill = () => {
      const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
      const rows = one.rows.filter((row) => words.every((word) => row.join(" ").toLowerCase().includes(word)));
      box.replaceChildren(csvTable(one.name, { ...one, rows }).box);
    };
    fill();
    return [element("h3", {}, one.name), element("div", { class: "controls" }, element("label", {}, "Filter rows", filter)), box];
  });
}

async function openSection(name) {
  const about = index.sections.find((one) => one.name === name) ?? index.sections[0];
  document.getElementById("choice").value = about.name;
  document.title = `${about.title}: ${about.question}`;
  const section = JSON.parse(await inflated(about.blob)), root = document.getElementById("view");
  if (section.cells) new View(new Grid(section), about).show(root);
  else root.replaceChildren(...heading(about, section), ...furtherTables(section.tables));
  document.body.dataset.ready = about.name;
}

async function start() {
  if (!window.DecompressionStream) {
    document.getElementById("view").textContent = "This page needs a browser of 2023 or later: it can't unpack its records here.";
    return;
  }
  document.head.append(element("script", {}, await inflated("library")));
  const hash = () => decodeURIComponent(location.hash.slice(1));
  document.getElementById("choice").addEventListener("change", (event) => { location.hash = encodeURIComponent(event.target.value); });
  window.addEventListener("hashchange", () => { if (index.sections.some((one) => one.name === hash())) openSection(hash()); });
  await openSection(hash());
}

start();
