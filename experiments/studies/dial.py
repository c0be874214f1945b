"""How much of log q should be corrected, where part of popularity is exposure?

A click needs an item to be liked and to be shown. In synthetic data both are known: log
q, the log of an item's share of the clicks, holds its quality and its exposure. The
total strength of the correction, log q in the loss plus the popularity prior when
serving, is varied for models trained without and with log q in the loss, and judged by
what users would choose if all items were shown equally often. The rule to be tested
(research/negatives/strength.py) sets the strength from exposure alone: 1 - cov(log q,
log exposure) / var(log q).

    python -m experiments run dial                 about 25 minutes on 2 cores
    python -m experiments run dial --quick         about 1 minute

Expect a mean regret of the rule of about 0.01 of recovered items, of always correcting
fully several times as much.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from scipy import stats

from experiments.arms import arm
from experiments.kit import Data, Named, collect, each, joined, lines, measured, tidy
from experiments.recipe import FIRST
from experiments.resolve import QUICK_EPOCHS
from experiments.study import SIMULATED, Report, StudyOptions, described
from research.config import Config
from research.contrast import MORE
from research.data.synthetic import (
    Synthetic,
    draw_clicks,
    log_clicks,
    made_fold,
    make_synthetic,
    relevance,
)
from research.negatives.strength import correction_strength
from research.positives import log_share
from research.report.intervals import Interval, over_seeds
from research.report.pages import interval_text, markdown_table
from research.report.pictures import Drawing, blank, legend_above, look, styled
from research.report.predictions import decided, statement
from research.report.records import Stored
from research.train.loop import train
from research.types import InputError

NAME = "dial"
ARMS = ("in-batch", "in-batch+logq")
SPREADS = (0.0, 0.25, 0.5, 0.75, 1.0)  # Zipf exponents of quality and of exposure
CORRELATIONS = (0.0, 0.7)
STRENGTHS = tuple(np.round(np.arange(-0.25, 1.501, 0.05), 2).tolist())
RULE, LIMIT = "rule", "limit"  # a further strength; the model of endless clicks
PLACE = "quality exposure correlation seed"
AXES = {
    "recovered": f"arm {PLACE} strength",
    "clicked": f"arm {PLACE} strength",
    "limit": f"{PLACE} strength",
    "rule": PLACE,
    "limit_rule": PLACE,
}
USERS, ITEMS, GROUPS, CLICKS, TOP = 600, 400, 40, 50, 20
SHOWN = 20  # further clicks per user, on which the strength could be chosen
FURTHER = 1000  # added to a world's seed for its further clicks
ROWS = 256  # users at a time, whose scores stay in the processor's cache
RECIPE: dict[str, Any] = {
    "user_features": (),
    "item_features": ("id",),
    "dim": 32,
    "user_hidden": (64,),
    "item_hidden": (64,),
    "batch": 256,
    "epochs": 12,
    "learning_rate": 3e-3,
}


def recipe(name: str, seed: int, epochs: int | None = None) -> Config:
    """The config of an arm on synthetic data; by default with the epochs of RECIPE."""
    changes = {**RECIPE, "seed": seed}
    if epochs is not None:  # 0 is refused, not the default
        changes["epochs"] = epochs
    return dataclasses.replace(arm(name, Config(**FIRST)), **changes)


def best_items(scores: Float[ndarray, "u i"]) -> Bool[ndarray, "u i"]:
    """Marks each user's 20 items of highest score; among equal ones the first count.

    Raises:
      InputError: there are fewer than 20 items.
    """
    if scores.shape[1] < TOP:
        raise InputError(f"{scores.shape[1]} items: the best {TOP} need as many")
    marked = np.empty(scores.shape, bool)
    for start in range(0, len(scores), ROWS):
        rows = scores[start : start + ROWS]
        least = np.partition(rows, -TOP, axis=1)[:, -TOP, None]
        above, level = rows > least, rows == least
        room = TOP - above.sum(axis=1, keepdims=True)
        marked[start : start + ROWS] = above | (
            level & (np.cumsum(level, axis=1) <= room)
        )
    return marked


def recovered(scores: Float[ndarray, "u i"], truth: Bool[ndarray, "u i"]) -> float:
    """The share of each user's 20 most relevant items among its 20 highest scores."""
    return float((best_items(scores) & truth).sum(axis=1).mean() / TOP)


def click_gain(
    scores: Float[ndarray, "u i"], clicks: Int[ndarray, "u n"]
) -> Float[ndarray, " u"]:
    """Each user's mean of 1 / log2(rank + 1) over clicks in the top 20, 0 below it.

    The DCG of single clicks: what a choice of the strength on clicks would go by.
    """
    held = np.take_along_axis(scores, clicks, axis=1)
    rank = 1 + (scores[:, None, :] > held[:, :, None]).sum(axis=2)
    return np.where(rank <= TOP, 1 / np.log2(rank + 1.0), 0.0).mean(axis=1)


def population(world: Synthetic) -> tuple[Float[ndarray, " s"], float]:
    """What each strength recovers in the limit of endless clicks, and the rule's value.

    A corrected model is then log p(i | u), and log q the log of its mean over users.
    """
    log_p, truth = log_clicks(world), best_items(relevance(world))
    log_q = np.log(np.exp(log_p).mean(axis=0))
    rule = correction_strength(log_q, world.exposure)
    shares = [recovered(log_p - (1 - s) * log_q, truth) for s in (*STRENGTHS, rule)]
    return np.array(shares), rule


def trained(
    world: Synthetic, seed: int, epochs: int | None
) -> tuple[Float[ndarray, "a s"], Float[ndarray, "a s"], float]:
    """What the models recover and which clicks they rank, by strength, and the rule's.

    The last strength is the rule's own, from the clicks' log q and the true exposure.

    Returns:
      recovered shares and gains on further clicks; the rule's strength.
    """
    fold, truth = made_fold(world, CLICKS, seed), best_items(relevance(world))
    clicks = np.concatenate(list(draw_clicks(world, SHOWN, FURTHER + seed)))
    log_q = log_share(fold.fitted.item_counts).astype(float)
    rule = correction_strength(log_q, world.exposure)
    shares, gains = [], []
    for name in ARMS:
        config = recipe(name, seed, epochs)
        model = train(config, fold)
        logits = model.user_vectors @ model.item_vectors.T / config.temperature
        totals = [logits + (s - config.logq) * log_q for s in (*STRENGTHS, rule)]
        shares.append([recovered(scores, truth) for scores in totals])
        gains.append([click_gain(scores, clicks).mean() for scores in totals])
    return np.array(shares), np.array(gains), rule


def run_dial(options: StudyOptions) -> Path:
    """Measures each strength on each synthetic data set; returns the records.

    A quick run has the four corners.
    """
    spreads = SPREADS[:: len(SPREADS) - 1] if options.quick else SPREADS
    correlations = CORRELATIONS[:1] if options.quick else CORRELATIONS
    labels: dict[str, Sequence[Any]] = {"quality": spreads, "exposure": spreads}
    labels["correlation"] = correlations

    def measure(**place: Any) -> tuple[dict[str, Any], str]:
        world = make_synthetic(USERS, ITEMS, GROUPS, **place)
        epochs = QUICK_EPOCHS if options.quick else None
        shares, gains, rule = trained(world, place["seed"], epochs)
        limit, limit_rule = population(world)
        numbers = {"recovered": shares, "clicked": gains, "rule": rule}
        arms = ", ".join(f"{n} {shares[a, -1]:.3f}" for a, n in enumerate(ARMS))
        line = f"data set {place}: rule {rule:.2f} recovers {arms}"
        return {**numbers, "limit": limit, "limit_rule": limit_rule}, line

    options = options._replace(dataset=SIMULATED)
    points = {**labels, "arm": ARMS, "strength": STRENGTHS}
    return collect(options, NAME, AXES, points, measured(options, labels, measure))


FIXED = {"never": 0.0, "half": 0.5, "always": 1.0}
LIMIT_REACH, REACH, MOST_REGRET = 0.1, 0.2, 0.03
CLICK_RANGE = (0.9, 1.1)
ENOUGH = 0.9  # of the data sets


def nearest_best(shares: Float[ndarray, " s"], rule: float) -> float:
    """The strength that recovers most; of equally good ones the nearest to the rule."""
    off = np.abs(np.array(STRENGTHS) - rule)
    return STRENGTHS[np.where(shares == shares.max(), off, np.inf).argmin()]


def dial_frame(data: Data) -> pd.DataFrame:
    """One row per synthetic data set and model, ``limit`` among the models.

    rule_strength is the rule's, best_strength recovers most and click_strength ranks
    further clicks best (none in the limit); the other columns are what the best, the
    rule and each fixed strength recover.
    """

    def models(limit: Named, of_arms: Named) -> Named:
        parts = {name: of_arms.at(arm=name) for name in data.labels("arm")}
        return joined("model", {LIMIT: limit, **parts})

    tried, strengths = [*STRENGTHS], np.array(STRENGTHS)
    every = models(data["limit"], data["recovered"])
    rule = models(data["limit_rule"], data["rule"])
    clicked = data["clicked"].at(strength=tried).reduce("strength", np.argmax)
    found, none = every.at(strength=tried), data["limit_rule"] * np.nan
    return tidy(
        {
            "rule_strength": rule,
            "best_strength": each(nearest_best, found, rule, over="strength"),
            "click_strength": models(none, clicked.map(lambda n: strengths[n])),
            "best": found.reduce("strength", np.max),
            RULE: every.at(strength=RULE),
            **{way: every.at(strength=value) for way, value in FIXED.items()},
        },
        over=(),
    )


def share_text(true: Sequence[bool]) -> tuple[float, str]:
    """The share of data sets for which something is true, with its 95 % interval.

    Clopper and Pearson's, which holds for any number of data sets.
    """
    count = int(np.sum(true))
    ends = stats.binomtest(count, len(true)).proportion_ci(0.95)
    share = count / len(true)
    return share, interval_text(share, ends.low, ends.high, ".3f")


def counted_twice(frame: pd.DataFrame) -> int:
    """How many data sets are the same as one of another correlation."""
    once = frame[frame.model == frame.model.iloc[0]]
    even = once[once.exposure == 0]
    return len(even) - len(even.drop_duplicates(["quality", "seed"]))


def regrets(frame: pd.DataFrame, model: str) -> dict[str, Interval]:
    """The mean regret over data sets of each way to set a model's strength."""
    rows = frame[frame.model == model]
    return {
        way: over_seeds((rows.best - rows[way]).to_numpy()).interval()
        for way in (*FIXED, "rule")
    }


def verdicts(frame: pd.DataFrame) -> list[list[str]]:
    """Each part of the prediction: the statement, what was measured, the verdict."""

    def near(rows: pd.DataFrame, reach: float) -> tuple[float, str]:
        gap = np.abs(rows.best_strength - rows.rule_strength)
        return share_text(list(gap <= reach + 1e-9))

    limit = frame[frame.model == LIMIT]
    share, found = near(limit, LIMIT_REACH)
    text = f"limit: best strength within {LIMIT_REACH:g} of the rule"
    out = [decided(text, found, share == 1)]
    for model in dict.fromkeys(frame.model[frame.model != LIMIT]):
        rows = frame[frame.model == model]
        share, found = near(rows, REACH)
        text = f"{model}: best strength within {REACH:g} of the rule in 90 %"
        out.append(decided(text, found, share >= ENOUGH))
        text = f"{model}: mean regret of the rule below {MOST_REGRET:g}"
        regret = regrets(frame, model)["rule"]
        out.append(statement(text, regret, high=MOST_REGRET, form=".3f"))
        for way in FIXED:
            gain = over_seeds((rows.rule - rows[way]).to_numpy()).interval()
            text = f"{model}: the rule recovers more than {way} correcting"
            out.append(statement(text, gain, low=MORE))
        low, high = CLICK_RANGE
        chosen = rows.click_strength.between(low - 1e-9, high + 1e-9)
        share, found = share_text(list(chosen))
        text = f"{model}: clicks pick 0.9 to 1.1 in 90 %"
        out.append(decided(text, found, share >= ENOUGH))
    return out


def dial_page(frame: pd.DataFrame) -> Sequence[str]:
    """What was measured, and the mean regret of each way, in Markdown."""
    sets = len(frame) // frame.model.nunique()
    spreads = ", ".join(f"{x:g}" for x in sorted(frame.quality.unique()))
    correlations = " or ".join(f"{x:g}" for x in frame.correlation.unique())
    about = described(
        f"{sets} synthetic data sets: quality and exposure each have the Zipf "
        f"exponents {spreads}; their orders are correlated by {correlations}; "
        f"{frame.seed.nunique()} seeds.",
        {
            "recovered": "share of each user's 20 truly most relevant items among the "
            "20 of highest score",
            "regret": "what is recovered at the best strength, minus what is recovered "
            "at the chosen one",
        },
        "Intervals are 95 %: Clopper and Pearson's for shares, t intervals over data "
        "sets for means, as if each data set were an independent draw.",
    )
    if twice := counted_twice(frame):
        about += (
            f" With an exposure exponent of 0 there is no correlation, so {twice} of "
            "the data sets repeat another one."
        )
    rows = []
    for model in dict.fromkeys(frame.model):
        by_way = regrets(frame, model)
        best = frame.best[frame.model == model].mean()
        cells = [interval_text(*by_way[way], ".3f") for way in by_way]
        rows.append([model, f"{best:.3f}", *cells])
    heads = ["model", "recovered at best", *(f"regret: {way}" for way in by_way)]
    return (
        about,
        markdown_table(heads, rows, left=1),
    )


@styled
def rule_figure(frame: pd.DataFrame) -> Drawing:
    """Draws the best strength against the rule's, and the regret of each way to choose.

    The points are the means over the seeds of each kind of data set.
    """
    models = [LIMIT, *dict.fromkeys(frame.model[frame.model != LIMIT])]
    keys = ["model", "quality", "exposure", "correlation"]
    kinds = frame.groupby(keys, sort=False, as_index=False).mean()
    figure, (left, right) = blank(3.8, ncols=2)
    left.plot([0, 1.2], [0, 1.2], color="#888888", lw=1, label="best = rule")
    for n, model in enumerate(models):
        rows, style = kinds[kinds.model == model], look(model)
        colour, marker = ("#888888", "x") if model == LIMIT else style
        name = "endless clicks" if model == LIMIT else f"trained, {model}"
        at, best = rows.rule_strength, rows.best_strength
        left.plot(at, best, marker, ms=4, alpha=0.7, color=colour, label=name)
        if model != LIMIT:
            means = np.array([*regrets(frame, model).values()])
            y = np.arange(len(means)) + 0.16 * (2 * n - 3)
            reach = np.abs(means[:, 1:] - means[:, :1]).T
            right.errorbar(means[:, 0], y, xerr=reach, fmt=marker, color=colour, ms=5)
    left.set(xlabel="strength by the rule", ylabel="best total strength")
    right.set_yticks(range(len(means)), [*FIXED, RULE])
    right.invert_yaxis()
    right.set_xlim(left=0)
    right.set_xlabel("mean regret, in recovered share [95 %]")
    right.set_ylabel("how the strength is set")
    title = "How much of log q to correct, and what other choices cost"
    legend_above(figure, left, title, 4, fontsize=9)
    return Drawing(figure, kinds)


def report_dial(stored: Stored) -> Report:
    """The study's table, page and figure."""
    frame = dial_frame(Data.of(stored, AXES, strength=(*STRENGTHS, RULE)))
    drawings = {"-rule": rule_figure(frame)}
    return Report({".csv": frame}, dial_page(frame), drawings, verdicts(frame))


PANELS = {
    "recovered": "share of the truly best 20 recovered",
    "clicked": "further clicks found (DCG@20)",
}


def dial_curve(
    world: Synthetic, seed: int = 0, epochs: int | None = None
) -> pd.DataFrame:
    """What each strength of the correction finds, on a data set whose truth is known.

    Two models are trained on clicks, without and with log q in the loss, and served
    with popularity priors: strength is the total, log q in the loss plus prior.

    Args:
      world: of ``make_synthetic``.
      seed: of the clicks and of the training.
      epochs: of the training; default those of the study.

    Returns:
      One row per model and strength: arm; strength; recovered, the share of each
      user's 20 most relevant items among the 20 ranked first; clicked, how well further
      clicks are ranked; rule, the strength of ``correction_strength``.
    """
    recovered, clicked, rule = trained(world, seed, epochs)
    n = len(STRENGTHS)
    return pd.DataFrame(
        {
            "arm": np.repeat(ARMS, n),
            "strength": np.tile(STRENGTHS, len(ARMS)) + 0.0,  # no -0
            "recovered": recovered[:, :n].ravel(),
            "clicked": clicked[:, :n].ravel(),
            "rule": rule,
        }
    )


@styled
def dial_figure(frame: pd.DataFrame, title: str | None = None) -> Drawing:
    """Draws a curve of ``dial_curve``: the truth on the left, clicks on the right.

    Args:
      frame: of ``dial_curve``.
      title: the heading.
    """
    rule = frame.rule.iloc[0]
    points = frame.melt(["arm", "strength"], [*PANELS], "found", "value")
    labels = "strength: log q in the loss + prior", ""
    columns = "strength", "value", "arm"
    figure, panels = lines(
        points, columns, look, labels, facet="found", sharey=False, marker=""
    )
    for found, panel in panels.items():
        for name, line in frame.groupby("arm", sort=False):
            best, style = line.loc[line[found].idxmax()], look(str(name))
            panel.plot(best.strength, best[found], style.marker, color=style.colour)
        panel.axvline(rule, color="#555555", linestyle=(0, (4, 3)), label="rule")
        panel.set_ylabel(PANELS[found])
    heading = f"The rule says {rule:.2f}; marks: the highest point of each curve"
    legend_above(figure, panels["recovered"], title or heading, 3)
    return Drawing(figure, frame)
