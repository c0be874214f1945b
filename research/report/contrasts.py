"""The declared contrasts of a grid: differences, p values by Holm, and verdicts.

Without a p value there is no verdict: with one seed, in metrics of all lists together
below MIN_SEEDS, and in these between arms that draw nothing at random.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from research.contrast import Contrast, cell_name
from research.evaluate.metrics import METRICS
from research.report.intervals import (
    ALPHA,
    MIN_SEEDS,
    Estimate,
    holm,
    two_way,
)
from research.report.pages import (
    EMPTY,
    interval_text,
    markdown_page,
    markdown_table,
    p_text,
)
from research.report.records import RunResult
from research.report.tables import (
    Cells,
    by_cell,
    cell_key,
    estimate_of,
    judged_alike,
    positives_of,
    values_of,
)
from research.types import InputError

ABSENT = "not in these records"
MARGIN = 0.02  # of the reference's value: what counts as equivalent
WITHIN = f", within {100 * MARGIN:g} %"  # said of a significant difference
UNTESTED = "not tested"  # the verdict without a p value; its reason is one of these
ONE_SEED, ONE_USER = "one seed", "one user"
FEW_SEEDS = f"no test below {MIN_SEEDS} seeds"
SAME_LISTS = "the same lists with every seed"


class Paired(NamedTuple):
    """A paired difference of two arms, and its 95 % interval.

    ``p`` is two-sided of "no difference", NaN where there is no test; ``p_equivalence``
    of "they differ by at least the margin", by two one-sided tests. ``reference`` is
    the mean of the arm that was subtracted, ``users`` how many the metric counts.
    """

    difference: float
    low: float
    high: float
    p: float
    p_equivalence: float
    reference: float
    users: int
    seeds: int


def runs_of(cells: Cells, arm: str, at: Mapping[str, Any]) -> list[RunResult]:
    """The runs of a cell, by seed.

    Raises:
      InputError: there is no such cell, or one of its runs failed.
    """
    found = cells.get(cell_key(arm, at))
    if not found:
        raise InputError(f"{ABSENT}: {cell_name(arm, at)}")
    for run in found:
        if run.record is None:
            raise InputError(f"{cell_name(arm, at)} failed: {run.reason}")
    return found


def _runs_of_both(
    cells: Cells, contrast: Contrast
) -> tuple[list[RunResult], list[RunResult]]:
    """The runs of both arms; for refusals see ``runs_of``."""
    arm, against, _, _, at, against_at = contrast[:6]
    other_at = at if against_at is None else against_at
    if against_at is None and cell_key(against, at) not in cells:
        other_at = {}  # as in the long table: its one cell, with nothing swept
    return runs_of(cells, arm, at), runs_of(cells, against, other_at)


def of_one_run(runs: Sequence[RunResult]) -> bool:
    """Whether runs with records are copies of one, as of an arm without random draws.

    Training with other seeds gives other ranks, if only of some positives.
    """
    first, *others = (run.record for run in runs if run.record)
    return all(
        np.array_equal(getattr(first, name), getattr(other, name))
        for other in others
        for name in ("rank", "exposure")
    )


def _values_of(
    cells: Cells, contrast: Contrast, k: int
) -> tuple[ndarray, ndarray, int]:
    """The values of both arms at a cut-off, and the number of evaluated users."""
    arm, against, metric = contrast[:3]
    ours, others = _runs_of_both(cells, contrast)
    if [run.seed for run in ours] != [run.seed for run in others]:
        raise InputError(f"{arm} and {against} have different seeds")
    values, other = values_of(ours, metric, k), values_of(others, metric, k)
    if len(values) != len(other) or np.any(np.isnan(values) != np.isnan(other)):
        raise InputError(f"{arm} and {against} are over different users")
    one, two = ours[0].record, others[0].record
    assert one is not None  # a failed run has no values above
    assert two is not None
    if not judged_alike(positives_of(one), positives_of(two)):
        raise InputError(f"{arm} and {against} are judged by other positives")
    return values, other, len(one.held)


def difference(cells: Cells, contrast: Contrast) -> Paired:
    """The paired difference of a contrast.

    Raises:
      InputError: there is none; the message says why.
    """
    values, other, users = _values_of(cells, contrast, contrast.k)
    if contrast.over:
        lower = _values_of(cells, contrast, contrast.over)[:2]
        first, reference = _linear_factor(*lower)
        estimate = two_way(_linear_factor(values, other)[0] - first)
    elif METRICS[contrast.metric].per_user:
        return paired_users(values, other)
    else:
        estimate = estimate_of(contrast.metric, values - other)
        reference = float(other.mean())
        if all(map(of_one_run, _runs_of_both(cells, contrast))):
            estimate = Estimate(estimate.mean, np.nan, np.nan)  # nothing varies
    return _paired(estimate, reference, users, values.shape[-1])


def paired_users(values: Float[ndarray, "u s"], other: Float[ndarray, "u s"]) -> Paired:
    """The paired difference of a per-user metric, two-way over users and seeds."""
    users = int((~np.isnan(values)).any(axis=1).sum())
    reference = float(two_way(other).mean)
    return _paired(two_way(values - other), reference, users, values.shape[-1])


def _paired(estimate: Estimate, reference: float, users: int, seeds: int) -> Paired:
    mean, low, high = map(float, estimate.interval())
    p = float(estimate.p()), _p_equivalence(estimate, MARGIN * abs(reference))
    if seeds == 1:  # of how models differ by seed nothing is known
        p = np.nan, np.nan
    return Paired(mean, low, high, *p, reference, users, seeds)


def _linear_factor(
    values: Float[ndarray, "u s"], other: Float[ndarray, "u s"]
) -> tuple[Float[ndarray, "u s"], float]:
    """The ratio of two means, linearised by user and seed (delta method); the ratio."""
    below = float(two_way(other).mean)
    factor = float(two_way(values).mean) / below
    return factor + (values - factor * other) / below, factor


def _p_equivalence(estimate: Estimate, margin: float) -> float:
    """The larger p of "at most -margin" and "at least margin"."""
    turned = estimate._replace(mean=-estimate.mean)
    return float(np.maximum(estimate.below(margin), turned.below(margin)))


COLUMNS = [
    *("id", "arm", "against", "metric", "k", "over"),
    *("reference", "difference", "low", "high", "p", "p_holm"),
    *("p_equivalence", "p_equivalence_holm", "verdict"),
    *("users", "seeds", "note"),
]


def contrast_frame(
    results: Sequence[RunResult], contrasts: Sequence[Contrast]
) -> pd.DataFrame:
    """One row per contrast of a grid's results: see ``family``."""
    cells = by_cell(results)
    return family(contrasts, lambda contrast: difference(cells, contrast))


def family(
    contrasts: Sequence[Contrast], measured_by: Callable[[Contrast], Paired]
) -> pd.DataFrame:
    """One row per contrast, in their order, with COLUMNS.

    The contrasts are one family: both kinds of p values are adjusted by Holm over those
    with a test. One without a test has the reason as its note; one without data has no
    numbers, either, and 0 seeds.
    """
    ids = [contrast.id for contrast in contrasts]
    if twice := sorted({name for name in ids if ids.count(name) > 1}):
        raise ValueError(f"contrasts with one id: {', '.join(twice)}")
    lines = []
    for contrast in contrasts:
        line: dict[str, Any] = {
            "id": contrast.id,
            "arm": cell_name(contrast.arm, contrast.at),
            "against": cell_name(contrast.against, contrast.against_at or {}),
            **{name: getattr(contrast, name) for name in ("metric", "k", "over")},
            **{"users": 0, "seeds": 0},
        }
        try:
            found = measured_by(contrast)
            line |= {**found._asdict(), "note": _why_untested(contrast, found)}
        except InputError as error:
            line["note"] = str(error)
        lines.append(line)
    frame = pd.DataFrame(lines, columns=COLUMNS)
    for name in ("p", "p_equivalence"):
        frame[f"{name}_holm"] = holm(frame[name].to_numpy(np.float64))
    frame["verdict"] = [verdict(row) for row in frame.to_dict("records")]
    return frame


def _why_untested(contrast: Contrast, found: Paired) -> str:
    """Why a difference has no p value; "" where it has one, or where there is none."""
    if np.isnan(found.difference) or not np.isnan(found.p):
        return ""
    if METRICS[contrast.metric].per_user:
        return ONE_SEED if found.seeds == 1 else ONE_USER
    return FEW_SEEDS if found.seeds < MIN_SEEDS else SAME_LISTS


def verdict(row: Mapping[Any, Any]) -> str:
    """What a contrast shows: better or worse, else equivalent, else undecided.

    Better and worse need a p value below ALPHA after Holm, equivalent one of the tests
    of equivalence. A metric without a better end is higher or lower. UNTESTED without a
    p value, "" without data.

    >>> row = {"difference": -0.01, "p_holm": 0.01, "p_equivalence_holm": 0.9}
    >>> verdict({"metric": "recall", **row}), verdict({"metric": "coverage", **row})
    ('worse', 'lower')
    """
    if np.isnan(row["difference"]):
        return ""
    if np.isnan(row["p_holm"]):
        return UNTESTED
    better = METRICS[row["metric"]].better
    if row["p_holm"] < ALPHA:
        more = row["difference"] > 0
        if better == "neither":
            return "higher" if more else "lower"
        return "better" if more == (better == "higher") else "worse"
    return "equivalent" if within_margin(row) else "undecided"


def within_margin(row: Mapping[Any, Any]) -> bool:
    """Whether the tests of equivalence say that a difference is within the margin.

    It may be significant, too: then the verdict is better or worse.

    >>> within_margin({"p_equivalence_holm": 0.01})
    True
    """
    return bool(row["p_equivalence_holm"] < ALPHA)


def verdict_text(row: Mapping[Any, Any]) -> str:
    """The verdict of a contrast, and whether a significant difference is that small.

    >>> verdict_text({"verdict": "better", "p_equivalence_holm": 0.01})
    'better, within 2 %'
    >>> verdict_text({"verdict": "not tested", "note": "one seed"})
    'not tested: one seed'
    """
    if row["verdict"] == UNTESTED:
        return f"{UNTESTED}: {row['note']}"
    small = row["verdict"] != "equivalent" and within_margin(row)
    return row["verdict"] + (WITHIN if small else "")


def measured(metric: str, k: int, over: int = 0) -> str:
    """What a contrast is a difference in, from its columns of these names.

    >>> measured("recall", 100), measured("recall", 100, 10)
    ('recall@100', 'factor in recall@100, less that at 10')
    """
    name = METRICS[metric].title(k)
    return f"factor in {name}, less that at {over}" if over else name


SMALL = (
    f' "{WITHIN.removeprefix(", ")}" follows where both are: such a difference is'
    " significant and equivalent."
)
UNTESTED_BECAUSE = {  # by the note of a contrast
    ONE_SEED: "With one seed there is no test: intervals are over users only, and hold"
    " for these models alone.",
    FEW_SEEDS: "Metrics of all lists together have neither interval nor test below"
    f" {MIN_SEEDS} seeds.",
    SAME_LISTS: "Arms that draw nothing at random have the same lists with every seed:"
    " between two of them, metrics of all lists together have neither interval nor"
    " test.",
}
HEADINGS = (
    *("arm", "against", "metric", "difference [95 %]", "p", "p of equivalence"),
    *("verdict", "users", "seeds"),
)


def contrast_texts(frame: pd.DataFrame, question: str) -> dict[str, str | pd.DataFrame]:
    """The table of contrasts and its page, by the ends of their files' names."""
    return {"-contrasts.csv": frame, "-contrasts.md": _page(frame, question)}


def in_family(frame: pd.DataFrame) -> tuple[int, str]:
    """How many contrasts share an adjustment by Holm, and what sets them apart.

    >>> in_family(pd.DataFrame({"difference": [0.1, 0.2], "p": [0.01, float("nan")]}))
    (1, 'with a test')
    """
    tested = int(frame.p.notna().sum())
    every = tested == frame.difference.notna().sum()
    return tested, "with data" if every else "with a test"


def _page(frame: pd.DataFrame, question: str) -> str:
    rows = []
    absent = frame[frame.note.str.startswith(ABSENT)]
    for row in frame.drop(absent.index).to_dict("records"):
        name = measured(row["metric"], row["k"], row["over"])
        cells = [f'<a id="{row["id"]}"></a>`{row["arm"]}`', f"`{row['against']}`", name]
        if not row["seeds"]:
            rows.append([*cells, row["note"], *[EMPTY] * 5])
            continue
        cells.append(interval_text(row["difference"], row["low"], row["high"], "+.4f"))
        cells += [p_text(row[f"{p}_holm"]) for p in ("p", "p_equivalence")]
        cells += [verdict_text(row), str(row["users"]), str(row["seeds"])]
        rows.append(cells)
    why = [said for note, said in UNTESTED_BECAUSE.items() if note in set(frame.note)]
    return markdown_page(
        f"Contrasts: {question}",
        markdown_table(HEADINGS, rows),
        f"{len(absent)} of the declared contrasts are of arms that are {ABSENT}."
        if len(absent)
        else "",
        *_on_tests(frame, any(WITHIN in row[-3] for row in rows)),
        " ".join(why),
    )


def _on_tests(frame: pd.DataFrame, small: bool) -> list[str]:
    """The paragraphs on pairing, p values and verdicts."""
    tested, which = in_family(frame)
    if not tested and frame.difference.notna().any():
        return ["Differences are paired by user and seed. None is tested."]
    return [
        "Differences are paired by user and seed. The intervals are not adjusted; both"
        f" p values are, by Holm over the {tested} contrasts {which}. p tests that"
        " there is no difference, p of equivalence that it is"
        f" at least {MARGIN:.0%} of the reference's value (two one-sided tests).",
        f"Verdict: better or worse, if p is below {ALPHA:g} (higher or lower where"
        " neither end is the better one); else equivalent, if p of equivalence is; else"
        " undecided." + (SMALL if small else ""),
    ]
