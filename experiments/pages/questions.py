"""The page of the twelve questions, one family of contrasts over all data sets.

    python -m experiments report questions --out results

The questions are TWELVE in experiments/grids/ssb.py, with what was expected of each
before its first run. p values are adjusted by Holm over the primary contrasts of all
data sets, in NDCG@20; the same differences in other metrics are exploratory.
"""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from experiments.grids.ssb import QUESTIONS, TWELVE, Question
from experiments.output.folders import file_name
from experiments.output.whole import of_common_seeds
from research.contrast import Contrast, slug
from research.evaluate.metrics import CUTOFF, METRICS
from research.files import replace, write_csv
from research.report.contrasts import (
    ABSENT,
    MARGIN,
    UNTESTED,
    contrast_frame,
    runs_of,
    verdict,
    verdict_text,
    within_margin,
)
from research.report.intervals import holm
from research.report.pages import interval_text, markdown_page, markdown_table
from research.report.pictures import Drawing, save_figure
from research.report.plots import Plot, draw
from research.report.predictions import outcome
from research.report.records import RunResult, load_records
from research.report.tables import by_cell, estimate_of, values_of
from research.types import InputError


class Place(NamedTuple):
    """A data set and split that the questions are asked on.

    Attributes:
      dataset, split: as in the names of its records.
      title: on the page.
      short: above a narrow panel of the figure; "" for the title.
    """

    dataset: str
    split: str
    title: str
    short: str = ""

    @property
    def stem(self) -> str:
        """Of the files of its records and choices."""
        return f"{self.dataset}/{file_name(QUESTIONS.name, self.split)}"


PLACES = (
    Place("ml-100k", "ratio", "MovieLens 100K", "100K"),
    Place("ml-1m", "ratio", "MovieLens 1M", "1M"),
    Place("ml-1m", "time", "1M, split in time", "1M in time"),
    Place("electronic", "given", "Electronics"),
    Place("movie", "given", "Movies"),
)
PRIMARY = ("ndcg", CUTOFF)
BESIDE = (("recall", CUTOFF), ("recall", 100), ("recall_item", CUTOFF))
FIGURE = "all-data/questions"
FAR = 0.2  # of the reference: where points beyond it are drawn, at the edge
DRAWN = ["name", "place", "percent", "percent_low", "percent_high", "verdict"]
RULE = (
    "Differences are in percent of the second arm's value, with 95 % intervals over "
    "users and seeds, which are not adjusted. Verdicts are: better or worse, if p is "
    "below 0.05 after Holm over all {} contrasts of this page; else equivalent, if the "
    "tests of equivalence within 2 % say so, likewise adjusted; else undecided. Both "
    "arms were tuned alike on validation: the arm of question 10 and the simple model "
    "that it is compared with are those of highest validation NDCG@20."
)


def write_questions(results: Path, out: Path) -> list[Path]:
    """Writes questions.md, questions.csv and the figure, from records and choices.

    Nothing is written without records of a data set of PLACES.
    """
    ran = {
        place: of_common_seeds(load_records(path), path.stem)
        for place in PLACES
        if (path := results / "records" / f"{place.stem}.npz").is_file()
    }
    if not ran:
        return []
    frame = answers(ran, results / "choices")
    page = markdown_page(
        "Twelve questions",
        RULE.format(int(frame.p.notna().sum())),
        _answers_table(frame),
        _sizes(frame, results / "choices"),
        "The towers on MovieLens have the layers `residual`, all others `added`, the "
        "default ([recipes](../docs/towers.md#the-two-recipes)).",
        f"![Differences by question and data set](figures/{FIGURE}.png)",
        "## What was expected",
        "Expectations were committed before the first run of the grid. *Seen* names "
        "data sets on which both arms had been run before that, tuned, with these "
        "towers or with those that it names: there nothing was predicted. Most had "
        "been seen with the first recipe.",
        _expected_table(frame),
        "## The arms, in NDCG@20",
        _arms_table(ran),
    )
    drawing = questions_figure(frame)
    return [
        replace(out / "questions.md", page.encode()),
        write_csv(out / "questions.csv", frame.to_dict("records")),
        *save_figure(*drawing, out / "figures" / FIGURE),
    ]


def answers(ran: dict[Place, list[RunResult]], choices: Path) -> pd.DataFrame:
    """A row for each question and data set: NDCG@20, then the other metrics.

    Args:
      ran: the results of each data set.
      choices: the folder of choices, which say what validation ranked first.
    """
    parts = []
    for place, results in ran.items():
        validated = _validated(choices / f"{place.stem}.csv")
        asked = [one for one in TWELVE if one.split in ("", place.split)]
        pairs = [(_best(q.arms, validated), _best(q.against, validated)) for q in asked]
        found = contrast_frame(results, [Contrast(*pair, *PRIMARY) for pair in pairs])
        found["id"] = [slug(f"{place.stem} {name}") for name in found.id]
        found.insert(0, "place", place.title)
        found.insert(0, "question", [one.text for one in asked])
        found.insert(0, "number", [one.number for one in asked])
        for metric, k in BESIDE:
            more = contrast_frame(results, [Contrast(*p, metric, k) for p in pairs])
            for name in ("difference", "low", "high"):
                found[f"{metric}@{k}_{name}"] = more[name].to_numpy()
        parts.append(found[~found.note.str.startswith(ABSENT)])
    frame = pd.concat(parts).sort_values("number", kind="stable", ignore_index=True)
    for name in ("p", "p_equivalence"):
        frame[f"{name}_holm"] = holm(frame[name].to_numpy(np.float64))
    rows = frame.to_dict("records")
    frame["verdict"] = [verdict(row) for row in rows]
    return frame


def _validated(path: Path) -> dict[str, float]:
    """NDCG@20 on validation of each arm, of a file of choices."""
    return {row["arm"]: float(row["mean"]) for row in _chosen(path)}


def _chosen(path: Path) -> list[dict[str, str]]:
    """The chosen trials of a file of choices; none where there is no file."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if row["chosen"] == "1"]


def _sizes(frame: pd.DataFrame, choices: Path) -> str:
    """How many users, seeds and trials there are on each data set."""
    sizes = []
    for place in PLACES:
        rows = frame[frame.place == place.title]
        trials = [int(row["trials"]) for row in _chosen(choices / f"{place.stem}.csv")]
        if len(rows):
            users, seeds = rows.users.max(), rows.seeds.max()
            sizes.append(
                f"{place.title}: {users:,.0f} users, {seeds:.0f} seeds, "
                f"{max(trials, default=0)} trials of each arm with values to choose"
            )
    return "; ".join(sizes) + "."


def _best(arms: Sequence[str], validated: dict[str, float]) -> str:
    """The arm that validation says is best; the first one where it knows none."""
    return max(arms, key=lambda arm: validated.get(arm, -np.inf))


def _percent(row: dict[Any, Any]) -> tuple[float, float, float]:
    """A difference and its ends in percent of the reference."""
    share = 100 / row["reference"]
    return share * row["difference"], share * row["low"], share * row["high"]


def _answers_table(frame: pd.DataFrame) -> str:
    """Questions down, data sets across."""
    places = list(dict.fromkeys(frame.place))
    lines = []
    for question, rows in frame.groupby("question", sort=False):
        cells = dict.fromkeys(places, "-")
        for row in rows.to_dict("records"):
            found = interval_text(*_percent(row), "+.1f")
            anchor = f'<a id="{row["id"]}"></a>'
            cells[row["place"]] = f"{anchor}{found}, {verdict_text(row)}"
        pairs = dict.fromkeys(f"`{a}` - `{b}`" for a, b in zip(rows.arm, rows.against))
        number = str(rows.number.iloc[0])
        lines.append([number, str(question), "<br>".join(pairs), *cells.values()])
    return markdown_table(["", "question", "difference of", *places], lines, left=3)


def _expected_table(frame: pd.DataFrame) -> str:
    """What was expected of each question, and how it turned out on each data set."""
    places = list(dict.fromkeys(frame.place))
    lines = []
    for one in TWELVE:
        rows = frame[frame.question == one.text].to_dict("records")
        cells = dict.fromkeys(places, "-")
        cells |= {row["place"]: _outcome(one, row) for row in rows}
        head = [str(one.number), one.text, one.expected.text, one.seen or "-"]
        lines.append([*head, *cells.values()])
    heads = ["", "question", "expected", "seen", *places]
    return markdown_table(heads, lines, left=4)


def _outcome(one: Question, row: dict[Any, Any]) -> str:
    if row["verdict"] in ("", UNTESTED):  # "": an arm failed
        return row["verdict"] or "-"
    return outcome(one.expected.verdict, row["verdict"], within_margin(row))


def _arms_table(ran: dict[Place, list[RunResult]]) -> str:
    """NDCG@20 of every arm on every data set."""
    lines = []
    for arm in QUESTIONS.arms:
        cells = [f"`{arm}`"]
        for results in ran.values():
            try:
                values = values_of(runs_of(by_cell(results), arm, {}), *PRIMARY)
            except InputError:
                cells.append("-")
                continue
            mean, low, high = estimate_of(PRIMARY[0], values).interval()
            cells.append(interval_text(mean, low, high, ".4f"))
        lines.append(cells)
    return markdown_table(["arm", *(place.title for place in ran)], lines, left=1)


def questions_figure(frame: pd.DataFrame) -> Drawing:
    """Draws the differences: questions down, a panel for each data set."""
    rows = frame.dropna(subset=["difference"])
    ends = np.array([_percent(row) for row in rows.to_dict("records")])
    short = {place.title: place.short or place.title for place in PLACES}
    points = rows.assign(
        name=[f"{n}. {text}" for n, text in zip(rows.number, rows.question)],
        percent=ends[:, 0],
        percent_low=ends[:, 1],
        percent_high=ends[:, 2],
        margin=100 * MARGIN,
        panel=[short[place] for place in rows.place],
    )
    far = points.percent.abs() > 100 * FAR
    notes = [
        f"at the edge: {row['name']} {row['percent']:+.0f} % on {row['place']}"
        for row in points[far].to_dict("records")
    ]
    drawn = ["percent", "percent_low", "percent_high"]
    edge = np.sign(points.percent) * 100 * FAR
    shown = points.assign(**{end: points[end].where(~far, edge) for end in drawn})
    title = f"Differences in {METRICS[PRIMARY[0]].title(CUTOFF)}, in percent"
    plot = Plot(
        *("forest", "percent", "name", "verdict"),
        facet="panel",
        title=f"{title} [95 %] (grey: within {100 * MARGIN:g} %)",
        xlabel=" ",
        ylabel=" ",
        columns=5,
    )
    return draw(plot, shown, notes)._replace(points=points[DRAWN])
