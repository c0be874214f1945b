"""What the study dial shows: its table, the verdicts on its prediction, its figure."""

import itertools
from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray
from scipy import stats

from experiments.study import Report, described
from research.contrast import MORE
from research.report.intervals import Interval, over_seeds
from research.report.pages import interval_text, markdown_table
from research.report.pictures import Drawing, blank, legend_above, look, styled
from research.report.predictions import decided, statement
from research.report.records import Stored

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
        for name, recovered, rules, clicked in models:
            shares, rule = recovered[place][:-1], rules[place]
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
                    "rule": recovered[place][-1],
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
def dial_figure(frame: pd.DataFrame) -> Drawing:
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
        {"-rule": dial_figure(frame)},
        verdicts(frame),
    )
