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

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from numpy import ndarray
from scipy import stats

from experiments.studies.recovery import (
    ARMS,
    CLICKS,
    GROUPS,
    ITEMS,
    SPREADS,
    TOP,
    USERS,
    best_items,
    recipe,
    recovered,
)
from experiments.study import SIMULATED, Report, StudyOptions, described, save_measured
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

NAME = "dial"
CORRELATIONS = (0.0, 0.7)
STRENGTHS = tuple(np.round(np.arange(-0.25, 1.501, 0.05), 2))
SHOWN = 20  # further clicks per user, on which the strength could be chosen
LATER = 1000  # added to a world's seed for its further clicks


class Cell(NamedTuple):
    """One synthetic data set: its place along each axis of the arrays, its world."""

    place: tuple[int, int, int, int]
    world: Synthetic


def cells(seeds: int, quick: bool) -> Iterator[Cell]:
    """Every synthetic data set of the study; a quick run has the four corners."""
    spreads = SPREADS[:: len(SPREADS) - 1] if quick else SPREADS
    correlations = CORRELATIONS[:1] if quick else CORRELATIONS
    axes = (enumerate(spreads), enumerate(spreads), enumerate(correlations))
    for (q, quality), (e, exposure), (c, correlation) in itertools.product(*axes):
        for seed in range(seeds):
            yield Cell(
                (q, e, c, seed),
                make_synthetic(
                    *(USERS, ITEMS, GROUPS),
                    quality=quality,
                    exposure=exposure,
                    seed=seed,
                    correlation=correlation,
                ),
            )


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
      recovered shares and gains on further clicks of each arm and strength; the rule's
      strength.
    """
    fold, truth = made_fold(world, CLICKS, seed), best_items(relevance(world))
    clicks = np.concatenate(list(draw_clicks(world, SHOWN, LATER + seed)))
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

    Arrays: spreads, correlations, strengths; recovered and clicked
    [arm, quality, exposure, correlation, seed, strength] and limit without the arm, all
    with the rule's strength as the last one; rule and limit_rule
    [quality, exposure, correlation, seed].
    """
    quick = options.quick
    spreads = SPREADS[:: len(SPREADS) - 1] if quick else SPREADS
    correlations = CORRELATIONS[:1] if quick else CORRELATIONS
    shape = len(spreads), len(spreads), len(correlations), options.seeds
    many = *shape, len(STRENGTHS) + 1
    arrays = {
        name: np.zeros(size, "<f4")
        for name, size in {
            "recovered": (len(ARMS), *many),
            "clicked": (len(ARMS), *many),
            "limit": many,
            "rule": shape,
            "limit_rule": shape,
        }.items()
    }
    for place, world in cells(options.seeds, quick):
        shares, gains, rule = trained(world, place[-1], 2 if quick else None)
        arrays["limit"][place], arrays["limit_rule"][place] = population(world)
        arrays["rule"][place] = rule
        for a in range(len(ARMS)):
            arrays["recovered"][a, *place] = shares[a]
            arrays["clicked"][a, *place] = gains[a]
        options.progress(
            f"data set {place}: rule {rule:.2f} recovers "
            + ", ".join(f"{n} {shares[a, -1]:.3f}" for a, n in enumerate(ARMS))
        )
    arrays |= {
        "spreads": np.array(spreads, "<f4"),
        "correlations": np.array(correlations, "<f4"),
        "strengths": np.array(STRENGTHS, "<f4"),
    }
    options = options._replace(dataset=SIMULATED)
    return save_measured(options, NAME, arrays, arms=list(ARMS))


FIXED = {"never": 0.0, "half": 0.5, "always": 1.0}
LIMIT_REACH, REACH, MOST_REGRET = 0.1, 0.2, 0.03
CLICK_RANGE = (0.9, 1.1)
ENOUGH = 0.9  # of the data sets
AXES = ("quality", "exposure", "correlation", "seed")


def nearest_best(
    shares: Float[ndarray, "*n s"],
    strengths: Float[ndarray, " s"],
    rule: Float[ndarray, "*n"] | float,
) -> Float[ndarray, "*n"]:
    """The strength that recovers most; of equally good ones the nearest to the rule."""
    most = shares == shares.max(axis=-1, keepdims=True)
    off = np.abs(strengths - np.asarray(rule)[..., None])
    return strengths[np.where(most, off, np.inf).argmin(axis=-1)]


def dial_frame(stored: Stored) -> pd.DataFrame:
    """One row per synthetic data set and model, ``limit`` among the models.

    Columns: the data set's spreads, correlation and seed; the model; the rule's
    strength and the best one; what the best, the rule and each fixed strength recover;
    the strength that ranks further clicks best (none in the limit).
    """
    arrays = stored.floats()
    strengths = np.round(arrays["strengths"], 2)
    spreads, correlations = arrays["spreads"], np.round(arrays["correlations"], 2)
    names = stored.header["arms"]
    shape = arrays["rule"].shape
    lines = []
    for place in itertools.product(*(range(n) for n in shape)):
        q, e, c, seed = place
        first = dict(
            zip(AXES, (spreads[q], spreads[e], correlations[c], seed), strict=True)
        )
        models = [("limit", arrays["limit"], arrays["limit_rule"], None)]
        models += [
            (name, arrays["recovered"][a], arrays["rule"], arrays["clicked"][a])
            for a, name in enumerate(names)
        ]
        for name, found, rules, clicked in models:
            shares, rule = found[place][:-1], rules[place]
            fixed = {
                name: shares[np.flatnonzero(strengths == value)[0]]
                for name, value in FIXED.items()
            }
            by_clicks = np.nan
            if clicked is not None:
                by_clicks = strengths[clicked[place][:-1].argmax()]
            lines.append(
                {
                    **first,
                    "model": name,
                    "rule_strength": rule,
                    "best_strength": nearest_best(shares, strengths, rule),
                    "click_strength": by_clicks,
                    "best": shares.max(),
                    "rule": found[place][-1],
                    **fixed,
                }
            )
    return pd.DataFrame(lines)


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

    limit = frame[frame.model == "limit"]
    share, found = near(limit, LIMIT_REACH)
    text = f"limit: best strength within {LIMIT_REACH:g} of the rule"
    out = [decided(text, found, share == 1)]
    for model in dict.fromkeys(frame.model[frame.model != "limit"]):
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
    models = list(dict.fromkeys(frame.model[frame.model != "limit"]))
    kinds = frame.groupby(["model", *AXES[:3]], sort=False, as_index=False).mean()
    regret = {model: regrets(frame, model) for model in models}
    figure, (left, right) = blank(3.8, ncols=2)
    left.plot([0, 1.2], [0, 1.2], color="#888888", lw=1, label="best = rule")
    limit = kinds[kinds.model == "limit"]
    left.plot(
        limit.rule_strength, limit.best_strength, "x", color="#888888", ms=4,
        label="endless clicks",
    )  # fmt: skip
    for model in models:
        rows, style = kinds[kinds.model == model], look(model)
        left.plot(
            rows.rule_strength, rows.best_strength, style.marker, ms=4, alpha=0.7,
            color=style.colour, label=f"trained, {model}",
        )  # fmt: skip
    left.set(xlabel="strength by the rule", ylabel="best total strength")
    ways = list(regret[models[0]])
    for m, model in enumerate(models):
        means = np.array([regret[model][way] for way in ways])
        at = np.arange(len(ways)) + 0.16 * (2 * m - 1)
        reach = np.abs(means[:, 1:] - means[:, :1]).T
        style = look(model)
        right.errorbar(
            means[:, 0], at, xerr=reach, fmt=style.marker, color=style.colour, ms=5
        )
    right.set_yticks(range(len(ways)), [f"{way}" for way in ways])
    right.invert_yaxis()
    right.set_xlim(left=0)
    right.set_xlabel("mean regret, in recovered share [95 %]")
    right.set_ylabel("how the strength is set")
    legend_above(figure, left, _heading(frame), 4, fontsize=9)
    return Drawing(figure, kinds)


def _heading(frame: pd.DataFrame) -> str:
    compared = [row for row in verdicts(frame) if "recovers more than" in row[0]]
    if all(verdict == "holds" for _, _, verdict in compared):
        return (
            "The strength from exposure recovers more than correcting never, half or "
            "always"
        )
    return "How much of log q to correct, and what other choices cost"


def report_dial(stored: Stored) -> Report:
    """The study's table, page and figure."""
    frame = dial_frame(stored)
    return Report(
        {".csv": frame},
        dial_page(frame),
        {"-rule": rule_figure(frame)},
        verdicts(frame),
    )


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
    figure, panels = blank(3.8, ncols=len(PANELS))
    for panel, (column, label) in zip(panels, PANELS.items(), strict=True):
        for arm, line in frame.groupby("arm", sort=False):
            style = {"color": look(str(arm)).colour, "label": arm}
            panel.plot(line.strength, line[column], **style)
            best = line.loc[line[column].idxmax()]
            marker = look(str(arm)).marker
            panel.plot(best.strength, best[column], marker, color=style["color"])
        panel.axvline(rule, color="#555555", linestyle=(0, (4, 3)), label="rule")
        panel.set(xlabel="strength: log q in the loss + prior", ylabel=label)
    heading = f"The rule says {rule:.2f}; marks: the highest point of each curve"
    legend_above(figure, panels[0], title or heading, 3)
    return Drawing(figure, frame)
