"""What the study probe shows: its tables, page and figures."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator
from numpy import ndarray

from experiments.kit import draw, lines
from experiments.studies.probe import (
    FAITHFUL,
    PER_ROW,
    PRODUCTS,
    SMALL,
    ZERO,
    Measurement,
)
from experiments.studies.probe.bias import (
    TARGETS,
    BiasEstimate,
    Products,
    estimate_bias,
)
from experiments.studies.probe.estimators import ESTIMATORS
from experiments.studies.probe.negatives import band_shares
from experiments.study import Report, described
from research.report.pages import markdown_table, number_text
from research.report.pictures import Drawing, Look, blank, legend_above, look, styled
from research.report.records import Stored
from research.types import BANDS

LIBRARY = "catalogue"


def bias_table(stored: Stored) -> pd.DataFrame:
    """One row per measurement and target: bias, standard error, cosine, variance."""
    rows = []
    for n, (*values, repeats) in enumerate(stored.content["cells"]):
        cell = Measurement(*values)
        for t, target in enumerate(TARGETS):
            numbers = (stored.arrays[name][n, t].astype(float) for name in PRODUCTS)
            inner = Products(*numbers, repeats)  # type: ignore[call-arg]
            one = estimate_bias(inner, cell.question == FAITHFUL)
            rows.append(_row(cell, target, one))
    pairs = zip(stored.content["enumerated"], stored.arrays["enumerated"], strict=True)
    for values, numbers in pairs:
        rows.append(_row(Measurement(*values), "scores", BiasEstimate(*numbers)))
    return pd.DataFrame(rows)


def _columns(cell: Measurement) -> dict[str, Any]:
    """Its columns in the tables, which call the estimator a form."""
    values = cell._asdict() | {"masked": "yes" if cell.masked else "no"}
    return {"form" if n == "estimator" else n: v for n, v in values.items()}


def _row(cell: Measurement, target: str, found: BiasEstimate) -> dict[str, Any]:
    exact = "yes" if ESTIMATORS[cell.estimator].exact else "no"
    row = {**_columns(cell), "q exact": exact, "target": target}
    return {**row, **found._asdict()}


def decile_table(stored: Stored) -> pd.DataFrame:
    """Signed error by popularity decile (1 the most clicked), with standard errors.

    Of the measurements with the largest n: the others show the same with more noise.
    """
    cells = [Measurement(*values[:-1]) for values in stored.content["cells"]]
    largest, rows = max(cell.n for cell in cells), []
    for cell, signed in zip(cells, stored.arrays["signed"].astype(float), strict=True):
        if cell.n == largest:
            means = signed.mean(axis=0)
            errors = signed.std(axis=0, ddof=1) / np.sqrt(len(signed))
            rows += [
                {**_columns(cell), "decile": n, "signed": mean, "error": error}
                for n, (mean, error) in enumerate(zip(means, errors), 1)
            ]
    return pd.DataFrame(rows)


def negatives_table(stored: Stored) -> pd.DataFrame:
    """One row per model and source, the catalogue first: bands, items, scores."""
    counts = stored.arrays["counts"].astype(np.int64)

    def row(model: str, source: str, draws: ndarray) -> dict[str, Any]:
        shares = zip(BANDS, band_shares(draws, counts))
        bands = {f"share_{band}": share for band, share in shares}
        distinct = int((draws > 0).sum())
        return {"model": model, "source": source, **bands, "distinct": distinct}

    rows, names = [row("", LIBRARY, np.ones_like(counts))], SCORES
    for model, source, array, *numbers in stored.content["seen"]:
        draws = stored.arrays[array].astype(np.int64)
        rows.append(row(model, source, draws) | dict(zip(names, numbers, strict=True)))
    return pd.DataFrame(rows)


SCORES = ("score", "positive_score", "above")  # of a sample of a source


def drift_table(stored: Stored) -> pd.DataFrame:
    """One row per lag and step: mean over items of the distance moved in the lag."""
    parts = [
        pd.DataFrame({"lag": lag} | {n: stored.arrays[f"{n}{lag}"] for n in names})
        for lag in stored.content["lags"]
        for names in [("steps", "drift")]
    ]
    empty = pd.DataFrame(columns=["lag", "steps", "drift"])
    return pd.concat(parts or [empty]).rename(columns={"steps": "step"})


def probe_page(
    stored: Stored, bias: pd.DataFrame, negatives: pd.DataFrame
) -> Sequence[str]:
    """The tables in Markdown: bias at the largest n, against n, and the negatives."""
    shown = bias[(bias.drawn == PER_ROW) & (bias.masked == "no")]
    real, small = shown[shown.world != SMALL], shown[shown.world == SMALL]
    header, n = stored.header, int(real.n.max())
    about = described(
        f"{header['dataset']}, {header['rows']} training pairs, n = {n} negatives "
        "drawn anew for each row. The bias is that of the gradient with respect to the "
        "item vectors, in % of the full softmax's gradient at the same rows, ± one "
        "standard error over draws. Candidates are the items with a training click, "
        "unless a column says the whole catalogue.",
        {
            "zero at truth": "positives are drawn from the model itself, so that the "
            "expected gradient should be zero (of the 6 items: in % of the positives' "
            "pull)",
            "faithful": "positives are those of training; compared with the full "
            "softmax",
        },
    )
    of_items = real[real.target == "items"]
    trained = of_items[(of_items.model == "trained") & (of_items.library == "fitted")]
    every_draw = "6 items, every draw enumerated, gradient of the scores"
    return (
        about,
        _at_n(of_items[of_items.n == n]),
        _against_n(small, every_draw),
        _against_n(trained, "trained, gradient of the item vectors"),
        _negatives(negatives),
    )


def _at_n(rows: pd.DataFrame) -> str:
    """The bias of each estimator by model and question, one row per estimator."""
    keys = [(m, q) for m in ("untrained", "trained") for q in (ZERO, FAITHFUL)]
    heads = ["form", "q is right", *(f"{m}: {q}" for m, q in keys)]
    heads += ["trained: noise of a draw", "trained, whole catalogue: faithful"]
    lines = []
    for name, estimator in ESTIMATORS.items():
        by_key = {
            (row.library, row.model, row.question): row
            for row in rows[rows.form == name].itertuples()
        }
        last = by_key.get(("fitted", *keys[3]))
        lines.append(
            [
                *(f"`{name}`", "yes" if estimator.exact else "no"),
                *(_bias(by_key.get(("fitted", *key))) for key in keys),
                "-" if last is None else f"{100 * np.sqrt(last.variance):.1f}",
                _bias(by_key.get(("whole", *keys[3]))),
            ]
        )
    return markdown_table(heads, lines)


def _bias(row: Any) -> str:
    return "-" if row is None else f"{100 * row.bias:.1f} ± {100 * row.error:.1f}"


def _against_n(rows: pd.DataFrame, what: str) -> str:
    """The bias of each estimator by question and n, one row per estimator."""
    keys = [(q, n) for q in (ZERO, FAITHFUL) for n in sorted(rows.n.unique())]
    lines = []
    for name in ESTIMATORS:
        bias = rows[rows.form == name].set_index(["question", "n"]).bias
        cells = (f"{100 * bias[key]:.2f}" if key in bias.index else "-" for key in keys)
        lines.append([f"`{name}`", *cells])
    heads = [f"bias in %: {what}", *(f"{q}, n = {n}" for q, n in keys)]
    return markdown_table(heads, lines)


def _negatives(table: pd.DataFrame) -> str:
    rows = [
        [
            *(row["model"] or "-", f"`{row['source']}`"),
            *(f"{row[f'share_{band}']:.3f}" for band in BANDS),
            str(row["distinct"]),
            *(number_text(row.get(name, np.nan), ".3f") for name in ("score", "above")),
        ]
        for row in table.to_dict("records")
    ]
    names = ("distinct items", "mean score", "above positive")
    return markdown_table(["model", "source", *BANDS, *names], rows)


FLOOR = 0.1  # percent: below it a bias is drawn at the edge
MASKED = "in-batch+logq"  # the estimator whose mask is shown
WRONG = "#b3261e"
PLAIN = "#333333"


@styled
def ranking_figure(frame: pd.DataFrame) -> Drawing:
    """Ranks the estimators by bias, before (hollow) and after training.

    At the largest n, away from the truth: how far from the full softmax's gradient, in
    percent of it.
    """
    points = _main(frame)
    points = points[(points.n == points.n.max()) & (points.target == "items")]
    points = points[points.question == FAITHFUL]
    order = list(points[points.model == "trained"].sort_values("bias").form)[::-1]
    figure, axes = blank(4.4)
    _ranked(axes, points, order)
    axes.set_xlabel("bias away from the truth (% of exact gradient)")
    axes.set_yticks(range(len(order)), order)
    _colour_labels(axes, points, order)
    axes.set_ylabel("form (red: a wrong one)")
    n = f"{points.n.max():,} draws a row; hollow: untrained, filled: trained"
    legend_above(figure, [], f"Bias of each estimator's gradient ({n})", 1)
    return Drawing(figure, points.reset_index(drop=True))


def _main(frame: pd.DataFrame) -> pd.DataFrame:
    rows = frame[(frame.world != SMALL) & (frame.library == "fitted")]
    return rows[(rows.drawn == PER_ROW) & (rows.masked == "no")]


def _ranked(axes: Axes, rows: pd.DataFrame, order: Sequence[str]) -> None:
    for row in rows.to_dict("records"):
        y = order.index(row["form"]) + (0.14 if row["model"] == "untrained" else -0.14)
        colour, marker = look(str(row["form"]))
        value = max(100 * row["bias"], FLOOR)
        ends = [100 * (row["bias"] + s * 2 * row["error"]) for s in (-1, 1)]
        axes.plot(np.maximum(ends, FLOOR), [y, y], color=colour, linewidth=1.2)
        hollow = row["model"] == "untrained"
        axes.plot(
            value, y, marker, color=colour, markersize=6.5,
            markerfacecolor="white" if hollow else colour, clip_on=False,
        )  # fmt: skip
    axes.set_ylim(-0.6, len(order) - 0.4)
    axes.set_xscale("log")
    axes.set_xlim(FLOOR, 200)
    axes.xaxis.set_major_formatter(FuncFormatter(_percent))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_minor_locator(NullLocator())


def _percent(x: float, _: Any) -> str:
    return f"≤{FLOOR:g}" if x == FLOOR else f"{x:g}"


def _colour_labels(axes: Axes, points: pd.DataFrame, order: Sequence[str]) -> None:
    exact = points.drop_duplicates("form").set_index("form")["q exact"]
    for label, form in zip(axes.get_yticklabels(), order, strict=True):
        label.set_color(PLAIN if exact[form] == "yes" else WRONG)


@styled
def deciles_figure(table: pd.DataFrame) -> Drawing:
    """Draws where each estimator pushes: signed error by popularity decile of items.

    Above zero an item's score is pushed down more than by the full softmax. Estimators
    with the right q lie on one another, and have one name.
    """
    points = table[(table.library == "fitted") & (table.masked == "no")]
    points = points[(points.drawn == PER_ROW) & (points.question == FAITHFUL)]
    points = points[points.n == points.n.max()].reset_index(drop=True)
    exact = points.form.map(lambda form: ESTIMATORS[form].exact)
    reach = (2 * points.error).mask(exact)  # no bands of those
    ends = {"percent_low": -reach, "percent_high": reach, "percent": 0 * points.error}
    points = points.assign(
        **{name: 100 * (points.signed + by) for name, by in ends.items()}
    )
    right = list(dict.fromkeys(points.form[exact]))

    def style(form: str) -> Look:
        return Look("0.6", "") if form in right else look(form)

    def name(form: str) -> str:
        if form not in right:
            return form
        return (
            f"{len(right)} forms with the right q" if form == right[0] else f"_{form}"
        )

    labels = "popularity decile (1 most clicked)", "extra push down (% of a row's push)"
    columns = "decile", "percent", "form"
    figure, panels = lines(points, columns, style, labels, facet="model", name=name)
    for model, panel in panels.items():
        panel.axhline(0, color=PLAIN, linewidth=0.8, zorder=1)
        panel.set_xlabel(f"{model}: {labels[0]}")
        panel.set_xticks([1, 3, 5, 7, 10])
    title = "Signed error of each estimator's push, by popularity of the item"
    legend_above(figure, panel, title, 4, fontsize=8.5, columnspacing=1.2)
    return Drawing(figure, points)


@styled
def sizes_figure(frame: pd.DataFrame) -> Drawing:
    """Draws bias against the number of draws n: on six items exactly, and trained."""
    small = frame[(frame.world == SMALL) & (frame.question == ZERO)]
    real = _main(frame)
    real = real[(real.model == "trained") & (real.target == "items")]
    real = real[real.question == FAITHFUL]
    of_small = "n: 6 items, exact, at the truth\n(dotted: same item masked)"
    of_real = "n: trained model, away from the truth\n "
    parts = {of_small: small[small.masked == "no"], of_real: real}
    points = pd.concat(part.assign(panel=name) for name, part in parts.items())
    points["percent"] = np.maximum(100 * points.bias, FLOOR)
    masked = small[(small.form == MASKED) & (small.masked == "yes")]
    masked = masked.assign(percent=np.maximum(100 * masked.bias, FLOOR))
    labels, columns = ("n", "bias (% of exact gradient)"), ("n", "percent", "form")
    figure, panels = lines(points, columns, look, labels, facet="panel", ms=5)
    draw(panels[of_small], masked, columns, look, "_{}".format, ls=":", ms=5)
    for name, panel in panels.items():
        panel.set(xlabel=name, yscale="log", ylim=(FLOOR, 100))
        panel.yaxis.set_major_formatter(FuncFormatter(_percent))
        panel.set_xscale("log", base=2)
        sizes = sorted(parts[name].n.unique())
        panel.set_xticks(sizes, [f"{n:,}" for n in sizes])
        panel.xaxis.set_minor_locator(NullLocator())
    title = "Bias of each estimator by its number of draws"
    legend_above(figure, panel, title, 4, fontsize=8.5, columnspacing=1.2)
    return Drawing(figure, pd.concat([points, masked]).reset_index(drop=True))


SHADES = {"head": "#08519c", "torso": "#6baed6", "tail": "#d6e6f4"}
INK = {"head": "white", "torso": "black", "tail": "black"}
ROOM = 0.045  # a share below it has no room for its number


@styled
def bands_figure(table: pd.DataFrame) -> Drawing:
    """Draws the shares of head, torso and tail of each source, below the catalogue's.

    Sources are drawn under the trained model; beside each bar stand its distinct items.
    """
    points = table[table.model.isin(["", "trained"])].reset_index(drop=True)
    figure, axes = blank(0.42 * len(points) + 1.5)
    for y, row in enumerate(points.to_dict("records")):
        left = 0.0
        for band in BANDS:
            share = row[f"share_{band}"]
            axes.barh(
                y, 100 * share, 0.72, left=100 * left, color=SHADES[band],
                label=band if y == 0 else None,
            )  # fmt: skip
            if share >= ROOM:
                axes.text(
                    100 * (left + share / 2), y, f"{100 * share:.0f}",
                    ha="center", va="center", color=INK[band],
                )  # fmt: skip
            left += share
        axes.text(101, y, f"{row['distinct']:,} items", va="center", fontsize=9.5)
    axes.set_yticks(range(len(points)), list(points.source))
    axes.invert_yaxis()
    axes.set_xlim(0, 118)
    axes.set_xticks([0, 25, 50, 75, 100])
    axes.set_xlabel(
        "share of draws in one epoch (%); right: distinct items in it\n"
        "(popularity: in proportion to the square root of the clicks)"
    )
    axes.set_ylabel("drawn from")
    axes.grid(False)
    title = "Popularity of what each source draws"
    legend_above(figure, axes, title, 3)
    return Drawing(figure, points)


@styled
def drift_figure(table: pd.DataFrame) -> Drawing:
    """Draws how far item vectors move within a lag, over training: a cache's error."""
    lags = sorted(table.lag.unique())
    looks = dict(zip(lags, (Look(c, "") for c in ("#4292c6", "#08519c", "#000000"))))
    labels, columns = ("training step", "mean |v(t) - v(t - lag)|"), ("step", "drift")
    figure, panels = lines(
        table, (*columns, "lag"), looks.__getitem__, labels, name="{} steps old".format
    )
    panels[""].set_ylim(0)
    title = "How far stored item vectors are from fresh ones"
    legend_above(figure, panels[""], title, 3)
    return Drawing(figure, table)


def report_probe(stored: Stored) -> Report:
    """The study's tables and figures."""
    bias, deciles = bias_table(stored), decile_table(stored)
    negatives = negatives_table(stored)
    tables = {".csv": bias, "-deciles.csv": deciles, "-negatives.csv": negatives}
    drawings = {
        "-ranking": ranking_figure(bias),
        "-deciles": deciles_figure(deciles),
        "-sizes": sizes_figure(bias),
        "-bands": bands_figure(negatives),
        "-drift": drift_figure(drift_table(stored)),
    }
    return Report(tables, probe_page(stored, bias, negatives), drawings)
