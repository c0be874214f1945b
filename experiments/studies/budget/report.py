"""What the study budget shows: what was chosen, contrasts, verdicts, its figures."""

from collections.abc import Sequence
from math import comb

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy import ndarray

from experiments.studies import STUDIES
from experiments.studies.budget import LOSSES, MEASURED, NAME, RANDOM, REFERENCE, chosen
from experiments.study import Report
from research.contrast import NOT_DIFFERENT, Contrast
from research.evaluate.metrics import CUTOFF, METRICS
from research.report.contrasts import (
    UNTESTED,
    Paired,
    contrast_texts,
    family,
    paired_users,
)
from research.report.intervals import Interval, two_way
from research.report.pages import (
    EMPTY,
    interval_frame,
    interval_table,
    interval_text,
    markdown_table,
    number_text,
    seeds_text,
)
from research.report.pictures import (
    VERDICTS,
    Drawing,
    around_zero,
    blank,
    draw_line,
    legend_above,
    styled,
)
from research.report.predictions import outcome, statement
from research.report.records import Stored

BOUNDS = {"binary-nce": 0.010, "gbce": 0.006}  # of the gaps in recall@20
CUTOFFS = (CUTOFF, 100)
COLUMNS = {f"{metric}_{k}": METRICS[metric].title(k) for metric, k in MEASURED}
TRIED = (1, 2, 4, 8, 16)  # numbers of configurations on the page
KINDS = {  # of losses, by what they compare: a colour each, and marks within it
    "softmax": ("#4477aa", (REFERENCE, "decoupled-softmax", "bilateral-softmax")),
    "pairwise": ("#cc6677", ("bpr", "hinge", "psl-tanh")),
    "pointwise": ("#999933", ("cosine-contrastive", "sigmoid", "binary-nce", "gbce")),
}
MARKERS = "os^D"


def scores(stored: Stored) -> Float[ndarray, "l t"]:
    """Each trial's validation NDCG@20 at its best look; 0 for one that diverged."""
    curves = np.nan_to_num(stored.arrays["curves"].astype(float), nan=0.0)
    return np.asarray(curves.max(axis=2))


def expected_best(values: Float[ndarray, " t"], n: int) -> float:
    """The mean, over all choices of n of the trials, of the best one [dodge2019].

    >>> expected_best(np.array([0.1, 0.4, 0.2]), 2)  # .4, .4 and .2
    0.3333333333333333
    """
    total = len(values)
    ways = [comb(rank, n - 1) for rank in range(total)]
    return float(np.dot(np.sort(values), ways) / comb(total, n))


def trials_frame(stored: Stored) -> pd.DataFrame:
    """One row per trial: its configuration, its score at its best look, the epoch."""
    arrays, best, lines = stored.arrays, scores(stored), []
    taken = [trial for trial, _ in chosen(arrays["curves"])]
    for number, loss in enumerate(stored.header["losses"]):
        for trial, score in enumerate(best[number]):
            look = int(np.nan_to_num(arrays["curves"][number, trial]).argmax())
            lines.append(
                {
                    "loss": loss,
                    "trial": trial,
                    "temperature": round(float(arrays["temperatures"][trial]), 6),
                    "learning_rate": round(float(arrays["learning_rates"][trial]), 8),
                    "draws": int(arrays["draws"][trial]),
                    "hyper": stored.header["hyper"][loss][trial],
                    "epochs": int(arrays["looks"][look]),
                    "validation_ndcg_20": score,
                    "validation_recall_item_20": float(
                        arrays["validation_item"][number, trial]
                    ),
                    "chosen": trial == taken[number],
                }
            )
    return pd.DataFrame(lines)


def budget_frame(stored: Stored) -> pd.DataFrame:
    """One row per loss, then random lists: what was chosen, and the test's metrics.

    A metric's columns are its name and, for the ends of its interval, _low and _high.
    """
    trials, arrays = trials_frame(stored), stored.arrays
    found = {}
    for name in COLUMNS:
        values = [*arrays[name], arrays[f"{RANDOM}_{name}"]]
        found[name] = np.array(values, float).swapaxes(-2, -1)
    test = interval_frame(found, two_way, loss=[*stored.header["losses"], RANDOM])
    chosen = trials[trials.chosen].drop(columns=["trial", "chosen"])
    return chosen.merge(test, on="loss", how="right")


def contrasts(stored: Stored) -> pd.DataFrame:
    """Every loss against sampled-softmax in recall at both cut-offs: one family."""
    losses = stored.header["losses"]

    def difference(contrast: Contrast) -> Paired:
        name = f"{contrast.metric}_{contrast.k}"
        values, other = (
            stored.arrays[name][losses.index(loss)].astype(float).T
            for loss in (contrast.arm, contrast.against)
        )
        return paired_users(values, other)

    declared = [
        Contrast(loss, REFERENCE, "recall", k)
        for k in CUTOFFS
        for loss in losses
        if loss != REFERENCE
    ]
    return family(declared, difference)


def verdicts(compared: pd.DataFrame) -> list[list[str]]:
    """Each part of the prediction: the statement, what was measured, the verdict."""
    out = []
    for loss, bound in BOUNDS.items():
        rows = compared[compared.arm == loss].set_index("k")
        if rows.empty:  # a quick run
            continue
        gap, tested = _gap(rows.loc[CUTOFF]), rows.verdict[CUTOFF] != UNTESTED
        text = f"recall@{CUTOFF}: the gap of {loss} is below {bound:.3f}"
        out.append(statement(text, gap, high=bound, form="+.4f", tested=tested))
        row = rows.loc[100]
        text = f"recall@100: {loss} does not differ significantly"
        p = number_text(row.p_holm, ".2g")
        found = f"{interval_text(*_gap(row), '+.4f')}, p {p}"
        out.append([text, found, outcome(NOT_DIFFERENT.verdict, row.verdict)])
    return out


def _gap(row: pd.Series) -> Interval:
    """What sampled-softmax has more, with the ends of its interval."""
    return Interval(-float(row.difference), -float(row.high), -float(row.low))


def budget_page(
    frame: pd.DataFrame, stored: Stored, compared: pd.DataFrame
) -> Sequence[str]:
    """What was measured and chosen, and how the trials went."""
    header, trials = stored.header, trials_frame(stored)
    seeds, users = stored.arrays["recall_20"].shape[1:]
    best = scores(stored)
    about = (
        f"{header['dataset']}. Each loss had {best.shape[1]} random configurations. "
        "Temperature (0.03 to 1), learning rate (0.0003 to 0.01), both log-uniform, "
        "and the number of uniform negatives that the batch shares (8, 64 or 512) have "
        "the same points for every loss. A loss also has values of its own: "
        + "; ".join(
            f"`{loss}` {LOSSES[loss].ranges}"
            for loss in header["losses"]
            if LOSSES[loss].ranges
        )
        + f". The bias of `binary-nce` and `gbce` starts at -log({header['items']}), "
        "the number of items. Only `binary-nce` is corrected by log q: that of uniform "
        "negatives is the same for all items, so it changes no gradient of a softmax "
        "or a pairwise loss, and a learned bias absorbs it."
    )
    looks = stored.arrays["looks"].tolist()
    often = "every epoch" if looks[0] == 1 else f"every {looks[0]} epochs"
    about += f" A trial has up to {looks[-1]} epochs and is validated {often}."
    measured = (
        "Below, each loss has the configuration with the highest validation "
        f"NDCG@{CUTOFF} at its best epoch. It is trained for as many epochs on train "
        f"and validation and judged on test ({seeds_text(seeds)}, {users} users). "
        "Intervals are 95 %, two-way over users and seeds; they do not cover the draw "
        f"of the configurations. Data {header['data_digest'][:12]}."
    )
    return (
        about,
        "A difference that is not significant does not show two losses equal; where "
        "they are shown to be equivalent, the contrasts say so.",
        measured,
        _chosen_table(frame),
        "The trials on validation: the expected best NDCG@20 of a given number of a "
        "loss's configurations, over all choices of them [dodge2019]; how many "
        "diverged; and what a second selector, item-averaged recall@20, would have "
        "chosen.",
        _tried_table(trials, stored),
    )


def _chosen_table(frame: pd.DataFrame) -> str:
    values = frame.hyper.fillna("").replace("", EMPTY)
    shown = frame.assign(loss="`" + frame.loss + "`", hyper=values)
    columns = [
        ("its own values", "hyper", ""),
        ("temperature", "temperature", "g"),
        ("learning rate", "learning_rate", "g"),
        ("negatives", "draws", "g"),
        ("epochs", "epochs", "g"),
        *((heading, name, ".4f") for name, heading in COLUMNS.items()),
    ]
    return interval_table(shown, {"loss": ""}, columns, left=2)


def _tried_table(trials: pd.DataFrame, stored: Stored) -> str:
    best = scores(stored)
    counts = [n for n in TRIED if n <= best.shape[1]]
    heads = ["loss", *(f"best of {n}" for n in counts), "diverged"]
    heads += ["by item-averaged recall: temperature", "learning rate", "negatives"]
    rows = []
    for number, (loss, part) in enumerate(trials.groupby("loss", sort=False)):
        cells = [f"`{loss}`"]
        cells += [f"{expected_best(best[number], n):.4f}" for n in counts]
        cells.append(str(int(part.validation_recall_item_20.isna().sum())))
        other = part.loc[part.validation_recall_item_20.idxmax()]
        cells += [f"{other[n]:g}" for n in ("temperature", "learning_rate", "draws")]
        rows.append(cells)
    return markdown_table(heads, rows, left=1)


@styled
def tried_figure(stored: Stored) -> Drawing:
    """Draws the expected best validation NDCG@20 by the number of configurations."""
    best = dict(zip(stored.header["losses"], scores(stored), strict=True))
    counts = range(1, len(next(iter(best.values()))) + 1)
    lines = []
    styles = {
        loss: {"color": colour, "marker": marker, "label": loss}
        for colour, losses in KINDS.values()
        for loss, marker in zip(losses, MARKERS)
    }
    figure, axes = blank(4.2)
    for loss, values in best.items():
        found = [expected_best(values, n) for n in counts]
        axes.plot(counts, found, ms=4, lw=1.2, **styles[loss])
        lines += [
            {"loss": loss, "configurations": n, "expected_best": value}
            for n, value in zip(counts, found, strict=True)
        ]
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="configurations tried", ylabel="validation NDCG@20, expected best")
    heading = "How many configurations does each loss need? Best validation NDCG@20"
    legend_above(figure, _by_kind(axes), heading, len(KINDS))
    return Drawing(figure, pd.DataFrame(lines))


def _by_kind(axes: Axes) -> list[Line2D]:
    """The lines of an axes for a legend with a column for each kind of loss."""
    lines = {str(line.get_label()): line for line in axes.get_lines()}
    longest = max(sum(loss in lines for loss in losses) for _, losses in KINDS.values())
    entries: list[Line2D] = []
    for kind, (_, losses) in KINDS.items():
        there = [lines[loss] for loss in losses if loss in lines]
        blank_lines = longest - len(there)
        entries += [Line2D([], [], ls="", label=f"{kind}:"), *there]
        entries += [Line2D([], [], ls="", label=" ") for _ in range(blank_lines)]
    return entries


@styled
def forest_figure(compared: pd.DataFrame) -> Drawing:
    """Draws each loss's difference from sampled-softmax, a panel per cut-off."""
    losses = list(dict.fromkeys(compared.arm))
    figure, panels = blank(1.6 + 0.26 * len(losses), ncols=2, sharey=True)
    for axes, k in zip(panels, CUTOFFS, strict=True):
        for row in compared[compared.k == k].to_dict("records"):
            numbers = row["difference"], row["low"], row["high"]
            y = losses.index(row["arm"])
            draw_line(axes, y, numbers, VERDICTS[row["verdict"]])
            if k == CUTOFF and row["arm"] in BOUNDS:
                bound = -BOUNDS[row["arm"]]
                axes.plot([bound] * 2, [y - 0.4, y + 0.4], color="#000000", lw=1.2)
        around_zero(axes)
        axes.set_xlabel(f"recall@{k}, difference")
    panels[0].set_yticks(range(len(losses)), losses)
    panels[0].set_ylim(len(losses) - 0.4, -0.6)
    panels[0].set_ylabel("loss")
    handles = []
    for verdict in [name for name in VERDICTS if name in set(compared.verdict)]:
        colour, marker = VERDICTS[verdict]
        handles += panels[0].plot([], [], marker, color=colour, label=verdict)
    handles += panels[0].plot([], [], color="#000000", lw=1.2, label="predicted bound")
    heading = f"Differences from {REFERENCE}, 95 % intervals, equal budgets"
    legend_above(figure, handles, heading, 5)
    columns = ["arm", "k", "difference", "low", "high", "verdict"]
    return Drawing(figure, compared[columns])


def report_budget(stored: Stored) -> Report:
    """The study's tables, contrasts and figures."""
    frame, compared = budget_frame(stored), contrasts(stored)
    tables = {
        ".csv": frame,
        "-trials.csv": trials_frame(stored),
        **contrast_texts(compared, STUDIES[NAME].question),
    }
    drawings = {"-tried": tried_figure(stored), "-forest": forest_figure(compared)}
    return Report(
        tables, budget_page(frame, stored, compared), drawings, verdicts(compared)
    )
