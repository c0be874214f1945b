// Elements, controls and tables. Whatever a record says is set as text, never as markup.

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false && finite(value)) made.setAttribute(key, value);
  }
  made.append(...children.flat().filter((child) => child !== null));
  return made;
}

let chosen = 0; // selects made so far, which number their ids

/** A labelled select; options are [value, text]. */
function chooser(label, options, value, changed) {
  chosen += 1;
  const id = `choice-${chosen}`;
  const select = element("select", { id, onchange: () => changed(select.value) },
    options.map(([name, text]) => element("option", { value: name, selected: name === value }, text)));
  return element("div", {}, element("label", { for: id }, label), select);
}

function tick(label, checked, changed, ...before) {
  const box = element("input", { type: "checkbox", checked, onchange: () => changed(box.checked) });
  return element("label", { class: "tick" }, box, ...before, label);
}

/** A list of ticks that opens; entries are [name, text, ...elements before it]. */
function ticks(title, entries, chosen, changed) {
  const boxes = entries.map(([name, text, ...before]) =>
    tick(text, chosen.has(name), (on) => { chosen[on ? "add" : "delete"](name); changed(); }, ...before));
  const all = (on) => element("button", { class: "plain", type: "button", onclick: () => {
    entries.forEach(([name]) => chosen[on ? "add" : "delete"](name));
    boxes.forEach((box) => { box.querySelector("input").checked = on; });
    changed();
  } }, on ? "all" : "none");
  return element("details", {}, element("summary", {}, title),
    element("div", { class: "ticks" }, all(true), all(false), boxes));
}

const tip = {
  show(event, text) {
    const box = document.getElementById("tip"), at = event.target.getBoundingClientRect();
    box.textContent = text;
    box.hidden = false;
    const left = Math.min(at.left, window.innerWidth - box.offsetWidth - 8);
    const below = at.bottom + box.offsetHeight + 8 < window.innerHeight;
    box.style.left = `${Math.max(4, left)}px`;
    box.style.top = `${below ? at.bottom + 4 : at.top - box.offsetHeight - 4}px`;
  },
  hide() { document.getElementById("tip").hidden = true; },
};
window.addEventListener("keydown", (event) => { if (event.key === "Escape") tip.hide(); });

/** A button that shows a text on hover and on focus, and does something on a click. */
function telling(text, about, clicked) {
  const show = (event) => tip.show(event, about);
  return element("button", { type: "button", "aria-label": about, onclick: clicked,
    onmouseenter: show, onfocus: show, onmouseleave: tip.hide, onblur: tip.hide }, text);
}

/** A table whose columns sort: {name, number, value(row), cell(row) or text(row)}. */
class SortedTable {
  constructor(caption, sorting = { column: null, descending: false }) {
    this.caption = caption;
    this.sorting = sorting;
    this.box = element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption,
      onkeydown: (event) => moved(event, this.box) });
  }

  show(columns, rows) {
    this.columns = columns;
    this.rows = rows;
    const { column, descending } = this.sorting;
    const by = columns.find((one) => one.name === column);
    const sorted = by ? [...rows].sort((a, b) => compared(by.value(a), by.value(b), descending)) : rows;
    const head = columns.map((one) => element("th", {
      scope: "col", class: one.number ? "number" : null, title: one.help,
      "aria-sort": one === by ? (descending ? "descending" : "ascending") : "none",
    }, element("button", { type: "button", onclick: () => this.sort(one) }, one.name)));
    const body = sorted.map((row) => element("tr", {}, columns.map((one, n) =>
      element(n ? "td" : "th", { class: one.number ? "number" : null, scope: n ? null : "row" },
        one.cell ? one.cell(row) : String(one.value(row) ?? "–")))));
    this.box.replaceChildren(element("table", {}, element("caption", {}, this.caption),
      element("thead", {}, element("tr", {}, head)), element("tbody", {}, body)));
    // one stop of the tab key for all cells; the arrow keys go on from there
    this.box.querySelectorAll("td > button").forEach((button, n) => { button.tabIndex = n ? -1 : 0; });
  }

  sort(column) {
    const again = this.sorting.column === column.name;
    this.sorting = { column: column.name, descending: again ? !this.sorting.descending : Boolean(column.number) };
    this.show(this.columns, this.rows);
    const names = [...this.box.querySelectorAll("thead button")];
    names[this.columns.indexOf(column)].focus();
  }
}

/** Moves the focus from a cell's button to the next one in the direction of an arrow key. */
function moved(event, box) {
  const [down, right] = { ArrowDown: [1, 0], ArrowUp: [-1, 0], ArrowRight: [0, 1], ArrowLeft: [0, -1] }[event.key] ?? [0, 0];
  const cell = event.target.closest?.("td");
  if (!cell || (!down && !right)) return;
  const rows = [...cell.closest("tbody").rows], row = rows[rows.indexOf(cell.parentElement) + down];
  const next = row?.cells[cell.cellIndex + right]?.querySelector("button");
  event.preventDefault();
  if (!next) return;
  box.querySelectorAll("td > button[tabindex='0']").forEach((button) => { button.tabIndex = -1; });
  next.tabIndex = 0;
  next.focus();
}

/** The order of two values; what has none stands last in either direction. */
function compared(a, b, descending) {
  if (!finite(a) || !finite(b)) return finite(b) - finite(a);
  const order = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
  return descending ? -order : order;
}
