"""What the study collapse shows: steps to half the recall, by the size of the cache."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from experiments.studies.collapse import CACHE, NONE, PUSH, STOPPED
from experiments.studies.collapse.figure import collapse_figure
from experiments.study import OVER_SEEDS, Report, described
from research.report.intervals import Interval, over_seeds
from research.report.pages import EMPTY, interval_text, markdown_table, seeds_text
from research.report.records import Stored

LEVEL = 0.5  # of recall@20 where the columns join
# The predictions.
SLOPE = (-1.25, -0.75)  # of log steps over log M / B
RATIO = (1.6, 2.2)  # of the steps at the smallest size and at the largest
EPOCHS = 2.0  # at most
LEAST_KEPT = 0.95  # of the recall that the arm without a cache ends with


def steps_to(
    recall: Float[ndarray, " p"], steps: Float[ndarray, " p"], level: float
) -> float:
    """Steps until a curve first reaches a level from above; inf for never.

    >>> steps_to(np.array([0.4, 0.3, 0.1]), np.array([0.0, 4.0, 8.0]), 0.2)
    6.0
    >>> steps_to(np.array([0.4, 0.3]), np.array([0.0, 4.0]), 0.2)
    inf
    """
    reached = np.flatnonzero(recall <= level)
    if not len(reached):
        return float("inf")
    at = int(reached[0])
    if at == 0:
        return float(steps[0])
    share = (recall[at - 1] - level) / (recall[at - 1] - recall[at])
    return float(steps[at - 1] + share * (steps[at] - steps[at - 1]))


def times(stored: Stored) -> Float[ndarray, "a s"]:
    """Steps to half of the recall at the start, by arm and seed."""
    recall = stored.arrays["recall"].astype(float)
    steps = stored.arrays["steps"].astype(float)
    return np.array(
        [[steps_to(c, steps, LEVEL * c[0]) for c in of_arm] for of_arm in recall]
    )


def _last(values: Float[ndarray, "a s p"]) -> Float[ndarray, " a"]:
    """The last value that each seed was followed to, the mean over seeds."""
    at = np.isfinite(values).sum(axis=-1, keepdims=True) - 1
    return np.asarray(np.take_along_axis(values, at, -1)[..., 0].mean(axis=1))


def collapse_frame(stored: Stored) -> pd.DataFrame:
    """One row per arm and size.

    Columns: arm; size, M / B, 0 for none; steps to half of the recall with _low and
    _high (inf, above the steps that it was followed for, where a seed doesn't get
    there), epochs; start and end, the mean recall@20 at the first point and the last
    one followed; cosine_start and cosine_end, likewise the mean cosine of two items;
    kept, the last recall as a share of that without a cache, with _low and _high, NaN
    where it wasn't followed to the end.
    """
    header, arrays = stored.header, stored.arrays
    found, most = times(stored), float(arrays["steps"][-1])
    recall, cosine = (arrays[name].astype(float) for name in ("recall", "cosine"))
    ends = pd.DataFrame(
        {
            "arm": header["arms"],
            "size": arrays["sizes"],
            "start": recall[:, :, 0].mean(axis=1),
            "end": _last(recall),
            "cosine_start": cosine[:, :, 0].mean(axis=1),
            "cosine_end": _last(cosine),
        }
    )
    none = recall[header["arms"].index(NONE), :, -1]
    lines = []
    for steps, last in zip(found, recall[:, :, -1], strict=True):
        took = over_seeds(np.minimum(steps, most)).interval()
        if np.isinf(steps).any():
            took = Interval(np.inf, took.low, np.inf)
        kept = Interval(np.nan, np.nan, np.nan)
        if np.isfinite(last).all():
            kept = over_seeds(last / none).interval()
        lines.append({**took.columns("steps"), **kept.columns("kept")})
    frame = pd.concat([ends, pd.DataFrame(lines)], axis=1)
    return frame.assign(epochs=frame.steps / header["epoch_steps"])


def comparisons(stored: Stored) -> pd.DataFrame:
    """What the predictions are about: name, size, the mean and its interval.

    slope: of log steps over log M / B, least squares for each seed; halved: the same
    over the sizes that halve recall with every seed. ratio: steps at the smallest size
    by those at the largest. longer: steps with stopped fresh columns by those with the
    cache, at each size. A curve that doesn't get there stands with the steps that it
    was followed for, and the side of the interval is open on which the value then lies.
    """
    names, sizes = stored.header["arms"], stored.arrays["sizes"]
    found, most = times(stored), float(stored.arrays["steps"][-1])
    known = np.minimum(found, most)
    short = np.isinf(found).any(axis=1)  # by arm, followed for too few steps
    of_cache = [a for a, name in enumerate(names) if name == CACHE]
    first, last = of_cache[0], of_cache[-1]
    logs = np.log(sizes[of_cache].astype(float))
    slope = np.polyfit(logs, np.log(known[of_cache]), 1)[0]
    # Too few steps of a small cache make the slope too flat, of a large one too steep.
    large = short[of_cache][logs > logs.mean()].any()
    lines = [
        _compared("slope", 0, slope, short[of_cache].any(), large),
        _compared("ratio", 0, known[first] / known[last], short[last], short[first]),
    ]
    halved = ~short[of_cache]
    if halved.sum() > 1:
        rows = np.array(of_cache)[halved]
        flat = np.polyfit(logs[halved], np.log(known[rows]), 1)[0]
        lines.append(_compared("halved", 0, flat, False, False))
    for other in (a for a, name in enumerate(names) if name == STOPPED):
        (same,) = (a for a in of_cache if sizes[a] == sizes[other])
        shares = known[other] / known[same]
        size = int(sizes[other])
        lines.append(_compared("longer", size, shares, short[same], short[other]))
    return pd.DataFrame(lines)


def _compared(
    name: str, size: int, values: Float[ndarray, " s"], below: bool, above: bool
) -> dict[str, Any]:
    """A line of comparisons; below and above: the value may lie there without end."""
    ends = over_seeds(values).interval()
    if below:
        ends = ends._replace(low=-np.inf)
    if above:
        ends = ends._replace(high=np.inf)
    return {"name": name, "size": size, **ends.columns("value")}


def verdicts(
    frame: pd.DataFrame, compared: pd.DataFrame, epoch_steps: int
) -> list[list[str]]:
    """Each part of the prediction: the statement, what was measured, the verdict."""
    values = {
        (row["name"], row["size"]): Interval.of(row, "value")
        for row in compared.to_dict("records")
    }
    cache = frame[frame.arm == CACHE]
    smallest, largest = cache["size"].min(), cache["size"].max()
    judged = [
        ("as B / M: slope of log steps over log M / B", values["slope", 0], SLOPE),
        (
            f"as 1 + B / M: steps at {smallest} by those at {largest}",
            values["ratio", 0],
            RATIO,
        ),
    ]
    for row in cache.to_dict("records"):
        took = Interval.of(row, "steps")
        epochs = Interval(*(end / epoch_steps for end in took))
        judged.append((f"M / B {row['size']}: epochs", epochs, (-np.inf, EPOCHS)))
    judged += [
        (f"M / B {size}: steps of {STOPPED} by the cache's", ends, (1.0, np.inf))
        for (name, size), ends in values.items()
        if name == "longer"
    ]
    judged += [
        (
            f"M / B {row['size']}: {PUSH} keeps of the recall without a cache",
            Interval.of(row, "kept"),
            (LEAST_KEPT, np.inf),
        )
        for row in frame[frame.arm == PUSH].to_dict("records")
    ]
    return [
        [f"{text}, {_range(*ends)}", _measured(found), found.within(*ends)]
        for text, found, ends in judged
    ]


def _range(low: float, high: float) -> str:
    if np.isinf(low):
        return f"at most {high:g}"
    return f"at least {low:g}" if np.isinf(high) else f"{low:g} to {high:g}"


def _measured(found: Interval) -> str:
    if np.isinf(found.low) and np.isinf(found.high):
        return "not reached with every seed"
    if np.isinf(found.high):
        return f"at least {found.low:.2f}"
    if np.isinf(found.low):
        return f"at most {found.high:.2f}"
    return interval_text(*found, ".2f")


def collapse_page(frame: pd.DataFrame, stored: Stored) -> Sequence[str]:
    """What was measured, and one row per arm and size, in Markdown."""
    header, steps = stored.header, stored.arrays["steps"]
    about = described(
        f"{header['dataset']}, {seeds_text(stored.arrays['recall'].shape[1])}. "
        f"`{NONE}` (temperature {header['temperature']:g}, rate "
        f"{header['learning_rate']:g}, batches of B = {header['batch']}, "
        f"{header['epoch_steps']} steps per epoch) is trained up to epoch "
        f"{header['before']}. Then M more columns join for {steps[-1]} steps; every "
        f"{steps[1] - steps[0]} steps all items are ranked for the test part.",
        {
            "steps to half": "until recall@20 is half of what it was where the columns "
            "joined: interpolated, mean over seeds; a seed is not followed below a "
            "quarter",
            "at least": "a seed that does not get to half counts with the steps for "
            "which it was followed",
            "kept": "the last recall, as a share of that of the arm without a cache",
            "cosine": "mean over all pairs of items, at the first step and at the last",
        },
        OVER_SEEDS,
    )
    rows = [
        [
            f"`{row['arm']}`",
            f"{row['size']}" if row["size"] else EMPTY,
            *_took(row),
            f"{row['start']:.3f}",
            f"{row['end']:.3f}",
            EMPTY
            if np.isnan(row["kept"])
            else interval_text(*Interval.of(row, "kept"), ".3f"),
            f"{row['cosine_start']:.2f} to {row['cosine_end']:.2f}",
        ]
        for row in frame.to_dict("records")
    ]
    heads = ["arm", "M / B", "steps to half [95 %]", "epochs", "recall@20 at the start"]
    heads += ["at the end", "kept [95 %]", "cosine of items"]
    compared = comparisons(stored)
    return (
        about,
        _seen_after(frame, compared),
        markdown_table(heads, rows),
    )


def _seen_after(frame: pd.DataFrame, compared: pd.DataFrame) -> str:
    """The slope over the sizes that halve recall, where there are two or more."""
    rows = compared[compared.name == "halved"]
    if rows.empty:
        return ""
    cache = frame[(frame.arm == CACHE) & np.isfinite(frame.steps)]
    sizes = ", ".join(f"{size}" for size in cache["size"])
    row = rows.iloc[0]
    slope = interval_text(*Interval.of(row, "value"), "+.2f")
    return (
        "No part of the prediction: over the sizes that halve recall with every seed "
        f"({sizes}), the slope is {slope}."
    )


def _took(row: dict[str, float]) -> list[str]:
    if not np.isfinite(row["steps"]):
        return [f"at least {row['steps_low']:.0f}", EMPTY]
    ends = row["steps"], row["steps_low"], row["steps_high"]
    return [interval_text(*ends, ".0f"), f"{row['epochs']:.2f}"]


def heading(frame: pd.DataFrame, compared: pd.DataFrame, most: float) -> str:
    """Which caches halve recall, and how their steps fall, if every seed says so.

    Args:
      frame: from collapse_frame.
      compared: from comparisons.
      most: steps that each was followed for.
    """
    cache = frame[frame.arm == CACHE]
    up = cache[cache.steps_low == most]["size"]  # no seed got there
    fell = cache[np.isfinite(cache.steps)]
    if len(up) and len(fell) and up.max() < fell["size"].min():
        first, last = fell.steps.max(), fell.steps.min()
        which = "of" if up.max() == cache["size"].min() else "up to"
        return (
            f"A cache {which} M / B = {up.max()} leaves more than half of recall@20 "
            f"after {most:.0f} steps (triangles);\nfrom {fell['size'].min()} on, half "
            f"is gone within {last:.0f} to {first:.0f} steps on average"
        )
    row = compared.set_index("name").loc["slope"]
    slope = Interval.of(row, "value")
    if slope.within(*SLOPE) == "holds":
        return "Recall halves after a number of steps that falls as B / M"
    if slope.low > SLOPE[1]:
        return (
            "Recall halves after a number of steps that falls more slowly than as B / M"
        )
    return "Recall after a cache joins the batch, and steps until half of it is left"


def report_collapse(stored: Stored) -> Report:
    """The study's table, page and figure."""
    frame = collapse_frame(stored)
    compared = comparisons(stored)
    title = heading(frame, compared, float(stored.arrays["steps"][-1]))
    drawings = {"-steps": collapse_figure(frame, stored, title)}
    judged = verdicts(frame, compared, stored.header["epoch_steps"])
    return Report({".csv": frame}, collapse_page(frame, stored), drawings, judged)
