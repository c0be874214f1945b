"""The probe's tables: long for programs, and one page for people."""

from typing import Any

import numpy as np
import pandas as pd

from experiments.studies.probe.archive import Archive
from experiments.studies.probe.estimates import Estimate, estimate
from experiments.studies.probe.forms import FORMS
from experiments.studies.probe.negatives import band_shares, library_shares
from experiments.studies.probe.runner import FAITHFUL, SMALL, ZERO, Measurement
from research.report.pages import (
    EMPTY,
    QUICK,
    markdown_page,
    markdown_table,
    number_text,
)
from research.types import BANDS

__all__ = ["bias_table", "decile_table", "drift_table", "page", "seen_table"]

LIBRARY = "library"
PER_ROW = "per row"


def bias_table(archive: Archive) -> pd.DataFrame:
    """One row a cell and target: bias, its standard error, cosine, variance."""
    rows = [
        _row(cell, target, estimate(kept, cell.question == FAITHFUL))
        for cell, probe in archive.measured
        for target, kept in probe.products.items()
    ]
    rows += [_row(cell, "scores", found) for cell, found in archive.enumerated]
    return pd.DataFrame(rows)


def _row(cell: Measurement, target: str, found: Estimate) -> dict[str, Any]:
    about = {**cell._asdict(), "masked": "yes" if cell.masked else "no"}
    exact = "yes" if FORMS[cell.form].exact else "no"
    return {**about, "q exact": exact, "target": target, **found._asdict()}


def decile_table(archive: Archive) -> pd.DataFrame:
    """Signed error by popularity decile (1 the most clicked), with standard errors.

    Of the cells with the largest n: the others show the same with more noise.
    """
    rows = []
    largest = max(cell.n for cell, _ in archive.measured)
    for cell, probe in archive.measured:
        if cell.n != largest:
            continue
        about = {**cell._asdict(), "masked": "yes" if cell.masked else "no"}
        error = probe.signed.std(axis=0, ddof=1) / np.sqrt(len(probe.signed))
        rows += [
            {**about, "decile": n + 1, "signed": mean, "error": error[n]}
            for n, mean in enumerate(probe.signed.mean(axis=0))
        ]
    return pd.DataFrame(rows)


def seen_table(archive: Archive) -> pd.DataFrame:
    """One row a model and source, the library first: bands, distinct items, scores."""
    names = [f"share_{band}" for band in BANDS]
    first = {
        "model": "",
        "source": LIBRARY,
        **dict(zip(names, library_shares(archive.counts))),
        "distinct": len(archive.counts),
    }
    rows: list[dict[str, Any]] = [first]
    for model, sources in archive.seen.items():
        for source, found in sources.items():
            shares = band_shares(found.counts, archive.counts)
            rows.append(
                {
                    "model": model,
                    "source": source,
                    **dict(zip(names, shares)),
                    "distinct": found.distinct,
                    "score": found.score,
                    "positive_score": found.positive_score,
                    "above": found.above,
                }
            )
    return pd.DataFrame(rows)


def drift_table(archive: Archive) -> pd.DataFrame:
    """One row a lag and step: mean over items of the distance moved within the lag."""
    rows = [
        {"lag": lag, "step": int(step), "drift": float(value)}
        for lag, (steps, drift) in sorted(archive.drifts.items())
        for step, value in zip(steps, drift, strict=True)
    ]
    return pd.DataFrame(rows)


def page(archive: Archive, frame: pd.DataFrame, seen: pd.DataFrame) -> str:
    """The tables in Markdown: bias at the largest n, against n, and the negatives.

    Args:
      archive: what the probe measured.
      frame: of ``bias_table``.
      seen: of ``seen_table``.
    """
    shown = frame[(frame.drawn == PER_ROW) & (frame.masked == "no")]
    real = shown[shown.world != SMALL]
    n = int(real.n.max())
    header = archive.header
    return markdown_page(
        "What does each correction leave of the sampling bias?",
        f"{header['dataset']}, {header['rows']} fitted pairs, n = {n} negatives drawn "
        "for each row anew; gradient with respect to the item vectors, in % of the "
        "exact softmax's at the same rows. bias ± one standard error over the draws. "
        "The library is what has a fitted click. Zero at the truth: positives drawn "
        "from the model itself (of the 6 items: in % of the positives' pull). "
        "Faithful: the fitted positives, against the exact softmax.",
        QUICK if header["quick"] else "",
        _at_largest_n(real[(real.n == n) & (real.target == "items")]),
        _against_n(
            shown[(shown.world == SMALL) & (shown.model == "made")],
            ("scores", "6 items, every draw enumerated, gradient of the scores"),
        ),
        _against_n(
            real[(real.model == "trained") & (real.library == "fitted")],
            ("items", "trained, gradient of the item vectors"),
        ),
        _negatives(seen),
    )


def _at_largest_n(at_n: pd.DataFrame) -> str:
    keys = [(m, q) for m in ("untrained", "trained") for q in (ZERO, FAITHFUL)]
    heads = ["form", "q is right", *(f"{m}: {q}" for m, q in keys)]
    heads += ["trained: noise of a draw", "trained, whole library: faithful"]
    lines = []
    for form in FORMS:
        rows = at_n[at_n.form == form]
        fitted = rows[rows.library == "fitted"]
        cells = [_cell(fitted, m, q) for m, q in keys]
        last = fitted[(fitted.model == "trained") & (fitted.question == FAITHFUL)]
        noise = [f"{100 * np.sqrt(v):.1f}" for v in last.variance]
        cells += [*(noise or [EMPTY]), _cell(rows[rows.library == "whole"], *keys[3])]
        lines.append([f"`{form}`", "yes" if FORMS[form].exact else "no", *cells])
    return markdown_table(heads, lines)


def _cell(rows: pd.DataFrame, model: str, question: str) -> str:
    found = rows[(rows.model == model) & (rows.question == question)]
    text = [f"{100 * r.bias:.1f} ± {100 * r.error:.1f}" for r in found.itertuples()]
    return text[0] if text else EMPTY


def _against_n(part: pd.DataFrame, what: tuple[str, str]) -> str:
    """Bias against n: the target of the gradients, and how the heading calls it."""
    target, words = what
    part = part[part.target == target]
    keys = [(q, n) for q in (ZERO, FAITHFUL) for n in sorted(part.n.unique())]
    heads = [f"bias in %: {words}", *(f"{q}, n = {n}" for q, n in keys)]
    lines = []
    for form in FORMS:
        bias = part[part.form == form].set_index(["question", "n"]).bias
        cells = [f"{100 * bias[k]:.2f}" if k in bias.index else EMPTY for k in keys]
        lines.append([f"`{form}`", *cells])
    return markdown_table(heads, lines)


def _negatives(seen: pd.DataFrame) -> str:
    heads = ["model", "source", *BANDS]
    heads += ["distinct items", "mean score", "above positive"]
    lines = []
    for row in seen.to_dict("records"):
        shares = [f"{row[f'share_{band}']:.3f}" for band in BANDS]
        numbers = [number_text(row.get(k, np.nan), ".3f") for k in ("score", "above")]
        cells = [row["model"] or EMPTY, f"`{row['source']}`", *shares]
        lines.append([*cells, str(row["distinct"]), *numbers])
    return markdown_table(heads, lines)
