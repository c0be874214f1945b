"""What the study clicks shows: its table, verdicts on its prediction, its figure."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from experiments.studies.clicks import ARM, AS_IS
from experiments.studies.dial.report import nearest_best
from experiments.study import OVER_SEEDS, Report, described, not_run
from research.report.intervals import Interval
from research.report.pages import interval_frame, interval_table, seeds_text
from research.report.pictures import Drawing, blank, legend_above, styled
from research.report.predictions import statement
from research.report.records import Stored

MEANS = ("clicks", "rule", "fit", "scale", "at_best", "at_rule")
ENDS = ("low", "high")
NEAR = 0.3  # what counts as near: of a change to none, of a fit to the best strength
FALLS = {0.0: (-np.inf, -0.3), 1.0: (-np.inf, -0.1)}  # predicted change, by gamma
RISES = {0.0: (0.1, np.inf), 1.0: (0.1, np.inf)}
STAYS = {0.0: (-NEAR, NEAR), 1.0: (-NEAR, NEAR)}
CHANGES = {
    "users x 4": FALLS,
    "users x 4, epochs / 4": FALLS,
    "clicks per user x 4": FALLS,
    "clicks per user x 4, epochs / 4": FALLS,
    "users / 4": RISES,
    "users / 4, epochs x 4": RISES,
    "clicks per user / 4": RISES,
    "clicks per user / 4, epochs x 4": RISES,
    "epochs x 4": STAYS,
    "epochs / 4": STAYS,
}
HEADING = "How far the best strength lies from the rule's, one thing changed at a time"
USERS_MATTER = "With {} users the best strength lies {} the rule's"
SAME_STEPS = ", as many steps"
# The lines of the figure: a condition's name by the factor.
LINES = {
    name + steps: {0.25: f"{name} / 4{fewer}", 1: AS_IS, 4: f"{name} x 4{more}"}
    for name, steps, fewer, more in (
        ("users", "", "", ""),
        ("users", SAME_STEPS, ", epochs x 4", ", epochs / 4"),
        ("clicks per user", "", "", ""),
        ("clicks per user", SAME_STEPS, ", epochs x 4", ", epochs / 4"),
        ("epochs", "", "", ""),
    )
}
STYLES = dict(
    zip(
        LINES,
        (
            {"color": "#4477aa", "marker": "o"},
            {"color": "#4477aa", "marker": "o", "ls": "--", "mfc": "white"},
            {"color": "#cc6677", "marker": "s"},
            {"color": "#cc6677", "marker": "s", "ls": "--", "mfc": "white"},
            {"color": "#999933", "marker": "^"},
        ),
        strict=True,
    )
)


def measured(stored: Stored) -> dict[str, Float[ndarray, "c g s"]]:
    """What is shown and stated, by condition, gamma and seed.

    clicks, trained on; rule, the strength by the rule; best, the one that recovers
    most; distance, of that from the rule's, and change, against the data set as it is;
    fit, the strength by the least-squares fit, fit_less_best, how far it is from the
    best one, and scale, what it multiplies the logits by; at_best and at_rule, what is
    recovered at these strengths.
    """
    arrays = stored.floats()
    shares, rule = arrays["recovered"][..., :-1], arrays["rule"]
    best = nearest_best(shares, np.round(arrays["strengths"], 2), rule)
    scale, prior = np.moveaxis(arrays["fit"], -1, 0)
    return {
        "clicks": arrays["clicks"],
        "rule": rule,
        "best": best,
        "distance": best - rule,
        "change": best - best[stored.header["conditions"].index(AS_IS)],
        "fit_less_best": prior / scale - best,
        "fit": prior / scale,
        "scale": scale,
        "at_best": shares.max(axis=-1),
        "at_rule": arrays["recovered"][..., -1],
    }


def clicks_frame(stored: Stored) -> pd.DataFrame:
    """One row per condition and gamma: means over seeds of what is measured.

    Those but MEANS have 95 % t intervals, their ends as _low and _high.
    """
    conditions, gammas = stored.header["conditions"], stored.arrays["gammas"]
    frame = interval_frame(measured(stored), condition=conditions, gamma=gammas)
    return frame.drop(columns=[f"{name}_{end}" for name in MEANS for end in ENDS])


def verdicts(frame: pd.DataFrame) -> list[list[str]]:
    """Each part of the prediction: the statement, what was measured, the verdict."""
    out = []
    rows = frame.to_dict("records")
    for row in (row for row in rows if row["condition"] in CHANGES):
        low, high = CHANGES[row["condition"]][row["gamma"]]
        where = f"{row['condition']}, gamma {row['gamma']:g}: the best strength "
        text = f"falls by at least {-high:g}" if low == -np.inf else ""
        text = text or (
            f"rises by at least {low:g}"
            if high == np.inf
            else f"changes by at most {high:g}"
        )
        ends = Interval.of(row, "change")
        out.append(statement(where + text, ends, low, high, "+.2f"))
    for row in rows:
        where = f"{row['condition']}, gamma {row['gamma']:g}: "
        text = f"{where}the fit lies within {NEAR:g} of the best strength"
        ends = Interval.of(row, "fit_less_best")
        out.append(statement(text, ends, -NEAR, NEAR, "+.2f"))
    return out


def clicks_page(frame: pd.DataFrame, stored: Stored) -> Sequence[str]:
    """What was measured, and each condition's strengths, in Markdown."""
    seeds = stored.arrays["rule"].shape[2]
    largest = float(stored.arrays["strengths"].max())
    about = described(
        f"{stored.header['dataset']}, {seeds_text(seeds)}; trained: {ARM}. Relevance "
        "is the logits of a full softmax trained on the real clicks, an item's "
        "exposure its click share to the power gamma. The tastes are those of one "
        "model.",
        {
            "best": "of the strengths from "
            f"{stored.arrays['strengths'].min():g} to {largest:g}, the one that "
            "recovers the largest share of each user's 20 most relevant items, by seed",
            "fit": "b / a from a least-squares fit of relevance = a logits + b log q + "
            "a constant of each user",
            "change": "difference of the best strength from that of the data set as "
            "it is, paired by seed",
        },
        OVER_SEEDS,
    )
    columns = [
        ("best [95 %]", "best", ".2f"),
        ("change [95 %]", "change", "+.2f"),
        ("fit b / a", "fit", ".2f"),
        ("a", "scale", ".2f"),
        ("recovered by the rule", "at_rule", ".3f"),
        ("at the best", "at_best", ".3f"),
    ]
    stated = {"condition": "", "gamma": "g", "clicks": ",.0f", "rule": ".2f"}
    table = interval_table(frame, stated, columns, left=1)
    return about, table


@styled
def clicks_figure(frame: pd.DataFrame) -> Drawing:
    """Draws how far the best strength lies from the rule's, by what is multiplied."""
    gammas = list(dict.fromkeys(frame.gamma))
    figure, panels = blank(3.6, ncols=len(gammas), sharey=True, squeeze=False)
    for panel, gamma in zip(panels[0], gammas, strict=True):
        rows = frame[frame.gamma == gamma].set_index("condition")
        for n, (label, names) in enumerate(LINES.items()):
            names = {f: name for f, name in names.items() if name in rows.index}
            line = rows.loc[list(names.values())]
            ends = (line.distance - line.distance_low).to_numpy()
            panel.errorbar(
                np.array(list(names)) * 1.04 ** (n - 2),
                line.distance,
                yerr=ends,
                capsize=2,
                label=label,
                **STYLES[label],
            )
        panel.axhline(0, color="0.4", linestyle=(0, (5, 3)), label="the rule's")
        panel.set_xscale("log")
        panel.set_xticks([0.25, 1, 4], ["1/4", "1", "4"])
        panel.minorticks_off()
        more = any(names[4] in rows.index for names in LINES.values())
        panel.set_xlim(0.2, 5 if more else 1.25)
        exposure = "alike for all items" if gamma == 0 else "the click share"
        exposure += f"^{gamma:g}" if gamma not in (0, 1) else ""
        panel.set_title(f"exposure: {exposure}", fontsize=9.5)
        panel.set_xlabel("multiple of users, clicks or epochs")
    panels[0][0].set_ylabel("best strength less the rule's")
    legend_above(figure, panels[0][0], heading(frame), 3)
    return Drawing(figure, frame)


def heading(frame: pd.DataFrame) -> str:
    """The effect of users alone, if it excludes 0 at every gamma; else the topic."""
    for label, share, where, sign in (
        ("users x 4", "four times the", "nearer to", -1),
        ("users / 4", "a quarter of the", "farther from", 1),
    ):
        rows = frame[frame.condition.str.startswith(label)]
        ends = sign * rows[["change_low", "change_high"]].to_numpy()
        if len(rows) and (ends > 0).all():
            return USERS_MATTER.format(share, where)
    return HEADING


def report_clicks(stored: Stored) -> Report:
    """The study's table, page and figure."""
    frame = clicks_frame(stored)
    drawings = {"-distance": clicks_figure(frame)}
    judged, lacking = verdicts(frame), not_run(CHANGES, stored.header["conditions"])
    return Report(
        {".csv": frame}, clicks_page(frame, stored), drawings, judged, lacking
    )
