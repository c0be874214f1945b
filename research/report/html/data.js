// Unpacks the records that the page holds, and answers questions on one grid.

async function inflated(id) {
  const text = document.getElementById(id).textContent;
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).text();
}

const finite = (x) => x !== null && x !== undefined;

/** One grid: its cells by name, and every value and paired difference by key. */
class Grid {
  constructor(section) {
    Object.assign(this, section);
    this.place = new Map(this.keys.map(([metric, k], n) => [`${metric}@${k}`, n]));
    this.labels = this.cells.map((cell) => this.label(cell));
    this.unpacked = new Map();
  }

  arm(n) { return this.arms[this.cells[n].arm]; }

  label(cell) {
    const values = this.swept.map((name, n) => [name, cell.swept[n]]);
    const named = values.filter(([, value]) => finite(value)).map(([name, value]) => `${name} ${value}`);
    return [this.arms[cell.arm].name, ...named].join(", ");
  }

  /** {mean, low, high, seeds} of a cell; the mean is null where it has none. */
  value(n, key) {
    const at = this.place.get(key);
    const seeds = at === undefined ? [] : this.seeds[at][n];
    const counted = seeds.filter(finite);
    if (!counted.length) return { mean: null, low: null, high: null, seeds };
    const [low, high] = this.ends[at][n];
    return { mean: counted.reduce((a, b) => a + b) / counted.length, low, high, seeds };
  }

  /** {mean, low, high} of cell n minus cell m, paired; null where they don't pair. */
  difference(n, m, key) {
    const [a, b] = [this.value(n, key).mean, this.value(m, key).mean];
    if (!finite(a) || !finite(b) || !this.pairs[key]) return null;
    if (n === m) return { mean: 0, low: null, high: null };
    const [i, j] = n < m ? [n, m] : [m, n];
    const row = i * this.cells.length - (i * (i + 1)) / 2 + (j - i - 1);
    const { step, reaches } = this.unpackedPairs(key);
    if (reaches[row] === 0xffff) return { mean: a - b, low: null, high: null };
    return { mean: a - b, low: a - b - reaches[row] * step, high: a - b + reaches[row] * step };
  }

  unpackedPairs(key) {
    if (!this.unpacked.has(key)) {
      const { step, reaches } = this.pairs[key];
      const bytes = Uint8Array.from(atob(reaches), (c) => c.charCodeAt(0));
      this.unpacked.set(key, { step, reaches: new Uint16Array(bytes.buffer) });
    }
    return this.unpacked.get(key);
  }

  /** The reference's cell at the same swept value, else its only one. */
  counterpart(n, arm) {
    const same = (a, b) => a.every((value, i) => value === b[i]);
    const of = this.cells.map((cell, m) => m).filter((m) => this.arm(m).name === arm);
    const none = this.swept.map(() => null);
    const found = (swept) => of.find((m) => same(this.cells[m].swept, swept));
    return found(this.cells[n].swept) ?? found(none);
  }
}

/** "higher", "lower" or "interval contains 0", by the interval of a difference. */
function verdict(difference) {
  if (!difference || !finite(difference.low)) return "no interval";
  if (difference.low > 0) return "higher";
  return difference.high < 0 ? "lower" : "interval contains 0";
}
