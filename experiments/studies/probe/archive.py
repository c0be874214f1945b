"""Results of the probe: as a file of records, as long tables, and as a page."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Int
from numpy import ndarray

from experiments.studies.probe.bias import TARGETS, Probe
from experiments.studies.probe.estimates import BiasEstimate, Products, estimate_bias
from experiments.studies.probe.estimators import ESTIMATORS
from experiments.studies.probe.negatives import Drifts, SourceSample, band_shares
from experiments.study import described, save_study
from research.report.pages import markdown_table, number_text
from research.report.records import Stored
from research.types import BANDS, InputError

FAITHFUL = "faithful"  # positives of the data: is E[g] the full softmax's gradient?
ZERO = "zero at truth"  # positives from the model: is E[g] zero?
SMALL = "6 items"
PER_ROW = "per row"
LIBRARY = "catalogue"
# Arrays of the first fields of Products, [measurement, target, ...], and their types.
PRODUCTS = (("own", "<f4"), ("all", "<f4"), ("along", "<f4"), ("norm", "<f8"))


class Measurement(NamedTuple):
    """What is measured, and where.

    Attributes:
      world: "6 items" (enumerated) or the data set.
      model: "untrained", "trained", or "made" on the 6 items.
      library: the catalogue: "fitted" (items clicked in the training part) or "whole".
      estimator: as in ESTIMATORS.
      masked: whether columns that hold the row's own positive are masked.
      drawn: "per row", or "shared" by all rows.
      n: draws per row.
      question: FAITHFUL or ZERO.
    """

    world: str
    model: str
    library: str
    estimator: str
    masked: bool
    drawn: str
    n: int
    question: str

    def columns(self) -> dict[str, Any]:
        """Its columns in the tables, which call the estimator a form."""
        values = self._asdict() | {"masked": "yes" if self.masked else "no"}
        return {"form" if n == "estimator" else n: v for n, v in values.items()}


class Archive(NamedTuple):
    """Everything that a run of the probe measured.

    Attributes:
      header: as of every file of records.
      measured: from draws.
      enumerated: on the 6 items.
      negatives: a sample of each source, by model and source.
      counts: clicks of the items in the training part.
      drifts: of the item vectors, see ``follow``.
    """

    header: dict[str, Any]
    measured: list[tuple[Measurement, Probe]]
    enumerated: list[tuple[Measurement, BiasEstimate]]
    negatives: dict[str, dict[str, SourceSample]]
    counts: Int[ndarray, " i"]
    drifts: Drifts


def save_archive(out: Path, archive: Archive) -> Path:
    """Writes the records under an output folder; the same bytes each time."""
    probes = [probe for _, probe in archive.measured]
    inner = [[probe.products[t] for t in TARGETS] for probe in probes]
    arrays = {
        name: np.array([[p[column] for p in row] for row in inner], kind)
        for column, (name, kind) in enumerate(PRODUCTS)
    }
    arrays |= {
        "signed": np.array([probe.signed for probe in probes], "<f2"),
        "enumerated": np.array([tuple(e) for _, e in archive.enumerated], "<f8"),
        "counts": archive.counts.astype("<i4"),
    }
    samples: list[list[Any]] = []
    for model, by_source in archive.negatives.items():
        for source, (counts, *numbers) in by_source.items():
            name = f"seen{len(samples)}"
            arrays[name] = counts.astype("<i4")
            samples.append([model, source, name, *numbers])
    for lag, (steps, drift) in archive.drifts.items():
        arrays[f"steps{lag}"] = np.asarray(steps, "<i4")
        arrays[f"drift{lag}"] = np.asarray(drift, "<f4")
    return save_study(
        out,
        archive.header,
        arrays,
        cells=[
            [*cell, probe.products[TARGETS[0]].repeats]
            for cell, probe in archive.measured
        ],
        enumerated=[list(cell) for cell, _ in archive.enumerated],
        seen=samples,
        lags=sorted(archive.drifts),
    )


def archive_of(stored: Stored) -> Archive:
    """The archive in what a file of save_archive holds.

    Raises:
      InputError: the records are not the probe's.
    """
    header, content, arrays = stored
    try:
        negatives: dict[str, dict[str, SourceSample]] = {}
        for model, source, name, *numbers in content["seen"]:
            sample = SourceSample(arrays[name].astype(np.int64), *numbers)
            negatives.setdefault(model, {})[source] = sample
        return Archive(
            header=header,
            measured=[
                (Measurement(*cell), _probe(arrays, n, int(repeats)))
                for n, (*cell, repeats) in enumerate(content["cells"])
            ],
            enumerated=[
                (Measurement(*cell), BiasEstimate(*map(float, row)))
                for cell, row in zip(
                    content["enumerated"], arrays["enumerated"], strict=True
                )
            ],
            negatives=negatives,
            counts=arrays["counts"].astype(np.int64),
            drifts={
                lag: (arrays[f"steps{lag}"], arrays[f"drift{lag}"])
                for lag in content["lags"]
            },
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"not a file of the probe ({error!r})") from error


def _probe(arrays: Mapping[str, ndarray], n: int, repeats: int) -> Probe:
    stored = [arrays[name][n].astype(np.float64) for name, _ in PRODUCTS]
    inner = {
        target: Products._make((*vectors, float(norm), repeats))
        for target, *vectors, norm in zip(TARGETS, *stored, strict=True)
    }
    return Probe(inner, arrays["signed"][n].astype(np.float64))


def bias_table(archive: Archive) -> pd.DataFrame:
    """One row per measurement and target: bias, standard error, cosine, variance."""
    estimates = [
        (cell, target, estimate_bias(inner, cell.question == FAITHFUL))
        for cell, probe in archive.measured
        for target, inner in probe.products.items()
    ]
    estimates += [(cell, "scores", one) for cell, one in archive.enumerated]
    return pd.DataFrame(
        {
            **cell.columns(),
            "q exact": "yes" if ESTIMATORS[cell.estimator].exact else "no",
            "target": target,
            **one._asdict(),
        }
        for cell, target, one in estimates
    )


def decile_table(archive: Archive) -> pd.DataFrame:
    """Signed error by popularity decile (1 the most clicked), with standard errors.

    Of the measurements with the largest n: the others show the same with more noise.
    """
    largest = max(cell.n for cell, _ in archive.measured)
    rows = []
    for cell, probe in archive.measured:
        if cell.n == largest:
            means = probe.signed.mean(axis=0)
            errors = probe.signed.std(axis=0, ddof=1) / np.sqrt(len(probe.signed))
            rows += [
                {**cell.columns(), "decile": n, "signed": mean, "error": error}
                for n, (mean, error) in enumerate(zip(means, errors), 1)
            ]
    return pd.DataFrame(rows)


def negatives_table(archive: Archive) -> pd.DataFrame:
    """One row per model and source, the catalogue first: bands, items, scores."""

    def row(model: str, source: str, draws: ndarray) -> dict[str, Any]:
        shares = zip(BANDS, band_shares(draws, archive.counts))
        bands = {f"share_{band}": share for band, share in shares}
        distinct = int((draws > 0).sum())
        return {"model": model, "source": source, **bands, "distinct": distinct}

    rows = [row("", LIBRARY, np.ones_like(archive.counts))]
    for model, samples in archive.negatives.items():
        for source, sample in samples.items():
            scores = sample._asdict()
            rows.append(row(model, source, scores.pop("counts")) | scores)
    return pd.DataFrame(rows)


def drift_table(archive: Archive) -> pd.DataFrame:
    """One row per lag and step: mean over items of the distance moved in the lag."""
    return pd.DataFrame(
        {"lag": lag, "step": int(step), "drift": float(value)}
        for lag, (steps, drift) in sorted(archive.drifts.items())
        for step, value in zip(steps, drift, strict=True)
    )


def probe_page(
    archive: Archive, bias: pd.DataFrame, negatives: pd.DataFrame
) -> Sequence[str]:
    """The tables in Markdown: bias at the largest n, against n, and the negatives."""
    shown = bias[(bias.drawn == PER_ROW) & (bias.masked == "no")]
    real, small = shown[shown.world != SMALL], shown[shown.world == SMALL]
    header, n = archive.header, int(real.n.max())
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
