"""What the study faithful shows: its table, verdicts on its prediction, its figure."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from experiments.study import Report, described
from research.report.colours import with_band
from research.report.intervals import Interval, two_way
from research.report.pages import interval_frame, interval_table, interval_text
from research.report.pictures import Drawing, blank, legend_above, look, styled
from research.report.predictions import decided, statement
from research.report.records import Stored

__all__ = ["report_faithful"]

REFERENCE = "logq"  # the estimator that the others are compared with
MARGIN = 0.1  # of the reference's divergence: what counts as equally far
EQUAL_FROM, APART_AT = 63, 3  # numbers of negatives of the prediction's statements
NEARER = "leave-own-out"  # of lower bias, and predicted to be no nearer
LIKE, NEAR = "importance", 0.01  # what its recall@20 is near at few negatives
MEASURED = {
    "divergence": "divergence (nats)",
    "overlap": "shared items of 20",
    "recall": "R@20",
}


def _values(stored: Stored, name: str, estimator: str, n: int) -> np.ndarray:
    """The values of an array for an estimator at n, [user, seed]."""
    f = stored.header["forms"].index(estimator)
    s = stored.arrays["sizes"].tolist().index(n)
    return stored.arrays[name][f, s].astype(float).T


def faithful_frame(stored: Stored) -> pd.DataFrame:
    """One row per estimator and n, the full softmax first: means and 95 % intervals.

    Columns: estimator, n, bias, and of each of MEASURED its mean, _low and _high.
    """
    arrays = stored.floats()
    full = {name: arrays[f"full_{name}"].T[None] for name in MEASURED}
    found = {name: arrays[name].swapaxes(-2, -1) for name in MEASURED}
    first = interval_frame(full, two_way, estimator=["full-softmax"])
    axes = {"estimator": stored.header["forms"], "n": arrays["sizes"]}
    frame = interval_frame(found, two_way, **axes)
    frame.insert(2, "bias", arrays["bias"].ravel())
    rows = [first.assign(n=np.nan, bias=0.0), frame]
    return pd.concat(rows, ignore_index=True)[frame.columns]


def difference(stored: Stored, estimator: str, n: int) -> Interval:
    """An estimator's divergence less the reference's at n, as a share of the latter."""
    other = _values(stored, "divergence", REFERENCE, n)
    found = two_way(_values(stored, "divergence", estimator, n) - other).interval()
    mean, low, high = (float(end) / float(two_way(other).mean) for end in found)
    return Interval(mean, low, high)


def verdicts(stored: Stored) -> list[list[str]]:
    """Each part of the prediction: the statement, what was measured, the verdict."""
    estimators = [name for name in stored.header["forms"] if name != REFERENCE]
    sizes, out = stored.arrays["sizes"].tolist(), []
    for n in (size for size in sizes if size >= EQUAL_FROM):
        for estimator in estimators:
            found = difference(stored, estimator, n)
            text = f"n = {n}: {estimator} is as far as {REFERENCE}, within {MARGIN:.0%}"
            out.append([text, _text(found), found.within(-MARGIN, MARGIN)])
            if estimator == NEARER and n == EQUAL_FROM:
                text = f"n = {n}: {estimator} is not nearer than {REFERENCE}"
                verdict = (
                    "fails"
                    if found.high < 0
                    else "holds"
                    if found.low > -MARGIN
                    else "undecided"
                )
                out.append([text, _text(found), verdict])
    if APART_AT in sizes:
        each = {name: difference(stored, name, APART_AT) for name in estimators}
        apart = [name for name, d in each.items() if d.low > 0 or d.high < 0]
        text = f"n = {APART_AT}: some estimator is not as far as {REFERENCE}"
        measured = ", ".join(f"{name} {_text(each[name])}" for name in apart) or "none"
        out.append(decided(text, measured, bool(apart)))
    if APART_AT in sizes and {NEARER, LIKE} <= set(estimators):
        ours, other = (_values(stored, "recall", e, APART_AT) for e in (NEARER, LIKE))
        text = f"n = {APART_AT}: recall@20 of {NEARER} is within {NEAR:g} of {LIKE}'s"
        ends = two_way(ours - other).interval()
        out.append(statement(text, ends, -NEAR, NEAR, "+.4f"))
    return out


def _text(found: Interval) -> str:
    mean, low, high = (100 * end for end in found)
    return interval_text(mean, low, high, "+.1f") + " %"


def faithful_page(frame: pd.DataFrame, stored: Stored) -> Sequence[str]:
    """What was measured, and each estimator's distances, in Markdown."""
    seeds = stored.arrays["full_recall"].shape[0]
    named = "`" + frame.estimator + "`"
    percent = 100 * frame.bias.mask(frame.n.isna())
    shown = frame.assign(estimator=named, bias=percent)
    columns = [("n", "n", ".0f"), ("bias (%)", "bias", ".1f")]
    columns += [(heading, name, ".3f") for name, heading in MEASURED.items()]
    return (
        described(
            f"{stored.header['dataset']}, {seeds} seeds, n negatives per row of the "
            "batch's 512. The first row is the full softmax itself.",
            {
                "bias": "of the expected gradient of the item vectors at a trained "
                "full softmax, in % of the exact gradient (study probe)",
                "divergence": "Kullback-Leibler divergence of the users' distributions "
                "under the estimator from those under the full softmax of the other "
                "seeds, in nats",
            },
            "Intervals are 95 %, two-way over users and seeds.",
        ),
        interval_table(shown, {"estimator": ""}, columns, left=1),
    )


@styled
def faithful_figure(frame: pd.DataFrame) -> Drawing:
    """Draws the divergence from the full softmax by n, and by the gradient's bias."""
    full, estimators = frame[frame.n.isna()].iloc[0], frame.dropna(subset=["n"])
    figure, panels = blank(3.8, ncols=2, sharey=True)
    groups = estimators.groupby("estimator", sort=False)
    for n, (estimator, rows) in enumerate(groups):
        corrected = str(estimator).startswith(REFERENCE)
        colour, marker = look(f"in-batch+{estimator}" if corrected else str(estimator))
        # smaller over larger: two pairs of estimators have the same line
        style = {"color": colour, "marker": marker, "ms": 9 - n, "label": estimator}
        panels[0].plot(rows.n, rows.divergence, **style)
        ends = rows.divergence_low, rows.divergence_high
        panels[0].fill_between(rows.n, *ends, color=colour, alpha=0.15)
        panels[1].plot(100 * rows.bias, rows.divergence, **style)
    level = {"color": "0.4", "linestyle": (0, (5, 3)), "label": "another seed of it"}
    for panel in panels:
        panel.axhline(full.divergence, **level)
    panels[0].set_xscale("log")
    panels[0].set_xticks(
        sorted(set(estimators.n)), [f"{n:.0f}" for n in sorted(set(estimators.n))]
    )
    panels[0].minorticks_off()
    panels[0].set_xlabel("negatives per row")
    panels[0].set_ylabel("divergence from the full softmax (nats)")
    panels[1].set_xlabel("bias of the gradient (%)")
    heading = "How far from the full softmax is a model trained with each estimator?"
    legend_above(figure, with_band(panels[0]), heading, 4)
    return Drawing(figure, frame)


def report_faithful(stored: Stored) -> Report:
    """The study's table, page and figure."""
    frame = faithful_frame(stored)
    drawings = {"-bias": faithful_figure(frame)}
    return Report(
        {".csv": frame}, faithful_page(frame, stored), drawings, verdicts(stored)
    )
