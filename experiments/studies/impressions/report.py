"""What the study impressions shows: its table, verdicts on its prediction, figure."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from experiments.studies import STUDIES
from experiments.studies.impressions import EXACT, KINDS, Kind
from experiments.studies.impressions.knobs import draw_mark, draw_pairs
from experiments.study import OVER_SEEDS, Report, described, not_run
from research.contrast import MORE
from research.report.intervals import over_seeds
from research.report.pages import interval_table, seeds_text
from research.report.pictures import Drawing, blank, legend_above, styled
from research.report.predictions import statement
from research.report.records import Stored

# Ways to serve a model; a "chosen" one differs by seed.
NONE, FULL, RULE = "no correction", "full log q", "the rule"
STRENGTH = "best strength of log q"
RATE = "clicks per impression"
ADDED = "clicks per impression, more log q"
SCALED = "clicks per impression, more of both"
PAIR = "best pair"
WEIGHTED = "+ips"  # the end of an arm's name
TERMS = {
    "a, b, e": "total strength of log q; strength of log e; an item's exposure, or its "
    "impressions + 1, where a number of impressions per item is given",
    "recovered": "share of each user's 20 most relevant items among the 20 of highest "
    "score; relevance is the logits of a full softmax trained on the real clicks",
    "best": "chosen for each seed by what the other seeds recover; in statements on "
    "where it lies, by what the seed itself recovers",
    "more": "a is the best strength with even exposure; more of both: so is b, as far "
    "as it was tried",
    "weighted clicks": "held-out clicks, each weighted by 1 / e",
    "+ips": "arms with exposure taken out in training, which b counts",
}
BY_CLICKS = "pair chosen by clicks"
BY_WEIGHTED = "pair chosen by weighted clicks"
STRENGTH_BY_WEIGHTED = "strength chosen by weighted clicks"
COUNTED = (RULE, RATE, ADDED, PAIR)  # those on the page where impressions are counted
MARKS = {FULL: "s", RULE: "X", RATE: "D", ADDED: "^", PAIR: "o"}
LEAST_B, MOST_B, NEAR_A, BELOW, BELOW_COUNTED = 0.75, 1.25, 0.3, 0.02, 0.01
ELECTRONICS = "electronic"
NEAR = 0.02  # of weights and the same when serving
VARIANCE = 0.05  # what inverse propensity weights are expected to cost at most
MANY, FEW = 100.0, 1.0  # impressions of an item, of which the prediction speaks


class Served(NamedTuple):
    """A way to serve, by seed: the pair a and b, and the share recovered, each [s]."""

    a: Float[ndarray, " s"]
    b: Float[ndarray, " s"]
    recovered: Float[ndarray, " s"]


class Place(NamedTuple):
    """What the records hold of an arm, a kind of exposure and a count.

    Attributes:
      recovered: the share of the most relevant items, [s, a, b].
      clicked: recall of held-out clicks, [s, a, b].
      weighted: the same with weighted clicks, [s, a, b].
      by_rule: recovered by the rule, [s].
      rule: its strength, [s].
      strengths: a.
      removed: b.
    """

    recovered: ndarray
    clicked: ndarray
    weighted: ndarray
    by_rule: ndarray
    rule: ndarray
    strengths: ndarray
    removed: ndarray

    @classmethod
    def at(cls, stored: Stored, index: tuple[int | slice, ...]) -> "Place":
        """What the arrays have at an index, of which the seeds are left."""
        arrays = stored.arrays
        names = ("recovered", "clicked", "weighted", "by_rule", "rule")
        measured = (arrays[name][index].astype(float) for name in names)
        grid = (arrays[name].astype(float) for name in ("strengths", "removed"))
        return cls(*measured, *grid)

    def pair(self, a: float, b: float) -> Served:
        """Served with the pair of the grid that is nearest to a and b."""
        i = int(np.argmin(np.abs(self.strengths - a)))
        j = int(np.argmin(np.abs(self.removed - b)))
        ones = np.ones(len(self.rule))
        shares = self.recovered[:, i, j]
        return Served(self.strengths[i] * ones, self.removed[j] * ones, shares)

    def chosen(self, scores: Float[ndarray, "s a b"]) -> Served:
        """Served with each seed's pair of the highest score; of ties the lowest."""
        flat = scores.reshape(len(scores), -1).argmax(axis=1)
        i, j = np.unravel_index(flat, scores.shape[1:])
        seeds = np.arange(len(scores))
        return Served(self.strengths[i], self.removed[j], self.recovered[seeds, i, j])


def others(values: Float[ndarray, "s *n"]) -> Float[ndarray, "s *n"]:
    """The mean of the other seeds, for each seed; a single one has its own."""
    if len(values) == 1:
        return values
    return np.asarray((values.sum(axis=0) - values) / (len(values) - 1))


def place(stored: Stored, arm: str, kind: str, count: float) -> Place:
    """The records of an arm, a kind and a count."""
    a, k = stored.header["arms"].index(arm), stored.header["kinds"].index(kind)
    n = stored.axis("counts").index(count)
    return Place.at(stored, (a, k, slice(None), n))


def ways(here: Place, even: Place) -> dict[str, Served]:
    """Each way to serve. What is best is chosen on the other seeds, so that it is fair.

    Args:
      here: the records of an arm and a kind.
      even: those of the arm with even exposure, known exactly.
    """
    alone = np.zeros_like(here.recovered)
    alone[..., 1:] = -np.inf  # without log impressions
    more = float(even.strengths[even.recovered[..., 0].mean(axis=0).argmax()])
    rule = Served(here.rule, np.zeros(len(here.rule)), here.by_rule)
    return {
        NONE: here.pair(0.0, 0.0),
        FULL: here.pair(1.0, 0.0),
        RULE: rule,
        STRENGTH: here.chosen(others(here.recovered) + alone),
        STRENGTH_BY_WEIGHTED: here.chosen(here.weighted + alone),
        RATE: here.pair(1.0, 1.0),
        ADDED: here.pair(more, 1.0),
        SCALED: here.pair(more, more),
        PAIR: here.chosen(others(here.recovered)),
        BY_CLICKS: here.chosen(here.clicked),
        BY_WEIGHTED: here.chosen(here.weighted),
    }


def all_ways(stored: Stored) -> dict[tuple[str, str, float], dict[str, Served]]:
    """The ways to serve by arm, kind and count, if the arm is judged by that count."""
    header = stored.header
    counts = stored.arrays["counts"].astype(float)
    found = {}
    for arm, kind, count in itertools.product(header["arms"], header["kinds"], counts):
        here = place(stored, arm, kind, count)
        if np.isfinite(here.by_rule).all():
            found[arm, kind, count] = ways(here, place(stored, arm, "even", EXACT))
    return found


def impressions_frame(stored: Stored) -> pd.DataFrame:
    """One row per arm, kind, count and way: recovered, its interval, mean a and b."""
    lines = []
    for (arm, kind, count), found in all_ways(stored).items():
        for way, served in found.items():
            line = {"arm": arm, "exposure": kind, "impressions": count, "served": way}
            line |= over_seeds(served.recovered).interval().columns("recovered")
            lines.append(line | {"a": served.a.mean(), "b": served.b.mean()})
    return pd.DataFrame(lines)


def verdicts(stored: Stored) -> list[list[str]]:
    """Each part of the prediction: the statement, what was measured, the verdict."""
    found, out = all_ways(stored), []
    counts = set(stored.arrays["counts"].astype(float))
    kinds = [kind for kind in stored.header["kinds"] if KINDS[kind].spread]
    arms = [arm for arm in stored.header["arms"] if not arm.endswith(WEIGHTED)]
    for arm, kind in itertools.product(arms, kinds):
        exact = found[arm, kind, EXACT]
        even = place(stored, arm, "even", EXACT).recovered[..., 0]
        best = place(stored, arm, kind, EXACT)
        best_pair = best.chosen(best.recovered)
        best_even = best.strengths[even.argmax(axis=1)]
        stated = [*_of_serving(exact), *_of_the_pair(best_pair, best_even)]
        if (arm + WEIGHTED, kind, EXACT) in found:
            by_weights = found[arm + WEIGHTED, kind, EXACT]
            stated += _of_weights(exact, by_weights)
            if stored.header["dataset"] == ELECTRONICS:
                stated += _of_electronics(exact, by_weights, best_pair)
        if MANY in counts:
            stated += _of_counts(exact, found[arm, kind, MANY], MANY)
        if FEW in counts:
            few = place(stored, arm, kind, FEW)
            least = few.chosen(few.recovered).b
            stated += _of_counts(exact, found[arm, kind, FEW], FEW)
            text = f"{FEW:g} impression: the best pair has b of {LEAST_B:g} or less"
            stated.append((text, least, -np.inf, LEAST_B))
        for text, values, low, high in stated:
            ends = over_seeds(values).interval()
            out.append(statement(f"{arm}, {kind}: {text}", ends, low, high))
    return out


Stated = tuple[str, ndarray, float, float]


def _of_serving(exact: dict[str, Served]) -> list[Stated]:
    """The statements that one way recovers more than another, exposure being exact."""
    more = (
        (RATE, STRENGTH, MORE),
        (ADDED, RATE, MORE),
        (ADDED, SCALED, MORE),
        (BY_WEIGHTED, BY_CLICKS, MORE),
        (BY_WEIGHTED, PAIR, -BELOW),
    )
    return [
        (
            f"'{one}' recovers more than '{other}'"
            if low == MORE
            else f"'{one}' recovers at most {-low:g} less than '{other}'",
            *(exact[one].recovered - exact[other].recovered, low, np.inf),
        )
        for one, other, low in more
    ]


def _of_weights(served: dict[str, Served], trained: dict[str, Served]) -> list[Stated]:
    """What weights in training recover against the same taken out when serving."""
    gain = served[ADDED].recovered - trained[ADDED].recovered
    text = f"'{ADDED}' recovers more when serving than by weights in training"
    return [
        (text, gain, MORE, np.inf),
        (f"the same, by at most {VARIANCE:g}", gain, -np.inf, VARIANCE),
    ]


def _of_electronics(
    served: dict[str, Served], trained: dict[str, Served], best: Served
) -> list[Stated]:
    """What was expected of that data set, once the others had been seen."""
    lead = served[PAIR].recovered - served[STRENGTH].recovered
    gain = served[ADDED].recovered - trained[ADDED].recovered
    above = np.nextafter(MOST_B, 2)
    return [
        (f"'{PAIR}' recovers more than '{STRENGTH}'", lead, MORE, np.inf),
        (f"the best pair has b above {MOST_B:g}", best.b, above, np.inf),
        (f"weights are within {NEAR:g} of serving", gain, -NEAR, NEAR),
    ]


def _of_the_pair(best: Served, best_even: ndarray) -> list[Stated]:
    """Where the pair lies that recovers most, by seed."""
    return [
        (
            f"the best pair has b from {LEAST_B:g} to {MOST_B:g}",
            *(best.b, LEAST_B, MOST_B),
        ),
        (
            f"its a is within {NEAR_A:g} of the best strength with even exposure",
            *(best.a - best_even, -NEAR_A, NEAR_A),
        ),
    ]


def _of_counts(
    exact: dict[str, Served], counts: dict[str, Served], count: float
) -> list[Stated]:
    """The statements on clicks per impression where impressions are counted."""
    rate = counts[RATE].recovered
    if count == MANY:
        lost = exact[RATE].recovered - rate
        text = f"{count:g} impressions: '{RATE}' loses at most {BELOW_COUNTED:g}"
        return [(text, lost, -np.inf, BELOW_COUNTED)]
    text = f"{count:g} impression: '{RATE}' recovers less than the rule"
    return [(text, rate - counts[RULE].recovered, -np.inf, -MORE)]


def impressions_page(frame: pd.DataFrame, stored: Stored) -> Sequence[str]:
    """What was measured, and what each way to serve recovers."""
    header, arrays = stored.header, stored.arrays
    exposures = (f"{kind}, {words_of(KINDS[kind])}" for kind in header["kinds"])
    about = described(
        f"{header['dataset']}, {seeds_text(arrays['rule'].shape[2])}. Each model is "
        "served with score / temperature + a log q - b log e. Pairs tried: a up to "
        f"{arrays['strengths'].max():g}, b up to {arrays['removed'].max():g}.",
        {**TERMS, "exposure": f"{'; '.join(exposures)}; z is normal for each item"},
        f"{OVER_SEEDS} The CSV file beside this page has each way for each count.",
    )
    exact = frame.impressions == EXACT
    shown = frame.assign(impressions=frame.impressions.map("{:g}".format))
    shown = shown.assign(impressions=shown.impressions.mask(exact, "exact"))
    stated = dict.fromkeys(("arm", "exposure", "impressions", "served"), "")
    stated |= {"a": ".2f", "b": ".2f"}
    recovered = [("recovered [95 %]", "recovered", ".3f")]
    shown = shown[exact | frame.served.isin(COUNTED)]
    table = interval_table(shown, stated, recovered, left=4)
    return about, table


def words_of(kind: Kind) -> str:
    """A kind of exposure in words.

    >>> words_of(Kind(0.5, 1.0))
    'popularity^0.5 exp(1 z)'
    """
    return f"popularity^{kind.gamma:g} exp({kind.spread:g} z)"


@styled
def impressions_figure(frame: pd.DataFrame, stored: Stored) -> Drawing:
    """Draws what each pair of a and b recovers, a panel for each kind of exposure."""
    arm = stored.header["arms"][0]
    kinds = [kind for kind in stored.header["kinds"] if KINDS[kind].spread]
    lines = []
    figure, panels = blank(4.0, ncols=len(kinds), sharey=True, squeeze=False)
    for panel, kind in zip(panels[0], kinds, strict=True):
        here = place(stored, arm, kind, EXACT)
        mean = here.recovered.mean(axis=0)
        draw_pairs(panel, here.strengths, here.removed, mean)
        rows = frame[
            (frame.arm == arm) & (frame.exposure == kind) & (frame.impressions == EXACT)
        ].set_index("served")
        for way, marker in MARKS.items():
            row = rows.loc[way]
            draw_mark(panel, way, (row.a, row.b), row.recovered, marker)
        pairs = itertools.product(here.strengths, here.removed)
        shares = mean.ravel().tolist()
        lines += [(kind, *pair, share) for pair, share in zip(pairs, shares)]
        panel.set_title(f"exposure: {kind}" if kind == kinds[0] else kind)
    panels[0][0].set_ylabel("b, log impressions taken out")
    legend_above(figure, panels[0][0], heading(stored, arm), 3)
    points = pd.DataFrame(lines, columns=["exposure", "a", "b", "recovered"])
    return Drawing(figure, points)


def heading(stored: Stored, arm: str) -> str:
    """What is drawn, and in how many kinds taking impressions out is clearly better."""
    kinds = [kind for kind in stored.header["kinds"] if KINDS[kind].spread]
    found = [all_ways(stored)[arm, kind, EXACT] for kind in kinds]
    gains = [way[ADDED].recovered - way[STRENGTH].recovered for way in found]
    lows = [over_seeds(gain).interval().low for gain in gains]
    if np.isnan(lows).any():  # fewer seeds than an interval needs
        return (
            "Share of the best items recovered with each pair of a and b; darker: more"
        )
    return (
        "With impressions taken out (triangles), more of the best items are recovered "
        f"than by the best log q alone in {sum(low > 0 for low in lows)} of "
        f"{len(kinds)} kinds of exposure (95 % intervals over seeds); darker: more"
    )


def report_impressions(stored: Stored) -> Report:
    """The study's table, page and figure."""
    frame = impressions_frame(stored)
    drawings = {"-pairs": impressions_figure(frame, stored)}
    judged = verdicts(stored)
    lacking = not_run(STUDIES["impressions"].arms, stored.header["arms"])
    return Report(
        {".csv": frame}, impressions_page(frame, stored), drawings, judged, lacking
    )
