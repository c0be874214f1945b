"""What the study outside shows: each published cell beside ours, with its verdict."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from experiments.kit import Data
from experiments.studies.outside import HERE, expected
from experiments.study import Report
from research.report.intervals import Interval, over_seeds
from research.report.pages import markdown_table, number_text
from research.report.pictures import (
    BAD,
    GOOD,
    Drawing,
    Look,
    around_zero,
    blank,
    legend_above,
    notes_below,
    styled,
)
from research.report.predictions import decided, statement
from research.report.records import Stored

AXES = dict.fromkeys(("mean", "error"), "run seed number")  # error: over users
CELLS = HERE / "cells.csv"
AGREES, DIFFERS, UNEXPLAINED = "agrees", "differs", "unexplained"
ERRORS = 2.0  # standard errors, or deviations over seeds, within which a cell agrees
LEAST = 0.001  # on the published split itself a cell this near agrees in any case
# The prediction: which cells of RecBole's tables agree, which of IR-Benchmark's (the
# rest), which rows lie near, and what a prior of 0.5 does to SL on Electronics.
WHOLE, QUICK_START, CORNAC = "ml-1m-ge3", "ml-100k", "ml-100k-cornac"
AGREEING = ("BPR", "SL", "PSL-relu")
NEARBY, NEAR = ("SL@20", "LambdaRank", "LambdaLoss", "LambdaLoss@20"), 0.01
SERVED = "{} (served with a popularity prior of 0.5)"
SL, AT_K, NDCG = "electronic sl", "electronic sl-at-20", "ndcg@20"
GAIN, LEVEL, LITTLE = (0.006, 0.008), 0.001, np.nextafter(0.003, 0.0)
ADDED = "what was expected of runs that were added later (most have one seed)"


def read_cells() -> pd.DataFrame:
    """The published cells, in the order of their file, which says where each stands.

    row is as published, value as printed, run the one here that it is compared with;
    because are runs that would explain a difference, with ";" between them, or "".
    """
    return pd.read_csv(CELLS, keep_default_na=False)


Found = dict[tuple[str, str], dict[str, Any]]  # by run and number


def found_rows(stored: Stored) -> Found:
    """Each number of each row: its mean, seeds, errors, and what a cell may be away.

    Where each seed has a split of its own, the published one not being known, what
    is allowed are two standard errors of the mean, of splits and users together; it
    is NaN for one split. On the published split it is two deviations over seeds, or
    0.001 where that is more. A number that wasn't measured is left out.
    """
    data, found = Data.of(stored, AXES), Found()
    for run, resplit in zip(stored.header["runs"], stored.header["resplit"]):
        here = data.at(run=run)
        for number in stored.header["numbers"]:
            values, errors = (here[name].at(number=number).values for name in AXES)
            errors, values = errors[~np.isnan(values)], values[~np.isnan(values)]
            if not (n := len(values)):
                continue
            deviation = float(values.std(ddof=1)) if n > 1 else np.nan
            users = float(np.sqrt(np.mean(errors**2)))
            allowed = float(np.fmax(ERRORS * deviation, LEAST))
            if resplit:
                allowed = ERRORS * float(np.hypot(deviation / np.sqrt(n), users))
            row = {"ours": float(values.mean()), "seeds": n, "deviation": deviation}
            found[run, number] = {**row, "error_users": users, "allowed": allowed}
    return found


def ledger(stored: Stored, cells: pd.DataFrame) -> pd.DataFrame:
    """One row per cell that the records have a run for: published, ours, the verdict.

    The verdict is empty where there are too few splits for one. The reason is the first
    of the cell's runs that agrees with it and with all other cells of its row.
    """
    found, lines = found_rows(stored), []
    of_row = dict(iter(cells.groupby(["dataset", "row"])))

    def ours(run: str, cell: Mapping[Any, Any]) -> dict[str, Any]:
        return found.get((run, f"{cell['metric']}@{cell['k']}"), {})

    def agrees(run: str, cell: Mapping[Any, Any]) -> bool:
        row = ours(run, cell)
        return bool(row) and abs(cell["value"] - row["ours"]) <= row["allowed"]

    def explains(run: str, cell: Mapping[Any, Any]) -> bool:
        row = of_row[cell["dataset"], cell["row"]]
        return all(agrees(run, each) for each in row.to_dict("records"))

    for cell in cells.to_dict("records"):
        if not (row := {**ours(cell["run"], cell)}):
            continue
        verdict, reason, allowed = AGREES, "", row.pop("allowed")
        others = cell["because"].split(";")
        if np.isnan(allowed):
            verdict = ""
        elif not agrees(cell["run"], cell):
            reason = next((run for run in others if explains(run, cell)), "")
            verdict = DIFFERS if reason else UNEXPLAINED
        row |= {"difference": cell["value"] - row["ours"], "allowed": allowed}
        lines.append({**cell, **row, "verdict": verdict, "reason": reason})
    return pd.DataFrame(lines)


def _cells(frame: pd.DataFrame) -> str:
    heads = ["published row", "where", "metric", "published", "ours", "seeds"]
    heads += ["difference", "allowed", "verdict"]
    rows = [
        [
            *(f"{row.row}", f"[{row.source}] {row.table}, {row.page}"),
            *(f"{row.metric}@{row.k}", f"{row.value:.4f}", f"{row.ours:.4f}"),
            *(f"{row.seeds}", f"{row.difference:+.4f}"),
            number_text(float(row.allowed), ".4f"),
            f"{row.verdict} because: {row.reason}" if row.reason else f"{row.verdict}",
        ]
        for row in frame.itertuples()
    ]
    return markdown_table(heads, rows)


def _means(found: Found, names: Sequence[str]) -> str:
    """Every row of a data set, the mean over its seeds, in Markdown."""
    numbers = dict.fromkeys(number for run, number in found if run == names[0])
    none = {"ours": np.nan}
    lines = [
        [n, *(number_text(found.get((n, m), none)["ours"], ".4f") for m in numbers)]
        for n in names
    ]
    return markdown_table(["run", *numbers], lines, left=1)


def _expected(runs: Sequence[str]) -> list[str]:
    """What was expected of the runs that were added later, in Markdown."""
    named = expected()
    if not {*named} & {*runs}:
        return []
    lines = [
        [name if name in runs else f"{name}, not run", text]
        for name, text in named.items()
    ]
    said = "Runs that were added later; what follows was committed before they began, "
    said += "but for what says otherwise."
    return [said, markdown_table(["run", "expected"], lines, left=2)]


def _page(frame: pd.DataFrame, stored: Stored) -> Sequence[str]:
    runs, found = stored.header["runs"], found_rows(stored)
    count = frame.verdict.value_counts()
    total = ", ".join(f"{verdict} {n}" for verdict, n in count.items() if verdict)
    sources = ", ".join(f"[{key}]" for key in dict.fromkeys(frame.source))
    parts = []
    for data in dict.fromkeys(frame.dataset):
        of_data = zip(runs, stored.header["data"], strict=True)
        means = _means(found, [run for run, folder in of_data if folder == data])
        parts += [f"## {data}", _cells(frame[frame.dataset == data])]
        parts += ["Every run, the mean over its seeds:", means]
    return (
        f"Published cells of {sources}, {len(frame)}: {total or 'no verdicts'}. "
        "Difference: published less ours. Allowed: where each seed has a split of its "
        "own (RecBole's tables), two standard errors of the mean, of splits and users "
        "together; on the published split two deviations over seeds, or 0.001 where "
        "that is more.",
        *_expected(runs),
        *parts,
    )


def verdicts(frame: pd.DataFrame, stored: Stored) -> list[list[str]]:
    """Each part of the prediction: the statement, what was measured, the verdict."""
    out = []
    judged = frame[frame.verdict != ""]
    for data in dict.fromkeys(judged.dataset):
        of_data = judged[judged.dataset == data]
        name = of_data.row.str.partition(",")[0]
        if data == WHOLE:
            out.append(_all_agree(data, of_data))
        elif data == QUICK_START:
            out.append(_all_agree(f"{data}, BPR", of_data[name == "BPR"]))
        elif data != CORNAC:
            for row in (row for row in AGREEING if row in set(name)):
                out.append(_all_agree(f"{data}, {row}", of_data[name == row]))
        for row in (row for row in NEARBY if row in set(name)):
            most = float(of_data[name == row].difference.abs().max())
            text = f"{data}, {row}: all cells lie within {NEAR:g}"
            out.append(decided(text, f"at most {most:.4f} away", most <= NEAR))
    return out + _of_the_prior(stored)


def _all_agree(where: str, cells: pd.DataFrame) -> list[str]:
    count = int((cells.verdict == AGREES).sum())
    found = f"{count} of {len(cells)}"
    return decided(f"{where}: all cells agree", found, count == len(cells))


def _of_the_prior(stored: Stored) -> list[list[str]]:
    """The statements on SL and SL@20 on Electronics, served with a prior of 0.5."""
    sl, at_k = SERVED.format(SL), SERVED.format(AT_K)
    if not {SL, AT_K, sl, at_k} <= set(stored.header["runs"]):
        return []
    ndcg = Data.of(stored, AXES)["mean"].at(number=NDCG)

    def gain(run: str, other: str) -> Interval:
        """Over the seeds of both."""
        more = (ndcg.at(run=run) - ndcg.at(run=other)).values
        return over_seeds(more[~np.isnan(more)]).interval()

    where, form = "electronic, NDCG@20, a prior of 0.5", "+.4f"
    less, text = LEVEL, f"SL is then within {LEVEL:g} of SL@20 without one"
    first = f"SL gains {GAIN[0]:g} to {GAIN[1]:g}"
    little = "SL@20 gains less than 0.003"
    return [
        statement(f"{where}: {first}", gain(sl, SL), *GAIN, form),
        statement(f"{where}: {text}", gain(sl, AT_K), -less, less, form),
        statement(f"{where}: {little}", gain(at_k, AT_K), high=LITTLE, form=form),
    ]


LOOKS = {
    AGREES: Look(GOOD, "o"),
    DIFFERS: Look("#b8860b", "D"),
    UNEXPLAINED: Look(BAD, "X"),
}
LEGEND = ("agrees", "differs, a run shows why", "unexplained")
DATASETS = {
    "ml-1m-ge3": "MovieLens 1M, RecBole",
    "ml-100k": "MovieLens 100K, RecBole",
    "ml-100k-cornac": "MovieLens 100K, Cornac",
    "ml-100k-irb": "MovieLens 100K, IR-Benchmark",
    "electronic": "Electronics",
    "movie": "Movies and TV",
    "gowalla": "Gowalla",
    "electronic-popularity": "Electronics, shifted",
}
METRICS = {"recall": "recall", "ndcg": "NDCG"}
MAIN = 10, 20  # the cut-off at which a table prints both, the largest there is
REACH, EDGE = 17.0, 16.0  # percent on either side; what is further stands at the edge
LINE = 0.215  # inches per line


@styled
def ledger_figure(frame: pd.DataFrame) -> Drawing:
    """Draws each published row's recall and NDCG: ours less the printed, in percent."""
    points = _points(frame)
    labels: list[tuple[str, str]] = []  # of the lines: each data set, then its rows
    for dataset, part in points.groupby("dataset", sort=False):
        labels += [(str(dataset), row) for row in ("", *part.row.unique())]
    counts = frame.verdict.value_counts()
    figure, panels = blank(1.6 + LINE * len(labels), ncols=2, sharey=True)
    for axes, (metric, title) in zip(panels, METRICS.items(), strict=True):
        for row in points[points.metric == metric].to_dict("records"):
            _draw(axes, labels.index((row["dataset"], row["row"])), row)
        around_zero(axes)
        axes.grid(visible=False, axis="y")
        axes.set_xlim(-REACH, REACH)
        axes.set_xlabel(f"{title}, %")
    names = [f"  {row}" if row else DATASETS.get(data, data) for data, row in labels]
    panels[0].set_yticks(range(len(names)), names)
    panels[0].set_ylabel("published row")
    panels[0].set_ylim(len(names) - 0.4, -0.6)
    for tick, (_, of_row) in zip(panels[0].get_yticklabels(), labels, strict=True):
        tick.set_fontweight("normal" if of_row else "bold")
    handles = [
        Line2D([], [], linestyle="", label=label, color=c, marker=m, markersize=6)
        for label, (c, m) in zip(LEGEND, LOOKS.values(), strict=True)
    ]
    heading = (
        f"{counts.get(AGREES, 0)} of {len(frame)} printed numbers agree. Here: "
        "recall and NDCG at 20 (RecBole, Cornac: at 10), ours less the printed"
    )
    legend_above(figure, handles, heading, 2)
    notes_below(figure, ["Grey: how far apart the two may be."])
    return Drawing(figure, points)


def _points(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per published row and metric, in percent of the printed number."""
    main = frame[frame.metric.isin(METRICS) & frame.k.isin(MAIN)]
    largest = main.groupby(["dataset", "row"]).k.transform("max")
    main = main[(main.k == largest) & (main.verdict != "")].reset_index(drop=True)
    points = main[["dataset", "row", "metric", "k", "verdict"]].copy()
    points["percent"] = -100 * main.difference / main.value
    points["allowed"] = 100 * main.allowed / main.value
    return points


def _draw(axes: Axes, line: int, row: Mapping[Any, Any]) -> None:
    """Draws a number on its line, with what is allowed; at the edge if it is beyond."""
    percent, allowed, style = row["percent"], row["allowed"], LOOKS[row["verdict"]]
    axes.barh(line, 2 * allowed, left=-allowed, height=0.8, color="#e2e2e2", zorder=1)
    side = 1 if percent > 0 else -1
    inside = abs(percent) <= REACH
    at = percent if inside else side * EDGE
    axes.plot(at, line, color=style.colour, marker=style.marker, markersize=6, zorder=3)
    if not inside:
        place: Any = {"xytext": (-8 * side, 0), "textcoords": "offset points"}
        place |= {"va": "center", "ha": "right" if side > 0 else "left"}
        axes.annotate(f"{percent:+.0f}", (at, line), fontsize=9, **place)


def report_outside(stored: Stored) -> Report:
    """The study's table, page and figure, of its records and the published cells."""
    frame = ledger(stored, read_cells())
    drawings = {"-rows": ledger_figure(frame)}
    later = [ADDED] if _expected(stored.header["runs"]) else []
    judged = verdicts(frame, stored)
    return Report({".csv": frame}, _page(frame, stored), drawings, judged, later)
