"""Which trades precision against diversity, the temperature or the popularity prior?

Lists at a low temperature cover more of the catalogue, those at a high one less. But a
temperature also sets how much log q counts beside the scores: one total strength is too
little at 0.05 and too much at 0.4. Here each model, trained without or with log q in
the loss at one of five temperatures, is served with every total: the strength of log q
in the loss plus the popularity prior. The validation part gives the recall that chooses
a temperature, and its clicks calibrate each model (research/calibration.py). That gives
a curve of recall@20 on test by coverage@20 for each temperature. If the temperature
does what a prior does, the curves coincide. If one curve lies above the others, its
temperature is the one to train at, and the prior is what to vary.

    python -m experiments run trade-off            about 12 minutes on 2 cores, 5 seeds
    python -m experiments run trade-off --quick    about half a minute

On Electronics (--dataset DIR/electronic --seeds 3) it takes 50 minutes, on MovieLens
1M (--dataset ml-1m --data-dir DIR --seeds 3) an hour.
Expect on MovieLens 100K: more coverage at lower temperatures, served alike; at the
coverage of any other, the temperature of highest recall has more recall.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from experiments.kit import (
    Data,
    Named,
    claim,
    collect,
    draw,
    each,
    lines,
    measured,
    tidy,
)
from experiments.loaded import fold_of, prepared_run
from experiments.serve import calibrated, metric_means, serve
from experiments.studies import STUDIES
from experiments.study import OVER_SEEDS, Report, StudyOptions, described
from research.calibration import NoScale
from research.config import Config
from research.contrast import MORE
from research.evaluate.top_k import seen_items_of
from research.prepare import Prepared, prepare
from research.report.pages import interval_table, seeds_text
from research.report.pictures import (
    Drawing,
    Look,
    legend_above,
    styled,
    temperature_ink,
)
from research.report.records import Stored
from research.serving import Serving
from research.train.loop import train
from research.types import Fold, check

NAME, IN_BATCH = "trade-off", "in-batch"
TEMPERATURES = (0.05, 0.1, 0.2, 0.4, 0.8)
TOTALS = tuple(np.round(np.arange(0.0, 3.001, 0.2), 2).tolist())
NUMBERS = ("recall", "coverage", "train_count")  # at cut-off 20 on test
CELL = "arm temperature seed"
AXES = {
    **dict.fromkeys(NUMBERS, f"{CELL} total"),
    **{f"{name}_calibrated": CELL for name in NUMBERS},  # with the calibrated total
    "validation": CELL,  # recall at a total of 1
    "calibrated": CELL,  # the total that validation clicks give
}
LOWER, PART, NEAR = 0.1, 0.75, 0.002
Vectors = tuple[Float[ndarray, "v d"], Float[ndarray, "i d"]]


def run_trade_off(options: StudyOptions) -> Path:
    """Trains each arm at each temperature with each seed; returns the records.

    A quick run has two temperatures.
    """
    temperatures = TEMPERATURES[1:4:2] if options.quick else TEMPERATURES
    points: dict[str, Sequence[Any]] = {"arm": options.arms or STUDIES[NAME].arms}
    points["temperature"] = temperatures

    def measure(arm: str, temperature: float, seed: int) -> tuple[dict[str, Any], str]:
        changes = {"temperature": temperature, "seed": seed, "left_out": "fitted"}
        found = by_total(options.arm(arm, **changes), options.data_dir)
        recall, coverage = (found[name][TOTALS.index(1.0)] for name in NUMBERS[:2])
        return found, (
            f"{arm}, temperature {temperature:g}, seed {seed}: at a total of 1 "
            f"recall@20 {recall:.4f}, coverage@20 {coverage:.3f}"
        )

    found = measured(options, points, measure)
    return collect(options, NAME, AXES, {**points, "total": TOTALS}, found)


def by_total(config: Config, data_dir: str | None) -> dict[str, Any]:
    """Trains a config on the training part alone, and serves it with every total.

    Raises:
      NotFinite: a loss was not finite.
    """
    choice = prepared_run(dataclasses.replace(config, fit_on="train"), data_dir)
    done = train(choice.config, choice.fold)
    users, items = done.user_vectors, done.item_vectors
    mine, test = judged_by_test(config, choice.fold.evaluated, data_dir)
    total = fitted_total(choice, (users, items))
    means = means_by_total(test, (users[mine], items), [*TOTALS, total], NUMBERS)
    found: dict[str, Any] = dict(zip(NUMBERS, means[:, :-1], strict=True))
    found |= {f"{n}_calibrated": row[-1] for n, row in zip(NUMBERS, means, strict=True)}
    (validation,) = means_by_total(choice, (users, items), [1.0])
    return {**found, "validation": validation.item(), "calibrated": total}


def judged_by_test(
    config: Config, users: Int[ndarray, " v"], data_dir: str | None
) -> tuple[Bool[ndarray, " v"], Prepared]:
    """Which of the users have test items, and the run that these judge.

    The run is fitted on the training part; its lists leave out the validation part.
    """
    parts: dict[str, Any] = {"fit_on": "train-only", "left_out": "train+validation"}
    config = dataclasses.replace(config, **parts)
    fold = fold_of(config, data_dir)
    mine = np.isin(users, fold.evaluated)
    return mine, prepare(config, of_users(fold, users[mine]))


def means_by_total(
    run: Prepared,
    vectors: Vectors,
    totals: Sequence[float],
    names: Sequence[str] = ("recall",),
) -> Float[ndarray, "n t"]:
    """Means of metrics at cut-off 20 on a run's held-out events, by total."""
    means = np.full((len(totals), len(names)), np.nan)
    for row, total in zip(means, totals, strict=True):
        if not np.isnan(total):
            serving = Serving(total - run.config.logq)
            scorer = serve(run, *vectors, serving=serving)
            row[:] = metric_means(run, scorer, names)
    return means.T


def fitted_total(run: Prepared, vectors: Vectors) -> float:
    """The total that held-out clicks give; NaN where they fit no scale above 0."""
    try:
        fit = calibrated(run, *vectors)
    except NoScale:
        return np.nan
    return fit.by_rule(1.0).prior + run.config.logq


def of_users(fold: Fold, users: Int[ndarray, " v"]) -> Fold:
    """The phase judged by those of its users alone, [v]; all of them are its own."""
    rows, (offsets, items) = np.isin(fold.evaluated, users), seen_items_of(fold)
    sizes = np.diff(offsets)
    ends = np.concatenate([[0], np.cumsum(sizes[rows])])
    seen = ends, items[np.repeat(rows, sizes)]
    return check(fold._replace(evaluated=users, removed=seen))


def chosen(here: Data) -> float:
    """The temperature of highest mean validation recall@20, of one arm."""
    mean = here["validation"].mean_over("seed")
    return float(mean.labels["temperature"][int(mean.values.argmax())])


def where(here: Data, name: str, along: str, level: Named) -> Named:
    """A number where another, along the totals, has a level; NaN if nowhere.

    Curves are read from the total of greatest coverage on: below it lists fill with
    items that hardly anybody clicks, and coverage falls again.
    """

    def read(y: ndarray, x: ndarray, coverage: ndarray, level: float) -> float:
        start = int(coverage.argmax())
        x, y = x[start:], y[start:]
        order = np.argsort(x, kind="stable")
        inside = x.min() <= level <= x.max()
        return float(np.interp(level, x[order], y[order])) if inside else np.nan

    return each(read, here[name], here[along], here["coverage"], level, over="total")


def gain(here: Data, other: Data) -> Named:
    """What an arm's chosen temperature has more of recall@20, at equal coverage.

    Than each temperature of this arm has, served with a total of 1.
    """
    one, best = here.at(total=1.0), other.at(temperature=chosen(other))
    return where(best, "recall", "coverage", one["coverage"]) - one["recall"]


def derive(here: Data, base: Data) -> dict[str, Named]:
    """The columns of the table, of one arm; base is in-batch, or else the first arm."""
    one = here.at(total=1.0)
    clicks = one["train_count"].at(temperature=chosen(here))
    found = {f"{name}_one": one[name] for name in NUMBERS}
    found["total"] = here["calibrated"]
    found |= {f"{name}_calibrated": here[f"{name}_calibrated"] for name in NUMBERS}
    for name in NUMBERS[:2]:
        found[f"{name}_equal"] = where(here, name, "train_count", clicks)
    found |= {"gain": gain(here, here), "gain_in_batch": gain(here, base)}
    found["recall_added"] = here["recall_calibrated"] - one["recall"]
    more = here["coverage_calibrated"] - base["coverage_calibrated"]
    return {**found, "coverage_added": more}


def by_arm(data: Data) -> dict[str, Data]:
    """The arrays of each arm."""
    return {name: data.at(arm=name) for name in data.labels("arm")}


def trade_off_frame(data: Data) -> pd.DataFrame:
    """One row per arm and temperature: means, each with _low and _high."""
    parts, arms = [], by_arm(data)
    for name, here in arms.items():
        part = tidy(derive(here, arms.get(IN_BATCH, next(iter(arms.values())))))
        part.insert(0, "arm", name)
        part.insert(2, "chosen", part.temperature == chosen(here))
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def statements(name: str, here: Data) -> list[list[str]]:
    """Each part of the prediction for an arm: what, what was measured, the verdict."""
    found, best = derive(here, here), chosen(here)
    temperatures = here.labels("temperature")
    least, most = temperatures[0], temperatures[-1]

    def fall(number: Named) -> Named:
        return number.at(temperature=least) - number.at(temperature=most)

    def span(number: Named) -> Named:
        return number.reduce("temperature", np.ptp)

    apart = fall(found["coverage_one"])
    rows: list[tuple[str, Named, float, float]] = [
        (
            f"{name}: coverage@20 at a total of 1 is higher at {least:g} than at "
            f"{most:g}, by {LOWER:g} or more",
            *(apart, LOWER, np.inf),
        ),
        (
            f"{name}: between equally popular lists it is less than half of that; what "
            "it is above the half",
            *(fall(found["coverage_equal"]) - apart / 2, -np.inf, -MORE),
        ),
        (
            f"{name}: calibrated, recall@20 ranges over the temperatures by less than "
            f"{PART:g} times as much as at a total of 1",
            *(span(found["recall_calibrated"]) / span(found["recall_one"]), 0.0, PART),
        ),
    ]
    for temperature in temperatures:
        if temperature != best:
            text = f"{name}: {best:g}, at the coverage of {temperature:g}, has more"
            more = found["gain"].at(temperature=temperature)
            rows.append((f"{text} recall@20", more, MORE, np.inf))
    return [claim(*row, form="+.4f") for row in rows]


def verdicts(data: Data) -> list[list[str]]:
    """The statements of every arm, and those of in-batch against the others."""
    arms = by_arm(data)
    rows = [row for name, here in arms.items() for row in statements(name, here)]
    if IN_BATCH not in arms:
        return rows
    one = arms.pop(IN_BATCH)
    for name, here in arms.items():
        more = gain(here, one)
        for temperature in here.labels("temperature"):
            text = (
                f"{IN_BATCH} at {chosen(one):g} has, at the coverage of {name} at "
                f"{temperature:g}, at most {NEAR:g} less recall@20"
            )
            values = more.at(temperature=temperature)
            rows.append(claim(text, values, -NEAR, form="+.4f"))
        text = f"calibrated at the chosen temperature, {name} has "
        served = {"recall": f"at most {NEAR:g} less recall@20 than {IN_BATCH}"}
        served["coverage"] = "more coverage@20"
        for number, what in served.items():
            mine, other = (
                each_arm[f"{number}_calibrated"].at(temperature=chosen(each_arm))
                for each_arm in (here, one)
            )
            low = -NEAR if number == "recall" else MORE
            rows.append(claim(text + what, mine - other, low, form="+.4f"))
    return rows


COLUMNS = (
    ("recall@20 at a total of 1", "recall_one", ".4f"),
    ("coverage@20", "coverage_one", ".3f"),
    ("clicks", "train_count_one", ".0f"),
    ("calibrated total", "total", ".2f"),
    ("recall@20 with it", "recall_calibrated", ".4f"),
    ("coverage@20", "coverage_calibrated", ".3f"),
    ("recall@20, equally popular lists", "recall_equal", ".4f"),
    ("coverage@20", "coverage_equal", ".3f"),
    ("gain", "gain", "+.4f"),
    ("gain of in-batch", "gain_in_batch", "+.4f"),
    ("calibration adds", "recall_added", "+.4f"),
    ("coverage added", "coverage_added", "+.3f"),
)
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


def trade_off_page(frame: pd.DataFrame, data: Data) -> Sequence[str]:
    """What was measured, and one row per arm and temperature."""
    about = described(
        f"{data.header['dataset']}, {seeds_text(len(data.labels('seed')))}; cosine, "
        "fitted on the training part alone, judged by the test part after the last "
        "epoch. A total is log q in the loss plus the popularity prior when serving.",
        TERMS,
        f"Values are read linearly between totals {TOTALS[1]:g} apart, from that of "
        f"greatest coverage on. {OVER_SEEDS} A dash: in some seed no total does that.",
    )
    at = frame.temperature.map("{:g}".format)
    shown = frame.assign(temperature=at.mask(frame.chosen, "**" + at + "**"))
    stated = {"arm": "", "temperature": ""}
    return about, interval_table(shown, stated, COLUMNS, left=1)


@styled
def trade_off_figure(data: Data) -> Drawing:
    """Draws recall by coverage, a curve for each temperature, a panel for each arm.

    Each from the total of greatest coverage on.
    """
    means = {name: data[name].mean_over("seed") for name in NUMBERS[:2]}
    keys, columns = ["arm", "temperature"], ("coverage", "recall", "temperature")
    points = tidy(means)
    most = points.groupby(keys).coverage.transform("idxmax")
    points = points[points.index >= most]
    figure, panels = lines(
        points,
        columns,
        ink,
        ("coverage@20", "recall@20 on test"),
        facet="arm",
        name="at {:g}".format,
        lw=1.2,
    )
    arms = by_arm(data)
    for name, panel in panels.items():
        best = chosen(arms[name])
        here = points[points.arm == name]
        wide = here[here.temperature == best]
        draw(panel, wide, columns, ink, "_chosen".format, lw=2.6)
        for _, row in here[here.total == 1].iterrows():
            colour = temperature_ink(row.temperature)
            panel.plot(row.coverage, row.recall, "o", color=colour, ms=6)
        panel.plot([], [], "o", color="0.3", ms=6, label="a total of 1")
        served = arms[name].at(temperature=best)
        at = [served[f"{n}_calibrated"].values.mean() for n in columns[:2]]
        panel.plot(*at, "*", color="black", ms=13, label="by validation")
        panel.set_title(f"{name}, by its temperature")
    title = "Recall@20 by coverage@20: a curve of totals for each temperature"
    legend_above(figure, panel, title, 4)
    return Drawing(figure, points)


def ink(temperature: float) -> Look:
    """The look of a temperature's curve."""
    return Look(temperature_ink(temperature), "")


def report_trade_off(stored: Stored) -> Report:
    """The study's table, page and figure."""
    data = Data.of(stored, AXES)
    frame = trade_off_frame(data)
    drawings = {"-curves": trade_off_figure(data)}
    page = trade_off_page(frame, data)
    return Report({".csv": frame}, page, drawings, verdicts(data))
