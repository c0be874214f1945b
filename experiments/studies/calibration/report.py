"""What the study calibration shows: its table, verdicts on its prediction, figure."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from experiments.arms import arm as named_arm
from experiments.studies.calibration.pairs import (
    BY_WEIGHTED,
    ELECTRONICS,
    PAIR,
    RATE,
    RULE,
    STRENGTH,
    Place,
    Served,
    Stated,
    others,
    ways,
)
from experiments.studies.calibration.pairs import KINDS as OWN
from experiments.studies.learned_world import CLICKED
from experiments.study import OVER_SEEDS, Report, described
from research.calibration import Calibration
from research.contrast import MORE
from research.report.colours import BEST, CALIBRATED, PLAIN
from research.report.intervals import over_seeds
from research.report.pages import (
    interval_table,
    interval_text,
    markdown_table,
    seeds_text,
)
from research.report.pictures import Drawing, blank, legend_above, styled
from research.report.predictions import statement
from research.report.records import Stored

CALIBRATED_RULE = "the rule, calibrated"
CALIBRATED_RATE = "clicks per impression, calibrated"
BY_LOG_Q = (RULE, CALIBRATED_RULE, STRENGTH)
BY_IMPRESSIONS = (RATE, CALIBRATED_RATE, BY_WEIGHTED, PAIR)
PANELS = {
    "log q alone": BY_LOG_Q,
    "log q and impressions": (RATE, CALIBRATED_RATE, PAIR),
}
WAYS = ("as it is", "calibrated", "best")
MARKERS, BESIDE = ("X", "o", "D"), 0.2  # lines between two of them
RECOVERED = "share of the best 20 recovered [95 %]"
INKS = (PLAIN.colour, CALIBRATED.colour, BEST.colour)
POPULARITY = "popularity"
BELOW, BEHIND, NEAR, FACTOR = 0.02, 0.01, 0.3, 1.25
LARGEST_SCALE, LARGEST_THERE = 1.0, 0.6
WITH_LOGQ = "in-batch+logq"
TERMS = {
    "a, b, e": "total strength of log q; strength of log e; an item's exposure",
    "scale, share": "factors of score / temperature and of log q in a conditional "
    "logit of held-out clicks",
    "calibrated": "served by (scale * score / temperature + share * log q - log e) / "
    "scale; the rule has the slope of log e on log q in place of log e",
    "recovered": "share of each user's 20 most relevant items among the 20 of highest "
    "score; relevance is the logits of a full softmax trained on the real clicks",
    "best": "chosen for each seed by what the other seeds recover",
    "weighted clicks": "held-out clicks, each weighted by 1 / e",
}


def _at(stored: Stored, arm: str, kind: str) -> tuple[int, int]:
    """Where the arrays have an arm and a kind of exposure."""
    return stored.header["arms"].index(arm), stored.header["kinds"].index(kind)


def place(stored: Stored, arm: str, kind: str) -> Place:
    """The records of an arm and a kind of exposure."""
    return Place.at(stored, _at(stored, arm, kind))


def calibrated_ways(stored: Stored, arm: str, kind: str) -> dict[str, Served]:
    """How calibrated models are served, a and b with what the loss has."""
    arrays, at = stored.floats(), _at(stored, arm, kind)
    scale, share, rule = (arrays[name][at] for name in ("scale", "share", "rule"))
    in_loss = named_arm(arm).logq
    fitted = [Calibration(*pair) for pair in zip(scale, share, strict=True)]
    by_rule = [one.by_rule(r).prior for one, r in zip(fitted, rule, strict=True)]
    pairs = [one.by_impressions() for one in fitted]
    a, b = np.array([(pair.prior, pair.exposure) for pair in pairs]).T
    return {
        CALIBRATED_RULE: Served(
            np.array(by_rule) + in_loss,
            np.zeros(len(rule)),
            arrays["calibrated_rule"][at],
        ),
        CALIBRATED_RATE: Served(a + in_loss, b, arrays["calibrated_rate"][at]),
    }


def all_ways(stored: Stored) -> dict[tuple[str, str], dict[str, Served]]:
    """The ways to serve by arm and kind."""
    header = stored.header
    return {
        (arm, kind): ways(place(stored, arm, kind)) | calibrated_ways(stored, arm, kind)
        for arm, kind in itertools.product(header["arms"], header["kinds"])
    }


def calibration_frame(stored: Stored) -> pd.DataFrame:
    """One row per arm, kind and way: recovered, its interval, mean a, b and scale."""
    lines = []
    for (arm, kind), found in all_ways(stored).items():
        at = _at(stored, arm, kind)
        fitted = {n: stored.arrays[n][at].mean() for n in ("scale", "share")}
        for way in (*BY_LOG_Q, *BY_IMPRESSIONS):
            served = found[way]
            line: dict[str, Any] = {"arm": arm, "exposure": kind, "served": way}
            line |= over_seeds(served.recovered).interval().columns("recovered")
            lines.append(line | {"a": served.a.mean(), "b": served.b.mean()} | fitted)
    return pd.DataFrame(lines)


def verdicts(stored: Stored) -> list[list[str]]:
    """Each part of the prediction: the statement, what was measured, the verdict."""
    out = []
    for (arm, kind), found in all_ways(stored).items():
        for text, values, low, high in _stated(stored, arm, kind, found):
            ends = over_seeds(values).interval()
            out.append(statement(f"{arm}, {kind}: {text}", ends, low, high))
    if f"{CLICKED}scale" in stored.arrays and WITH_LOGQ in stored.header["arms"]:
        out += _of_clicked(stored)
    return out


def not_judged(stored: Stored) -> list[str]:
    """The parts of the prediction that these records cannot judge."""
    lacking = []
    if WITH_LOGQ not in stored.header["arms"]:
        lacking.append(f"{WITH_LOGQ} (not run here)")
    elif f"{CLICKED}scale" not in stored.arrays:
        lacking.append("lists and fits without unclicked items (not measured here)")
    return lacking


def clicked(stored: Stored, arm: str, kind: str) -> dict[str, Float[ndarray, " s"]]:
    """What is recovered without unclicked items, by way, with scale and share."""
    at = _at(stored, arm, kind)
    values = {
        name.removeprefix(CLICKED): array[at]
        for name, array in stored.floats().items()
        if name.startswith(CLICKED)
    }
    strengths = values.pop("by_strength")
    best = others(strengths).argmax(axis=1)  # on the other seeds, so that it is fair
    found = {RULE: values.pop("by_rule")}
    found[CALIBRATED_RULE] = values.pop("calibrated_rule")
    found[STRENGTH] = strengths[np.arange(len(best)), best]
    return {**values, **found, CALIBRATED_RATE: values["calibrated_rate"]}


def _of_clicked(stored: Stored) -> list[list[str]]:
    """The statements on lists and fits without items that got no click."""
    out, arms = [], stored.header["arms"]
    for kind in stored.header["kinds"]:
        found = {arm: clicked(stored, arm, kind) for arm in arms}
        mine = found[WITH_LOGQ][CALIBRATED_RULE]
        behind = [("'best strength of log q'", found[WITH_LOGQ][STRENGTH], BELOW)]
        if arms[0] != WITH_LOGQ:
            without = found[arms[0]][CALIBRATED_RULE]
            behind.append(("it does without log q in the loss", without, BEHIND))
        for than, values, lost in behind:
            text = f"{WITH_LOGQ}, {kind}, clicked items: '{CALIBRATED_RULE}' recovers "
            ends = over_seeds(mine - values).interval()
            out.append(
                statement(f"{text}at most {lost:g} less than {than}", ends, -lost)
            )
    return out


def _stated(
    stored: Stored, arm: str, kind: str, found: dict[str, Served]
) -> list[Stated]:
    """What the prediction says of an arm and a kind."""
    scale = stored.floats()["scale"][_at(stored, arm, kind)]
    here = place(stored, arm, kind)
    best = here.strengths[here.recovered[..., 0].argmax(axis=1)]
    off_rule = np.abs(best - found[RULE].a)
    off_calibrated = np.abs(best - found[CALIBRATED_RULE].a)
    below = np.nextafter(LARGEST_SCALE, 0.0)
    stated: list[Stated] = [(f"scale below {LARGEST_SCALE:g}", scale, 0.0, below)]
    if stored.header["dataset"] == ELECTRONICS:
        stated.append((f"scale below {LARGEST_THERE:g}", scale, 0.0, LARGEST_THERE))
    if kind != POPULARITY:
        stated.append(_more(found, CALIBRATED_RULE, RULE))
    stated += [
        _more(found, CALIBRATED_RULE, STRENGTH, BELOW),
        _more(found, CALIBRATED_RATE, RATE),
        _more(found, CALIBRATED_RATE, PAIR, BELOW),
        _more(found, CALIBRATED_RATE, BY_WEIGHTED, BEHIND),
        (
            f"the best strength is within {NEAR:g} of the calibrated rule's",
            *(best - found[CALIBRATED_RULE].a, -NEAR, NEAR),
        ),
        (
            "the best strength is nearer to the calibrated rule's than to the rule's",
            *(off_rule - off_calibrated, MORE, np.inf),
        ),
    ]
    if kind in OWN and OWN[kind].spread:
        times = here.chosen(here.recovered).b * scale
        text = f"b of the best pair is 1 / scale times {1 / FACTOR:g} to {FACTOR:g}"
        stated.append((text, times, 1 / FACTOR, FACTOR))
    return stated


def _more(
    found: dict[str, Served], one: str, other: str, lost: float | None = None
) -> Stated:
    """That one way recovers more than another, or not much less."""
    gain = found[one].recovered - found[other].recovered
    if lost is None:
        return f"'{one}' recovers more than '{other}'", gain, MORE, np.inf
    text = f"'{one}' recovers at most {lost:g} less than '{other}'"
    return text, gain, -lost, np.inf


def calibration_page(frame: pd.DataFrame, stored: Stored) -> Sequence[str]:
    """What was measured, and what each way to serve recovers."""
    header = stored.header
    about = described(
        f"{header['dataset']}, {seeds_text(stored.arrays['rule'].shape[2])}. Each "
        "model is served with score / temperature + a log q - b log e.",
        TERMS,
        OVER_SEEDS,
    )
    stated = {"arm": "", "exposure": "", "scale": ".2f", "share": ".2f"}
    stated |= {"served": "", "a": ".2f", "b": ".2f"}
    recovered = [("recovered [95 %]", "recovered", ".3f")]
    ways_table = interval_table(frame, stated, recovered, left=2)
    page = [about, ways_table]
    if f"{CLICKED}scale" in stored.arrays:
        page += [
            "Without items that got no click, in lists and fits:",
            _clicked_table(stored),
        ]
    return page


def _clicked_table(stored: Stored) -> str:
    """A row for each arm and kind of exposure: what each way recovers."""
    ways = (RULE, CALIBRATED_RULE, STRENGTH, CALIBRATED_RATE)
    rows = []
    for arm, kind in itertools.product(stored.header["arms"], stored.header["kinds"]):
        found = clicked(stored, arm, kind)
        row = [arm, kind, *(f"{found[name].mean():.2f}" for name in ("scale", "share"))]
        row += [
            interval_text(*over_seeds(found[way]).interval(), ".3f") for way in ways
        ]
        rows.append(row)
    return markdown_table(["arm", "exposure", "scale", "share", *ways], rows, left=2)


@styled
def calibration_figure(frame: pd.DataFrame, stored: Stored) -> Drawing:
    """Draws what plain and calibrated ways recover beside the best ones."""
    arm, kinds = stored.header["arms"][0], stored.header["kinds"]
    rows = frame[frame.arm == arm].set_index(["exposure", "served"])
    names = ["recovered", "recovered_low", "recovered_high"]
    height = np.arange(len(kinds))[::-1]
    figure, panels = blank(3.6, ncols=len(PANELS), sharex=True, sharey=True)
    for panel, (title, shown) in zip(panels, PANELS.items(), strict=True):
        for n, (label, way) in enumerate(zip(WAYS, shown, strict=True)):
            found = rows.loc[[(kind, way) for kind in kinds], names].to_numpy().T
            at = height - BESIDE * (n - 1)
            panel.hlines(at, *found[1:], color=INKS[n], lw=1.2)
            marks = {"color": INKS[n], "ms": 6, "label": label}
            panel.plot(found[0], at, MARKERS[n], **marks)
        panel.set(title=f"{arm}: {title}", xlabel=RECOVERED)
    panels[0].set_yticks(height, kinds)
    panels[0].set_ylabel("exposure")
    legend_above(figure, panels[0], heading(stored, arm), 3)
    return Drawing(figure, frame[frame.arm == arm])


def heading(stored: Stored, arm: str) -> str:
    """In how many kinds of exposure calibration is clearly better."""
    found = [all_ways(stored)[arm, kind] for kind in stored.header["kinds"]]

    def lows(one: str, other: str) -> list[float]:
        gains = [way[one].recovered - way[other].recovered for way in found]
        return [over_seeds(gain).interval().low for gain in gains]

    more = [
        sum(low > 0 for low in lows(*pair))
        for pair in ((CALIBRATED_RULE, RULE), (CALIBRATED_RATE, RATE))
    ]
    return (
        "Calibrated on held-out clicks, scores recover clearly more in "
        f"{more[0]} of {len(found)} kinds of exposure by log q alone, in {more[1]} by "
        "log q and impressions"
    )


def report_calibration(stored: Stored) -> Report:
    """The study's table, page and figure."""
    frame = calibration_frame(stored)
    drawings = {"-ways": calibration_figure(frame, stored)}
    judged, lacking = verdicts(stored), not_judged(stored)
    return Report(
        {".csv": frame}, calibration_page(frame, stored), drawings, judged, lacking
    )
