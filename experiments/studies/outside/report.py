"""What the study outside shows: each published cell beside ours, with its verdict."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy import ndarray

from experiments.studies.outside import Cell, read_cells
from experiments.studies.outside.runs import expected
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
LATER = "what was expected of runs that were added later (most have one seed)"


class _Measured(NamedTuple):
    """A number of a row: its mean, how many seeds, and what a cell may be away from it.

    deviation is over seeds, NaN for one seed; error_users is over users.
    """

    mean: float
    seeds: int
    deviation: float
    error_users: float
    allowed: float


class _Rows:
    """The measured rows of a file of records, by name."""

    def __init__(self, stored: Stored) -> None:
        self.names: list[str] = stored.header["runs"]
        self.numbers: list[str] = stored.header["numbers"]
        self.data = dict(zip(self.names, stored.header["data"], strict=True))
        self._resplit = stored.header["resplit"]
        self.arrays = stored.arrays

    def of(self, name: str, number: str) -> _Measured:
        """A number of a row.

        Where each seed has a split of its own, the published one not being known, what
        is allowed are two standard errors of the mean, of splits and users together; it
        is NaN for one split. On the published split it is two deviations over seeds, or
        0.001 where that is more.
        """
        row = self.names.index(name)
        place = row, slice(None), self.numbers.index(number)
        values: ndarray = self.arrays["mean"][place]
        there = ~np.isnan(values)
        values, n = values[there], int(there.sum())
        if n == 0:
            return _Measured(np.nan, 0, np.nan, np.nan, np.nan)
        deviation = float(values.std(ddof=1)) if n > 1 else np.nan
        users = float(np.sqrt(np.mean(self.arrays["error"][place][there] ** 2)))
        if self._resplit[row]:
            allowed = ERRORS * float(np.hypot(deviation / np.sqrt(n), users))
        else:
            allowed = float(np.fmax(ERRORS * deviation, LEAST))
        return _Measured(float(values.mean()), n, deviation, users, allowed)

    def gain(self, name: str, other: str) -> Interval:
        """What a row has more than another in NDCG@20, over the seeds of both."""
        number = self.numbers.index(NDCG)
        one, two = (
            self.arrays["mean"][self.names.index(row), :, number].astype(float)
            for row in (name, other)
        )
        more = one - two
        return over_seeds(more[~np.isnan(more)]).interval()

    def agrees(self, name: str, cell: Cell) -> bool:
        """Whether a cell is within what is allowed of a row."""
        found = self.of(name, cell.number)
        return abs(cell.value - found.mean) <= found.allowed


def ledger(stored: Stored, cells: Sequence[Cell]) -> pd.DataFrame:
    """One row per cell that the records have a run for: published, ours, the verdict.

    The verdict is empty where there are too few splits for one. The reason is the first
    of the cell's runs that agrees with it and with all other cells of its row.
    """
    rows, lines = _Rows(stored), []
    of_row: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells:
        of_row.setdefault((cell.dataset, cell.row), []).append(cell)
    for cell in cells:
        if cell.run not in rows.names or cell.number not in rows.numbers:
            continue
        found = rows.of(cell.run, cell.number)
        verdict, reason = UNEXPLAINED, ""
        if np.isnan(found.allowed):
            verdict = ""
        elif rows.agrees(cell.run, cell):
            verdict = AGREES
        else:
            for other in cell.because.split(";"):
                whole = of_row[cell.dataset, cell.row]
                if other in rows.names and all(rows.agrees(other, c) for c in whole):
                    verdict, reason = DIFFERS, other
                    break
        lines.append(
            {
                **cell._asdict(),
                "ours": found.mean,
                "seeds": found.seeds,
                "deviation": found.deviation,
                "error_users": found.error_users,
                "difference": cell.value - found.mean,
                "allowed": found.allowed,
                "verdict": verdict,
                "reason": reason,
            }
        )
    return pd.DataFrame(lines)


def _cells(frame: pd.DataFrame) -> str:
    """The cells of a data set, in Markdown."""
    heads = ["published row", "where", "metric", "published", "ours", "seeds"]
    heads += ["difference", "allowed", "verdict"]
    rows = [
        [
            f"{row.row}",
            f"[{row.source}] {row.table}, {row.page}",
            f"{row.metric}@{row.k}",
            f"{row.value:.4f}",
            f"{row.ours:.4f}",
            f"{row.seeds}",
            f"{row.difference:+.4f}",
            number_text(float(row.allowed), ".4f"),
            f"{row.verdict} because: {row.reason}" if row.reason else f"{row.verdict}",
        ]
        for row in frame.itertuples()
    ]
    return markdown_table(heads, rows)


def _means(rows: _Rows, data: str) -> str:
    """Every row of a data set, the mean over its seeds, in Markdown."""
    names = [name for name in rows.names if rows.data[name] == data]
    found = {(m, n): rows.of(n, m) for m in rows.numbers for n in names}
    numbers = [m for m in rows.numbers if not np.isnan(found[m, names[0]].mean)]
    lines = [
        [name, *(number_text(found[m, name].mean, ".4f") for m in numbers)]
        for name in names
    ]
    return markdown_table(["run", *numbers], lines, left=1)


def _expected(rows: _Rows) -> list[str]:
    """What was expected of the runs that were added later, in Markdown."""
    named = expected()
    if not any(name in rows.names for name in named):
        return []
    lines = [
        [name if name in rows.names else f"{name}, not run", text]
        for name, text in named.items()
    ]
    said = "Runs that were added later; what follows was committed before they began, "
    said += "but for what says otherwise."
    return [said, markdown_table(["run", "expected"], lines, left=2)]


def _page(frame: pd.DataFrame, stored: Stored) -> Sequence[str]:
    rows = _Rows(stored)
    count = frame.verdict.value_counts()
    total = ", ".join(f"{verdict} {n}" for verdict, n in count.items() if verdict)
    sources = ", ".join(f"[{key}]" for key in dict.fromkeys(frame.source))
    parts = []
    for data in dict.fromkeys(frame.dataset):
        of_data = frame[frame.dataset == data]
        parts += [f"## {data}", _cells(of_data)]
        parts += ["Every run, the mean over its seeds:", _means(rows, data)]
    return (
        f"Published cells of {sources}, {len(frame)}: {total or 'no verdicts'}. "
        "Difference: published less ours. Allowed: where each seed has a split of its "
        "own (RecBole's tables), two standard errors of the mean, of splits and users "
        "together; on the published split two deviations over seeds, or 0.001 where "
        "that is more. Replayed: the published run, made again from its seed.",
        *_expected(rows),
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
    return out + _of_the_prior(_Rows(stored))


def _all_agree(where: str, cells: pd.DataFrame) -> list[str]:
    count = int((cells.verdict == AGREES).sum())
    found = f"{count} of {len(cells)}"
    return decided(f"{where}: all cells agree", found, count == len(cells))


def _of_the_prior(rows: _Rows) -> list[list[str]]:
    """The statements on SL and SL@20 on Electronics, served with a prior of 0.5."""
    sl, at_k = SERVED.format(SL), SERVED.format(AT_K)
    if not {SL, AT_K, sl, at_k} <= set(rows.names):
        return []
    low, high = GAIN
    where = "electronic, NDCG@20, a prior of 0.5"
    return [
        statement(
            f"{where}: SL gains {low:g} to {high:g}", rows.gain(sl, SL), *GAIN, "+.4f"
        ),
        statement(
            f"{where}: SL is then within {LEVEL:g} of SL@20 without one",
            *(rows.gain(sl, AT_K), -LEVEL, LEVEL, "+.4f"),
        ),
        statement(
            f"{where}: SL@20 gains less than 0.003",
            *(rows.gain(at_k, AT_K), -np.inf, LITTLE, "+.4f"),
        ),
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
    places, labels = _lines(points)
    counts = frame.verdict.value_counts()
    figure, panels = blank(1.6 + LINE * len(labels), ncols=2, sharey=True)
    for axes, (metric, title) in zip(panels, METRICS.items(), strict=True):
        for row in points[points.metric == metric].to_dict("records"):
            numbers = float(row["percent"]), float(row["allowed"])
            line = places[str(row["dataset"]), str(row["row"])]
            _draw(axes, line, numbers, LOOKS[str(row["verdict"])])
        around_zero(axes)
        axes.grid(visible=False, axis="y")
        axes.set_xlim(-REACH, REACH)
        axes.set_xlabel(f"{title}, %")
    panels[0].set_yticks(range(len(labels)), labels)
    panels[0].set_ylabel("published row")
    panels[0].set_ylim(len(labels) - 0.4, -0.6)
    for tick in panels[0].get_yticklabels():
        if tick.get_text() in DATASETS.values():
            tick.set_fontweight("bold")
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


def _lines(points: pd.DataFrame) -> tuple[dict[tuple[str, str], int], list[str]]:
    """The line of each published row, and the labels of all lines."""
    places: dict[tuple[str, str], int] = {}
    labels: list[str] = []
    for dataset, part in points.groupby("dataset", sort=False):
        labels.append(DATASETS.get(str(dataset), str(dataset)))
        for row in part.row.unique():
            places[str(dataset), row] = len(labels)
            labels.append(f"  {row}")
    return places, labels


def _draw(axes: Axes, line: int, numbers: tuple[float, float], style: Look) -> None:
    """Draws a number on its line, with what is allowed; at the edge if it is beyond."""
    percent, allowed = numbers
    axes.barh(line, 2 * allowed, left=-allowed, height=0.8, color="#e2e2e2", zorder=1)
    side = 1 if percent > 0 else -1
    inside = abs(percent) <= REACH
    at = percent if inside else side * EDGE
    axes.plot(at, line, color=style.colour, marker=style.marker, markersize=6, zorder=3)
    if not inside:
        axes.annotate(
            f"{percent:+.0f}",
            (at, line),
            xytext=(-8 * side, 0),
            textcoords="offset points",
            va="center",
            ha="right" if side > 0 else "left",
            fontsize=9,
        )


def report_outside(stored: Stored) -> Report:
    """The study's table, page and figure, of its records and the published cells."""
    frame = ledger(stored, read_cells())
    drawings = {"-rows": ledger_figure(frame)}
    later = [LATER] if _expected(_Rows(stored)) else []
    judged = verdicts(frame, stored)
    return Report({".csv": frame}, _page(frame, stored), drawings, judged, later)
