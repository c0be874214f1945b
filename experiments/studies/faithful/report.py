"""What the study faithful shows: its table, verdicts on its prediction, its figure."""

from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd

from experiments.studies import STUDIES, write_report
from research.report.intervals import Interval, two_way
from research.report.pages import QUICK, interval_text, markdown_page, markdown_table
from research.report.pictures import STYLE, Drawing, blank, legend_above
from research.report.records import Stored, load_stored

__all__ = ["report_faithful"]

REFERENCE = "logq"  # the form that the others are held against
MARGIN = 0.1  # of the reference's divergence: what counts as equally far
EQUAL_FROM, APART_AT = 63, 3  # numbers of negatives of the prediction's statements
NEARER = "leave-own-out"  # the form of lower bias that is predicted to be no nearer
MEASURED = {
    "divergence": "divergence (nats)",
    "overlap": "shared items of 20",
    "recall": "R@20",
}
MARKERS = "osD^v"


def _values(stored: Stored, name: str, form: str, n: int) -> np.ndarray:
    """A number of a form at n, [user, seed]."""
    f = stored.header["forms"].index(form)
    s = stored.arrays["sizes"].tolist().index(n)
    return stored.arrays[name][f, s].astype(float).T


def faithful_frame(stored: Stored) -> pd.DataFrame:
    """One row per form and n, the full softmax first: means and 95 % intervals.

    Columns: form, n, bias, and of each of MEASURED its mean, _low and _high.
    """
    arrays = stored.arrays
    parts: list[tuple[str, float, float, dict[str, np.ndarray]]] = [
        (
            *("full-softmax", np.nan, 0.0),
            {name: arrays[f"full_{name}"].astype(float).T for name in MEASURED},
        )
    ]
    for f, form in enumerate(stored.header["forms"]):
        for s, n in enumerate(arrays["sizes"].tolist()):
            found = {name: _values(stored, name, form, n) for name in MEASURED}
            parts.append((form, n, float(arrays["bias"][f, s]), found))
    lines = []
    for form, n, bias, found in parts:
        line = {"form": form, "n": n, "bias": bias}
        for name, values in found.items():
            mean, low, high = two_way(values).interval()
            line |= {name: mean, f"{name}_low": low, f"{name}_high": high}
        lines.append(line)
    return pd.DataFrame(lines)


def difference(stored: Stored, form: str, n: int) -> Interval:
    """A form's divergence less that of the reference at n, as a share of the latter."""
    other = _values(stored, "divergence", REFERENCE, n)
    found = two_way(_values(stored, "divergence", form, n) - other).interval()
    mean, low, high = (float(end) / float(two_way(other).mean) for end in found)
    return Interval(mean, low, high)


def verdicts(stored: Stored) -> list[list[str]]:
    """Each part of the prediction: the statement, what was measured, the verdict."""
    forms = [form for form in stored.header["forms"] if form != REFERENCE]
    sizes, out = stored.arrays["sizes"].tolist(), []
    for n in (size for size in sizes if size >= EQUAL_FROM):
        for form in forms:
            found = difference(stored, form, n)
            text = f"n = {n}: {form} is as far as {REFERENCE}, within {MARGIN:.0%}"
            out.append([text, _text(found), found.within(-MARGIN, MARGIN)])
            if form == NEARER and n == EQUAL_FROM:
                text = f"n = {n}: {form} is not nearer than {REFERENCE}"
                verdict = (
                    "fails"
                    if found.high < 0
                    else "holds"
                    if found.low > -MARGIN
                    else "undecided"
                )
                out.append([text, _text(found), verdict])
    if APART_AT in sizes:
        each = {form: difference(stored, form, APART_AT) for form in forms}
        apart = [form for form, d in each.items() if d.low > 0 or d.high < 0]
        text = f"n = {APART_AT}: some form is not as far as {REFERENCE}"
        found_forms = ", ".join(f"{form} {_text(each[form])}" for form in apart)
        out.append([text, found_forms or "none", "holds" if apart else "fails"])
    return out


def _text(found: Interval) -> str:
    mean, low, high = (100 * end for end in found)
    return interval_text(mean, low, high, "+.1f") + " %"


def faithful_page(frame: pd.DataFrame, stored: Stored) -> str:
    """The prediction, its verdicts, and each form's distances, in Markdown."""
    seeds = stored.arrays["full_recall"].shape[0]
    rows = []
    for row in frame.to_dict("records"):
        full = np.isnan(row["n"])
        cells = [f"`{row['form']}`", "-" if full else f"{row['n']:.0f}"]
        cells.append("-" if full else f"{100 * row['bias']:.1f}")
        for name in MEASURED:
            ends = (row[name], row[f"{name}_low"], row[f"{name}_high"])
            cells.append(interval_text(*ends, ".3f"))
        rows.append(cells)
    return markdown_page(
        STUDIES["faithful"].question,
        f"{stored.header['dataset']}, {seeds} seeds, n negatives a row of the batch's "
        "512. Bias: of the expected gradient of the item vectors at a trained full "
        "softmax, in % of the exact gradient (study probe). Divergence: "
        "Kullback-Leibler, of the users' distributions by the form from those by the "
        "full softmax of the other seeds, in nats. The first row is the full softmax "
        "itself. Intervals are 95 %, two-way over users and seeds.",
        QUICK if stored.header["quick"] else "",
        f"Prediction: {STUDIES['faithful'].prediction}",
        markdown_table(["statement", "measured", "verdict"], verdicts(stored)),
        markdown_table(["form", "n", "bias (%)", *MEASURED.values()], rows, left=1),
    )


def faithful_figure(frame: pd.DataFrame) -> Drawing:
    """Draws the divergence from the full softmax by n, and by the gradient's bias."""
    full, forms = frame[frame.n.isna()].iloc[0], frame.dropna(subset=["n"])
    with matplotlib.rc_context(STYLE):
        figure, panels = blank(3.8, ncols=2, sharey=True)
        for (form, rows), marker in zip(forms.groupby("form", sort=False), MARKERS):
            style = {"marker": marker, "ms": 5, "label": form}
            (line,) = panels[0].plot(rows.n, rows.divergence, **style)
            ends = rows.divergence_low, rows.divergence_high
            panels[0].fill_between(rows.n, *ends, color=line.get_color(), alpha=0.15)
            bias = 100 * rows.bias
            panels[1].plot(bias, rows.divergence, color=line.get_color(), **style)
        level = {"color": "0.4", "linestyle": (0, (5, 3)), "label": "another seed"}
        for panel in panels:
            panel.axhline(full.divergence, **level)
        panels[0].set_xscale("log")
        panels[0].set_xticks(
            sorted(set(forms.n)), [f"{n:.0f}" for n in sorted(set(forms.n))]
        )
        panels[0].minorticks_off()
        panels[0].set_xlabel("negatives a row")
        panels[0].set_ylabel("divergence from the full softmax (nats)")
        panels[1].set_xlabel("bias of the gradient (%)")
        heading = "Distance of trained models from the full softmax"
        legend_above(figure, panels[0].get_lines(), heading, 3)
    return Drawing(figure, frame)


def report_faithful(records: Path, out: Path) -> list[Path]:
    """Writes the study's table, page and figure under out from its records.

    Raises:
      InputError: no such file, or of another RECORDS_VERSION.
    """
    stored = load_stored(records)
    frame = faithful_frame(stored)
    texts = {".csv": frame, ".md": faithful_page(frame, stored)}
    return write_report(out, stored.header, texts, {"-bias": faithful_figure(frame)})
