"""What the study semisynthetic shows: its table, verdicts and figure."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from experiments.studies.dial.report import nearest_best
from experiments.studies.semisynthetic import CLICKED
from experiments.study import OVER_SEEDS, Report, described
from research.report.colours import exposure_ink
from research.report.intervals import over_seeds
from research.report.pages import interval_text, markdown_table, seeds_text
from research.report.pictures import Drawing, blank, legend_above, styled
from research.report.predictions import decided, statement
from research.report.records import Stored

REACH, MOST_REGRET, NEAR = 0.15, 0.03, 0.02
LISTS = {"": "all items", CLICKED: "items with a click"}
MORE = {0.5: 0.02, 1.0: 0.1}  # by gamma: what leaving the others out adds at least
SAME, BEHIND = 0.005, 0.02
CORRECTED = 1.0  # the strength that corrects fully
COLUMNS = ["lists", "arm", "gamma", "strength", "recovered"]


def curves(stored: Stored) -> pd.DataFrame:
    """One row per kind of lists, swept arm, gamma and strength: means over seeds."""
    arrays = stored.arrays
    means = {
        lists: arrays[f"{kind}recovered"].astype(float)[..., :-1].mean(axis=2)
        for kind, lists in LISTS.items()
        if f"{kind}recovered" in arrays
    }
    return pd.DataFrame(
        [
            (lists, arm, gamma, strength, mean[a, g, s])
            for lists, mean in means.items()
            for a, arm in enumerate(stored.header["arms"])
            for g, gamma in enumerate(stored.axis("gammas"))
            for s, strength in enumerate(stored.axis("strengths"))
        ],
        columns=COLUMNS,
    )


def semi_frame(stored: Stored) -> pd.DataFrame:
    """One row per lists, gamma and arm: what each way to serve a swept arm recovers.

    Columns: lists, gamma, arm; the rule's strength and the best one; recovered at the
    best, by the rule, without and with the full correction, and with the log of clicks
    per impression (NaN in records from before it). An arm that is served as trained has
    what it recovers alone, as ``as_trained``.
    """
    arrays, lines = stored.arrays, []
    kinds = {lists: kind for kind, lists in LISTS.items()}
    none = np.full(arrays["recovered"].shape[:-1], np.nan)
    for curve, rows in curves(stored).groupby(["lists", "gamma", "arm"], sort=False):
        lists, gamma, arm = curve
        kind = kinds[lists]
        rates = arrays.get(f"{kind}rate", none).astype(float)
        g = stored.axis("gammas").index(gamma)
        a = stored.header["arms"].index(arm)
        rule = float(arrays["rule"][g].mean())
        shares, strengths = rows.recovered.to_numpy(), rows.strength.to_numpy()
        at = dict(zip(strengths, shares, strict=True))
        lines.append(
            {
                "lists": lists,
                "gamma": gamma,
                "arm": arm,
                "rule_strength": rule,
                "best_strength": nearest_best(shares, strengths, rule),
                "best": shares.max(),
                "rule": float(arrays[f"{kind}recovered"][a, g, :, -1].mean()),
                "never": at[0.0],
                "always": at[CORRECTED],
                "rate": float(rates[a, g].mean()),
            }
        )
    for a, arm in enumerate(stored.header["others"]):
        for g, gamma in enumerate(stored.axis("gammas")):
            line = {"gamma": gamma, "arm": arm}
            lines.append(line | {"as_trained": float(arrays["others"][a, g].mean())})
    return pd.DataFrame(lines)


def verdicts(frame: pd.DataFrame, stored: Stored) -> list[list[str]]:
    """Each part of the prediction: the statement, what was measured, the verdict."""
    out = []
    for row in frame[frame.lists == LISTS[""]].to_dict("records"):
        where = f"gamma {row['gamma']:g}, {row['arm']}: "
        gap = abs(row["best_strength"] - row["rule_strength"])
        measured = f"{row['best_strength']:.2f} against {row['rule_strength']:.2f}"
        text = f"{where}best strength within {REACH:g} of the rule"
        out.append(decided(text, measured, gap <= REACH + 1e-9))
        regret = row["best"] - row["rule"]
        text = f"{where}the rule recovers at most {MOST_REGRET:g} less than the best"
        out.append(decided(text, f"{regret:.3f}", regret <= MOST_REGRET))
        if np.isfinite(row["rate"]):
            out += _of_rate(row, where)
    if f"{CLICKED}recovered" in stored.arrays:
        out += _of_clicked(stored)
    return out


def _of_clicked(stored: Stored) -> list[list[str]]:
    """The statements on lists without items that got no click."""
    by_rule = {
        lists: stored.arrays[f"{kind}recovered"].astype(float)[..., -1]
        for kind, lists in LISTS.items()
    }
    every, clicked = (by_rule[lists] for lists in LISTS.values())
    out = []
    for g, gamma in enumerate(stored.axis("gammas")):
        gains = [
            over_seeds(clicked[a, g] - every[a, g]).interval()
            for a in range(len(every))
        ]
        behind = over_seeds(clicked[1, g] - clicked[0, g]).interval()
        first, second = (f"gamma {gamma:g}, {arm}: " for arm in stored.header["arms"])
        left = "leaving out items without a click "
        text = f"{first}{left}changes what the rule recovers by at most {SAME:g}"
        out.append(statement(text, gains[0], -SAME, SAME, "+.3f"))
        if gamma in MORE:
            text = f"{second}{left}adds at least {MORE[gamma]:g} to it"
            out.append(statement(text, gains[1], MORE[gamma], form="+.3f"))
        text = f"{second}the rule then recovers at most {BEHIND:g} less than without "
        out.append(statement(f"{text}log q in the loss", behind, -BEHIND, form="+.3f"))
    return out


def _of_rate(row: dict[Any, float], where: str) -> list[list[str]]:
    """The statements on clicks per impression, in a row of ``semi_frame``.

    Where exposure is the same for all items it is the full correction itself.
    """
    gap, gain = row["rate"] - row["rule"], row["rate"] - row["always"]
    near = f"{where}rate recovers within {NEAR:g} of the rule"
    out = [decided(near, f"{gap:+.3f}", abs(gap) <= NEAR)]
    if row["gamma"]:
        more = "more" if row["gamma"] < 0 else "less"
        holds = (gain > 0) == (row["gamma"] < 0)
        text = f"{where}rate recovers {more} than always"
        out.append(decided(text, f"{gain:+.3f}", holds))
    return out


def semi_page(frame: pd.DataFrame, stored: Stored) -> Sequence[str]:
    """What was measured, and what each way recovers, in Markdown."""
    header, arrays = stored.header, stored.arrays
    seeds = seeds_text(arrays["rule"].shape[1])
    about = described(
        f"{header['dataset']}, {seeds}. Relevance is the logits of a full softmax "
        "trained on the real clicks, an item's exposure its click share to the power "
        "gamma. The columns from never to rate hold what is recovered: the share of "
        "each user's 20 most relevant items among the 20 of highest score.",
        {
            "lists": "the items that lists may hold",
            "rate": "served with the log of each item's clicks per impression as prior",
        },
        OVER_SEEDS,
    )
    gammas, always = stored.axis("gammas"), stored.axis("strengths").index(CORRECTED)
    rows = []
    for row in frame.dropna(subset=["rule"]).to_dict("records"):
        a = header["arms"].index(row["arm"])
        kind = next(k for k, lists in LISTS.items() if lists == row["lists"])
        cell = arrays[f"{kind}recovered"].astype(float)[a, gammas.index(row["gamma"])]
        mean, low, high = over_seeds(cell[:, -1] - cell[:, always]).interval()
        rows.append(
            [
                row["lists"],
                f"{row['gamma']:g}",
                row["arm"],
                *(f"{row[n]:.2f}" for n in ("rule_strength", "best_strength")),
                *(f"{row[n]:.3f}" for n in ("never", "always", "rule", "best")),
                "-" if np.isnan(row["rate"]) else f"{row['rate']:.3f}",
                interval_text(mean, low, high, "+.3f"),
            ]
        )
    heads = ["lists", "gamma", "arm", "strength by the rule", "best strength"]
    heads += ["never", "always", "rule", "best", "rate", "rule - always [95 %]"]
    trained = frame.dropna(subset=["as_trained"]).to_dict("records")
    lines = [[f"{r['gamma']:g}", r["arm"], f"{r['as_trained']:.3f}"] for r in trained]
    return (
        about,
        markdown_table(heads, rows, left=3),
        "Mixed negatives, served as trained:",
        markdown_table(["gamma", "arm", "recovered"], lines, left=2),
    )


@styled
def semi_figure(frame: pd.DataFrame, stored: Stored) -> Drawing:
    """Draws what each model recovers by total strength; a cross marks the rule's.

    Dotted: with all items, where lists without those that got no click are judged, too.
    """
    points = curves(stored)
    shown = points.lists.iloc[-1]
    arms, gammas = list(stored.header["arms"]), list(dict.fromkeys(points.gamma))
    figure, panels = blank(3.9, ncols=len(arms), sharey=True, squeeze=False)
    for panel, arm in zip(panels[0], arms, strict=True):
        for gamma in gammas:
            colour = exposure_ink(gamma)
            mine = points[(points.arm == arm) & (points.gamma == gamma)]
            for lists, line in mine.groupby("lists"):
                style = "-" if lists == shown else ":"
                name = f"exposure: popularity^{gamma:g}" if style == "-" else None
                panel.plot(
                    line.strength, line.recovered, style, color=colour,
                    label=name,
                )  # fmt: skip
            place = (frame.arm == arm) & (frame.gamma == gamma)
            row = frame[place & (frame.lists == shown)].iloc[0]
            panel.plot(
                row.rule_strength, row.rule, "X", ms=9, color=colour,
                markeredgecolor="white",
            )  # fmt: skip
        panel.set_title(f"trained: {arm}", fontsize=9.5)
        panel.set_xlabel("total strength of the correction")
    panels[0][0].set_ylabel("share of the best 20 recovered")
    if shown != LISTS[""]:
        panels[0][0].plot([], [], ":", color="0.3", label="with unclicked items")
    legend_above(figure, panels[0][0], _heading(frame[frame.lists == shown]), 3)
    return Drawing(figure, points)


def _heading(frame: pd.DataFrame) -> str:
    if (frame.best_strength > frame.rule_strength + REACH).all():
        return (
            "On tastes learned from real clicks,\n"
            "the best strength lies above the rule's (crosses)"
        )
    return "What each strength recovers; crosses: the strength by the rule"


def report_semisynthetic(stored: Stored) -> Report:
    """The study's table, page and figure."""
    frame = semi_frame(stored)
    drawings = {"-rule": semi_figure(frame, stored)}
    return Report(
        {".csv": frame}, semi_page(frame, stored), drawings, verdicts(frame, stored)
    )
