"""Which trades precision against diversity, the temperature or the popularity prior?

Lists at a low temperature cover more of the catalogue, those at a high one less. But a
temperature also sets how much log q counts beside the scores: the study ``scale`` finds
that one total strength is too little at 0.05 and too much at 0.4. Here each model,
trained without or with log q in the loss at one of five temperatures, is served with
every total. That gives a curve of recall@20 on test by coverage@20 for each
temperature. If the temperature does what a prior does, the curves coincide. If one
curve lies above the others, its temperature is the one to train at, and the prior is
what to vary.

    python -m experiments run trade-off            about 12 minutes on 2 cores, 5 seeds
    python -m experiments run trade-off --quick    about half a minute

On Electronics (--dataset DIR/electronic --seeds 3) it takes 50 minutes, on MovieLens
1M (--dataset ml-1m --data-dir DIR --seeds 3) an hour.
Expect on MovieLens 100K: more coverage at lower temperatures, served alike; at the
coverage of any other, the temperature of highest recall has more recall.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.axes import Axes
from numpy import ndarray

from experiments.arms import arm
from experiments.studies.by_total import TOTALS, by_epoch, config_at, save_swept
from experiments.study import OVER_SEEDS, Report, StudyOptions, described
from research.config import Config
from research.contrast import MORE
from research.report.colours import temperature_ink
from research.report.intervals import over_seeds
from research.report.pages import interval_frame, interval_table, seeds_text
from research.report.pictures import Drawing, blank, legend_above, styled
from research.report.predictions import statement
from research.report.records import Stored

NAME = "trade-off"
IN_BATCH = "in-batch"
ARMS = (IN_BATCH, "in-batch+logq")
TEMPERATURES = (0.05, 0.1, 0.2, 0.4, 0.8)
NUMBERS = ("recall", "coverage", "train_count")
FORMS = {"recall": ".4f", "coverage": ".3f", "train_count": ".0f"}
KEPT = (
    *(*NUMBERS, *(f"{name}_calibrated" for name in NUMBERS)),
    *("validation", "calibrated"),
)
ONE = TOTALS.index(1.0)
LOWER, PART, NEAR = 0.1, 0.75, 0.002
TERMS = {
    "bold": "the temperature that validation recall@20 chooses at a total of 1",
    "clicks": "mean number of training clicks of a listed item",
    "calibrated total": "the total from a fit of validation clicks",
    "equally popular lists": "served with the total at which clicks are those of the "
    "chosen temperature at a total of 1",
    "gain": "recall@20 of the arm's chosen temperature, with the total at which it has "
    "this row's coverage@20 at a total of 1, minus this row's recall@20 at a total of "
    "1; gain of in-batch: with the temperature chosen for in-batch",
    "calibration adds": "recall@20 with the calibrated total, minus that at a total of "
    "1",
    "coverage added": "coverage@20 with the calibrated total, minus that of in-batch "
    "at the same temperature with its own",
}
SERVED = "Recall@20 with temperature and total by validation"
Numbers = Float[ndarray, "t s"]


def run_trade_off(options: StudyOptions) -> Path:
    """Trains each arm at each temperature with each seed; returns the records.

    Arrays: those of ``swept`` of what ``by_epoch`` has after the last epoch.
    """

    def last(config: Config) -> dict[str, Any]:
        looks = by_epoch(config, options.data_dir, config.epochs, NUMBERS)
        return {name: values[-1] for name, values in looks.items()}

    return swept(options, NAME, last, KEPT)


def swept(
    options: StudyOptions,
    name: str,
    measure: Callable[[Config], Mapping[str, Any]],
    kept: Sequence[str],
) -> Path:
    """Measures each arm at each temperature with each seed; returns the records.

    Arrays: NUMBERS on test [arm, temperature, seed, total]; what else is kept, such as
    validation recall at a total of 1 [arm, temperature, seed]; temperatures, totals.
    Where a run is measured in several ways, they are an axis after the seeds.
    The header has the arms. A quick run has two temperatures.
    """
    arms = options.arms or ARMS
    temperatures = TEMPERATURES[1:4:2] if options.quick else TEMPERATURES
    shape = len(arms), len(temperatures), options.seeds
    runs = []
    for number, temperature, seed in np.ndindex(shape):
        config = config_at(options, temperatures[temperature], seed)
        found = measure(arm(arms[number], config))
        runs.append({what: found[what] for what in kept})
        recall, coverage = (np.ravel(found[what][..., ONE]) for what in NUMBERS[:2])
        options.progress(
            f"{arms[number]}, temperature {temperatures[temperature]:g}, seed {seed}: "
            f"at a total of 1 recall@20 {recall[0]:.4f}, coverage@20 {coverage[0]:.3f}"
        )
    return save_swept(options, name, runs, temperatures, arms=[*arms])


class Curves:
    """One arm's numbers by total, [temperature, seed, total], and readings from them.

    Curves are read from the total of greatest coverage on: below it lists fill with
    items that hardly anybody clicks, and coverage falls again.

    Attributes:
      temperatures: of the training.
      chosen: the index of the temperature of highest mean validation recall@20, in
        ``trade-off`` served with a total of 1.
    """

    def __init__(self, stored: Stored, number: int) -> None:
        arrays = stored.floats()
        self._of = {name: arrays[name][number] for name in KEPT}
        self.temperatures = np.array(stored.axis("temperatures"))
        self.chosen = int(self._of["validation"].mean(axis=1).argmax())

    def at_one(self, name: str) -> Numbers:
        """A number at a total of 1."""
        return self._of[name][:, :, ONE]

    def calibrated(self, name: str = "") -> Numbers:
        """A number with the calibrated total; that total without a name."""
        return self._of[f"{name}_calibrated" if name else "calibrated"]

    def served(self, name: str) -> Float[ndarray, " s"]:
        """A number at the chosen temperature with its calibrated total."""
        return self.calibrated(name)[self.chosen]

    def curve(self, name: str) -> Float[ndarray, "t n"]:
        """Means of a number over seeds, by total."""
        return self._of[name].mean(axis=1)

    def where(
        self, name: str, along: str, level: Numbers, of: int | None = None
    ) -> Numbers:
        """A number where another, along the totals, has a level; NaN if nowhere."""
        found = np.full(level.shape, np.nan)
        for temperature, seed in np.ndindex(level.shape):
            place = temperature if of is None else of, seed
            start = int(self._of["coverage"][place].argmax())
            x, y = self._of[along][place][start:], self._of[name][place][start:]
            order = np.argsort(x, kind="stable")
            if x.min() <= level[temperature, seed] <= x.max():
                value = np.interp(level[temperature, seed], x[order], y[order])
                found[temperature, seed] = value
        return found

    def at_equal_popularity(self, name: str) -> Numbers:
        """A number where listed items have the chosen one's mean of training clicks."""
        clicks = self.at_one("train_count")
        return self.where(name, "train_count", clicks[[self.chosen] * len(clicks)])

    def gain(self, other: "Curves") -> Numbers:
        """Gain in recall@20 of another arm's chosen temperature, at equal coverage.

        Over each temperature of this arm served with a total of 1, [temperature, seed].
        """
        coverage = self.at_one("coverage")
        there = other.where("recall", "coverage", coverage, other.chosen)
        return there - self.at_one("recall")


def all_curves(stored: Stored) -> dict[str, Curves]:
    """The curves of each arm."""
    return {name: Curves(stored, n) for n, name in enumerate(stored.header["arms"])}


def trade_off_frame(stored: Stored) -> pd.DataFrame:
    """One row per arm and temperature: means, each with _low and _high.

    gain is of the arm's own chosen temperature, gain_in_batch of that of in-batch, or
    of the first arm where that is absent. recall_added is what the calibrated total
    adds to a total of 1, coverage_added what the arm adds to that first one.
    """
    parts, arms = [], all_curves(stored)
    first = next(iter(arms.values()))
    for name, curves in arms.items():
        measured = {f"{what}_one": curves.at_one(what) for what in NUMBERS}
        measured["total"] = curves.calibrated()
        measured |= {f"{what}_calibrated": curves.calibrated(what) for what in NUMBERS}
        for what in ("recall", "coverage"):
            measured[f"{what}_equal"] = curves.at_equal_popularity(what)
        measured["gain"] = curves.gain(curves)
        base = arms.get(IN_BATCH, first)
        measured["gain_in_batch"] = curves.gain(base)
        recall, coverage = (curves.calibrated(what) for what in ("recall", "coverage"))
        measured["recall_added"] = recall - curves.at_one("recall")
        measured["coverage_added"] = coverage - base.calibrated("coverage")
        part = interval_frame(measured, temperature=curves.temperatures)
        part.insert(0, "arm", name)
        part.insert(2, "chosen", part.index == curves.chosen)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def statements(name: str, curves: Curves) -> list[list[str]]:
    """Each part of the prediction for an arm: what, what was measured, the verdict."""
    recall, coverage = curves.at_one("recall"), curves.at_one("coverage")
    served, equal = curves.calibrated("recall"), curves.at_equal_popularity("coverage")
    least, most = curves.temperatures[[0, -1]]
    apart = coverage[0] - coverage[-1]
    text = (
        f"{name}: coverage@20 at a total of 1 is higher at {least:g} than at {most:g}"
    )
    rows = [
        (f"{text}, by {LOWER:g} or more", apart, LOWER, np.inf),
        (
            f"{name}: between equally popular lists it is less than half of that; what "
            "it is above the half",
            *(equal[0] - equal[-1] - apart / 2, -np.inf, -MORE),
        ),
        (
            f"{name}: calibrated, recall@20 ranges over the temperatures by less than "
            f"{PART:g} times as much as at a total of 1",
            *(np.ptp(served, axis=0) / np.ptp(recall, axis=0), 0.0, PART),
        ),
    ]
    gain = curves.gain(curves)
    for n, temperature in enumerate(curves.temperatures):
        if n != curves.chosen:
            chosen = curves.temperatures[curves.chosen]
            text = f"{name}: {chosen:g}, at the coverage of {temperature:g}, has more"
            rows.append((f"{text} recall@20", gain[n], MORE, np.inf))
    return [judged(*row) for row in rows]


def judged(
    text: str,
    values: Float[ndarray, " s"],
    low: float,
    high: float,
    nowhere: str = "fails",
) -> list[str]:
    """A statement and its verdict; the one given where a seed's value is NaN."""
    if lacking := int(np.isnan(values).sum()):
        some = f" in {lacking} of {len(values)} seeds"
        where = some if lacking < len(values) else ""
        return [text, f"no total does{where}", nowhere]
    return statement(text, over_seeds(values).interval(), low, high, "+.4f")


def verdicts(stored: Stored) -> list[list[str]]:
    """The statements of every arm, and those of in-batch against the others."""
    arms = all_curves(stored)
    rows = [row for name, curves in arms.items() for row in statements(name, curves)]
    if IN_BATCH not in arms:
        return rows
    one = arms.pop(IN_BATCH)
    for name, curves in arms.items():
        gain = curves.gain(one)
        for n, temperature in enumerate(curves.temperatures):
            text = (
                f"{IN_BATCH} at {one.temperatures[one.chosen]:g} has, at the coverage "
                f"of {name} at {temperature:g}, at most {NEAR:g} less recall@20"
            )
            rows.append(judged(text, gain[n], -NEAR, np.inf))
        text = f"calibrated at the chosen temperature, {name} has "
        less = f"at most {NEAR:g} less recall@20 than {IN_BATCH}"
        recall, coverage = (
            curves.served(number) - one.served(number) for number in NUMBERS[:2]
        )
        rows.append(judged(text + less, recall, -NEAR, np.inf))
        rows.append(judged(text + "more coverage@20", coverage, MORE, np.inf))
    return rows


COLUMNS = (
    ("recall@20 at a total of 1", "recall_one", FORMS["recall"]),
    ("coverage@20", "coverage_one", FORMS["coverage"]),
    ("clicks", "train_count_one", FORMS["train_count"]),
    ("calibrated total", "total", ".2f"),
    ("recall@20 with it", "recall_calibrated", FORMS["recall"]),
    ("coverage@20", "coverage_calibrated", FORMS["coverage"]),
    ("recall@20, equally popular lists", "recall_equal", FORMS["recall"]),
    ("coverage@20", "coverage_equal", FORMS["coverage"]),
    ("gain", "gain", "+.4f"),
    ("gain of in-batch", "gain_in_batch", "+.4f"),
    ("calibration adds", "recall_added", "+.4f"),
    ("coverage added", "coverage_added", "+.3f"),
)


def trade_off_page(
    frame: pd.DataFrame,
    stored: Stored,
    when: str = "the last epoch",
    terms: Mapping[str, str] = MappingProxyType(TERMS),
    columns: Sequence[tuple[str, str, str]] = COLUMNS,
) -> Sequence[str]:
    """What was measured, and one row per arm and temperature."""
    seeds = stored.arrays["validation"].shape[2]
    about = described(
        f"{stored.header['dataset']}, {seeds_text(seeds)}; cosine, fitted on the "
        f"training part alone, judged by the test part after {when}. A total is "
        "log q in the loss plus the popularity prior when serving.",
        terms,
        f"Values are read linearly between totals {TOTALS[1]:g} apart, from that of "
        f"greatest coverage on. {OVER_SEEDS} A dash: in some seed no total does that.",
    )
    at = frame.temperature.map("{:g}".format)
    shown = frame.assign(temperature=at.mask(frame.chosen, "**" + at + "**"))
    stated = {"chosen_by": ""} if "chosen_by" in frame else {}
    stated |= {"arm": "", "temperature": ""}
    table = interval_table(shown, stated, columns, left=len(stated) - 1)
    return about, table


@styled
def trade_off_figure(
    frame: pd.DataFrame, stored: Stored, what: str = SERVED
) -> Drawing:
    """Draws recall by coverage, a curve for each temperature, a panel for each arm.

    The title says what validation chooses.
    """
    arms = all_curves(stored)
    first = IN_BATCH if IN_BATCH in arms else next(iter(arms))
    one = arms[first]
    behind = f"{first} at {one.temperatures[one.chosen]:g}, in each panel"
    figure, panels = blank(3.9, ncols=len(arms), squeeze=False, sharey=True)
    for (name, curves), panel in zip(arms.items(), panels[0], strict=True):
        _draw(panel, one, one.chosen, color="0.85", lw=7, label=behind)
        for n, temperature in enumerate(curves.temperatures):
            wide = 2.4 if n == curves.chosen else 1.2
            ink, label = temperature_ink(temperature), f"at {temperature:g}"
            _draw(panel, curves, n, color=ink, lw=wide, label=label)
            at = curves.curve("coverage")[n, ONE], curves.curve("recall")[n, ONE]
            panel.plot(*at, "o", color=ink, ms=6)
        panel.plot([], [], "o", color="0.3", ms=6, label="a total of 1")
        best = [curves.served(number).mean() for number in ("coverage", "recall")]
        panel.plot(*best, "*", color="black", ms=13, label="by validation")
        panel.set(title=f"{name}, by its temperature", xlabel="coverage@20")
    panels[0][0].set_ylabel("recall@20 on test")
    legend_above(figure, panels[0][0], heading(frame, what), 4)
    return Drawing(figure, frame)


def _draw(panel: Axes, curves: Curves, n: int, **style: Any) -> None:
    """One temperature's curve, from the total of greatest coverage on."""
    recall, coverage = curves.curve("recall")[n], curves.curve("coverage")[n]
    shown = slice(int(coverage.argmax()), None)
    panel.plot(coverage[shown], recall[shown], solid_capstyle="butt", **style)


def heading(frame: pd.DataFrame, what: str = SERVED) -> str:
    """Each arm's recall with what validation chooses."""
    found = [
        f"{row.arm} at {row.temperature:g} has {row.recall_calibrated:.3f} at coverage "
        f"{row.coverage_calibrated:.2f}"
        for row in frame[frame.chosen].itertuples()
    ]
    return f"{what}:\n" + ", ".join(found)


def report_trade_off(stored: Stored) -> Report:
    """The study's table, page and figure."""
    frame = trade_off_frame(stored)
    drawings = {"-curves": trade_off_figure(frame, stored)}
    return Report(
        {".csv": frame}, trade_off_page(frame, stored), drawings, verdicts(stored)
    )
