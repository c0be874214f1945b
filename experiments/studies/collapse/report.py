"""What the study collapse shows: steps to half the recall, by the size of the cache."""

from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator
from numpy import ndarray

from experiments.studies import STUDIES, write_report
from experiments.studies.collapse import CACHE, NAME, NONE, PUSH, STOPPED
from research.report.intervals import Interval, over_seeds
from research.report.pages import (
    EMPTY,
    QUICK,
    interval_text,
    markdown_page,
    markdown_table,
    seeds_text,
)
from research.report.pictures import STYLE, Drawing, above, blank, looks
from research.report.records import Stored, load_stored

__all__ = ["report_collapse"]

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


def collapse_frame(stored: Stored) -> pd.DataFrame:
    """One row per arm and size.

    Columns: arm; size, M / B, 0 for none; steps to half of the recall with _low and
    _high (inf where a seed never gets there), epochs; start and end, the mean recall@20
    at the first point and the last; cosine_start and cosine_end, likewise the mean
    cosine of two items; kept, the last recall as a share of that without a cache, with
    _low and _high.
    """
    header, arrays = stored.header, stored.arrays
    found, recall = times(stored), arrays["recall"].astype(float)
    none = recall[header["arms"].index(NONE), :, -1]
    lines = []
    for a, (name, size) in enumerate(zip(header["arms"], arrays["sizes"].tolist())):
        took = Interval(np.inf, np.nan, np.nan)
        if np.isfinite(found[a]).all():
            took = over_seeds(found[a]).interval()
        kept = over_seeds(recall[a, :, -1] / none).interval()
        ends = (recall[a, :, [0, -1]], arrays["cosine"][a, :, [0, -1]].astype(float))
        lines.append(
            {
                "arm": name,
                "size": size,
                **took.columns("steps"),
                "epochs": took.mean / header["epoch_steps"],
                **dict(zip(("start", "end"), ends[0].mean(axis=1), strict=True)),
                **dict(
                    zip(("cosine_start", "cosine_end"), ends[1].mean(axis=1)),
                ),
                **kept.columns("kept"),
            }
        )
    return pd.DataFrame(lines)


def comparisons(stored: Stored) -> pd.DataFrame:
    """What the predictions are about: name, size, the mean and its interval.

    slope: of log steps over log M / B, least squares for each seed. ratio: steps at
    the smallest size by those at the largest. longer: steps with stopped fresh columns
    by those with the cache, at each size. An inf stands where a seed never gets there.
    """
    names, sizes = stored.header["arms"], stored.arrays["sizes"]
    found = times(stored)
    of_cache = [a for a, name in enumerate(names) if name == CACHE]
    cache, logs = found[of_cache], np.log(sizes[of_cache].astype(float))
    values: list[tuple[str, int, Float[ndarray, " s"]]] = []
    if np.isfinite(cache).all():
        values.append(("slope", 0, np.polyfit(logs, np.log(cache), 1)[0]))
    else:
        values.append(("slope", 0, np.full(cache.shape[1], -np.inf)))
    values.append(("ratio", 0, _shares(cache[0], cache[-1])))
    stopped = {int(sizes[a]): a for a, name in enumerate(names) if name == STOPPED}
    for a in of_cache:
        other = found[stopped[int(sizes[a])]]
        values.append(("longer", int(sizes[a]), _shares(other, found[a])))
    lines = []
    for name, size, each in values:
        ends = Interval(float(each.mean()), np.nan, np.nan)
        if np.isfinite(each).all():
            ends = over_seeds(each).interval()
        lines.append({"name": name, "size": size, **ends.columns("value")})
    return pd.DataFrame(lines)


def _shares(
    steps: Float[ndarray, " s"], of: Float[ndarray, " s"]
) -> Float[ndarray, " s"]:
    """Steps by other steps; inf unless both curves got there."""
    both = np.isfinite(steps) & np.isfinite(of)
    return np.divide(steps, of, out=np.full(len(steps), np.inf), where=both)


def verdicts(
    frame: pd.DataFrame, compared: pd.DataFrame, epoch_steps: int
) -> list[list[str]]:
    """Each part of the prediction: the statement, what was measured, the verdict."""
    values = {
        (row["name"], row["size"]): Interval(
            row["value"], row["value_low"], row["value_high"]
        )
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
        took = Interval(row["steps"], row["steps_low"], row["steps_high"])
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
            Interval(row["kept"], row["kept_low"], row["kept_high"]),
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
    if not np.isfinite(found.mean):
        return "not reached with every seed"
    return interval_text(*found, ".2f")


def collapse_page(frame: pd.DataFrame, stored: Stored) -> str:
    """The prediction, its verdicts, and one row per arm and size, in Markdown."""
    header, steps = stored.header, stored.arrays["steps"]
    about = (
        f"{header['dataset']}, {seeds_text(stored.arrays['recall'].shape[1])}. "
        f"`{NONE}` (temperature {header['temperature']:g}, rate "
        f"{header['learning_rate']:g}, batches of B = {header['batch']}, "
        f"{header['epoch_steps']} steps an epoch) is trained up to epoch "
        f"{header['before']}; then M further columns join, for {steps[-1]} steps, and "
        f"every {steps[1] - steps[0]} steps all items are ranked for the test part. "
        "Steps: until recall@20 is half of what it was where the columns joined, "
        "interpolated, the mean over the seeds. Cosine: the mean of all pairs of "
        "items, first and last. Kept: the last recall as a share of that of the arm "
        "without a cache. 95 % t intervals over three seeds or more."
    )
    rows = [
        [
            f"`{row['arm']}`",
            f"{row['size']}" if row["size"] else EMPTY,
            *_took(row),
            f"{row['start']:.3f}",
            f"{row['end']:.3f}",
            interval_text(row["kept"], row["kept_low"], row["kept_high"], ".3f"),
            f"{row['cosine_start']:.2f} to {row['cosine_end']:.2f}",
        ]
        for row in frame.to_dict("records")
    ]
    heads = ["arm", "M / B", "steps to half [95 %]", "epochs", "recall@20 at the start"]
    heads += ["at the end", "kept [95 %]", "cosine of items"]
    compared = comparisons(stored)
    return markdown_page(
        STUDIES[NAME].question,
        about,
        QUICK if header["quick"] else "",
        f"Prediction: {STUDIES[NAME].prediction}",
        markdown_table(
            ["statement", "measured", "verdict"],
            verdicts(frame, compared, header["epoch_steps"]),
        ),
        markdown_table(heads, rows),
    )


def _took(row: dict[str, float]) -> list[str]:
    if not np.isfinite(row["steps"]):
        return ["not reached", EMPTY]
    ends = row["steps"], row["steps_low"], row["steps_high"]
    return [interval_text(*ends, ".0f"), f"{row['epochs']:.2f}"]


def collapse_figure(frame: pd.DataFrame, stored: Stored) -> Drawing:
    """Draws recall by step for each size of the cache, and steps to half by size."""
    header, arrays = stored.header, stored.arrays
    steps, curves = arrays["steps"], arrays["recall"].astype(float).mean(axis=1)
    styles, lines = looks([NONE, CACHE, STOPPED]), []
    sizes = sorted(frame[frame.arm == CACHE]["size"])
    shades = matplotlib.colormaps["viridis"](np.linspace(0.0, 0.85, len(sizes)))
    with matplotlib.rc_context(STYLE):
        figure, (left, right) = blank(3.6, ncols=2)
        for a, (name, size) in enumerate(zip(header["arms"], arrays["sizes"].tolist())):
            points = {"arm": name, "size": size, "steps": steps, "recall": curves[a]}
            if name == NONE:
                left.plot(steps, curves[a], color="0.3", ls="--", label="no cache")
            elif name == CACHE:
                left.plot(
                    *(steps, curves[a]),
                    color=shades[sizes.index(size)],
                    label=f"cache, M / B = {size}",
                )
            lines.append(pd.DataFrame(points))
        left.set(
            xlabel="steps since the cache joined", ylabel="recall@20", ylim=(0, None)
        )
        left.legend(fontsize=8)
        for name in (CACHE, STOPPED):
            rows = frame[(frame.arm == name) & np.isfinite(frame.steps)]
            style = styles[name]
            right.errorbar(
                *(rows["size"], rows.steps),
                yerr=(rows.steps - rows.steps_low, rows.steps_high - rows.steps),
                fmt=style.marker + "-",
                color=style.colour,
                label=name,
            )
        _guides(right, frame)
        # Set first: a log scale of an empty panel has no range of its own.
        right.set(xlim=(0.8 * sizes[0], 1.25 * sizes[-1]), ylim=(1, 1.5 * steps[-1]))
        right.set(xscale="log", yscale="log")
        right.xaxis.set_minor_locator(NullLocator())
        right.set_xticks(sizes, [f"{size:g}" for size in sizes])
        right.set(xlabel="M / B", ylabel="steps to half of recall@20")
        right.legend(fontsize=8)
        above(figure, heading(comparisons(stored)))
    return Drawing(figure, pd.concat(lines, ignore_index=True))


def _guides(panel: Axes, frame: pd.DataFrame) -> None:
    """Draws both predicted laws through the cache's first point."""
    rows = frame[(frame.arm == CACHE) & np.isfinite(frame.steps)].sort_values("size")
    if not len(rows):
        return
    sizes = np.geomspace(rows["size"].iloc[0], rows["size"].iloc[-1], 50)
    first = rows.steps.iloc[0]
    for law, text, style in (
        (1 / sizes, "as B / M", ":"),
        (1 + 1 / sizes, "as 1 + B / M", "--"),
    ):
        panel.plot(sizes, first * law / law[0], ls=style, color="0.5", label=text)


def heading(compared: pd.DataFrame) -> str:
    """How the time depends on the size, if an interval says so."""
    rows = compared.set_index("name")
    slope = Interval(*rows.loc["slope", ["value", "value_low", "value_high"]])
    if slope.within(*SLOPE) == "holds":
        return "Recall halves after a number of steps that falls as B / M"
    if slope.within(*SLOPE) == "fails" and slope.low > SLOPE[1]:
        return (
            "Recall halves after a number of steps that falls more slowly than as B / M"
        )
    return "Recall after a cache joins the batch, and steps until half of it is left"


def report_collapse(records: Path, out: Path) -> list[Path]:
    """Writes the study's table, page and figure under out from its records.

    Raises:
      InputError: no such file, or of another RECORDS_VERSION.
    """
    stored = load_stored(records)
    frame = collapse_frame(stored)
    texts = {".csv": frame, ".md": collapse_page(frame, stored)}
    return write_report(
        out, stored.header, texts, {"-steps": collapse_figure(frame, stored)}
    )
