"""What a grid is: a question, arms by swept values by seeds, and its quick variant."""

import dataclasses
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from experiments.recipe import FIRST
from experiments.topics import OTHERS, TOPICS
from research.config import REFERENCE
from research.contrast import Contrast
from research.evaluate.metrics import METRICS
from research.marks import Range
from research.registry import deferred
from research.types import InputError, check_distinct, choose

MOST_SEEDS = Range(1, 10_000)

Sweep = dict[str, tuple[float, ...]]  # of fields, or of values such as "extra.mix"

# The first recipe at the best temperature for in-batch+logq on MovieLens 100K.
AT_BEST: dict[str, Any] = {**FIRST, "temperature": 0.2}

# Changes for data sets on which a run takes ten times as long, by name.
SHORTER: dict[str, dict[str, Any]] = {"ml-1m": {"batch": 1024, "epochs": 10}}

# Figures of grids that name none: differences from the reference, or contrasts.
ARMS_FIGURE: dict[str, Callable[..., Any]] = {
    "arms": deferred("research.report.figures:forest_figure")
}
POINTS_FIGURE: dict[str, Callable[..., Any]] = {
    "arms": deferred("research.report.figures:arms_figure")
}


@dataclass(frozen=True)
class OfContrasts:
    """A figure that is drawn from the frame of a grid's contrasts: frame -> Drawing."""

    draw: Callable[..., Any]


CONTRASTS_FOREST = deferred("research.report.figures:contrasts_figure")
CONTRASTS_FIGURE = {"arms": OfContrasts(CONTRASTS_FOREST)}


@dataclass(frozen=True)
class Tuning:
    """Validation chooses values of each arm (experiments/tuner.py).

    Attributes:
      as_trained: arms whose question is a model without a prior: none is chosen.
    """

    as_trained: tuple[str, ...] = ()


@dataclass(frozen=True)
class Prediction:
    """What is expected, committed before the first run; it stands under the tables.

    Attributes:
      text: what is expected, and the rule of its verdict.
      on: the data sets that it was made for; none for every data set and split.
      contrasts: further ones that parts of it are about, declared after the runs, with
        what is expected of them; a family of their own, so that they change no p value
        of the grid's contrasts.
      not_judged: parts of it that no record can judge, each with the reason.
    """

    text: str = ""
    on: tuple[str, ...] = ()
    contrasts: tuple[Contrast, ...] = ()
    not_judged: tuple[str, ...] = ()


@dataclass(frozen=True)
class Elsewhere:
    """What differs on other data, by the name of the data set.

    Attributes:
      changes: made to every run, beneath those of its arm.
      minutes: how long it takes.
    """

    changes: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    minutes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Experiment:
    """A named question: what grids and studies share.

    Attributes:
      name: unique among grids and studies; files are named after it.
      question: the title of its tables.
      minutes: how long it takes on MovieLens 100K, or what has its place, on 2 cores.
      topic: the one that lists put it under (experiments/topics.py).
      prediction: what is expected.
      elsewhere: what differs on other data.
    """

    name: str
    question: str
    minutes: str
    topic: str = OTHERS
    prediction: Prediction = Prediction()
    elsewhere: Elsewhere = Elsewhere()

    def but(self, **changes: Any) -> Self:
        """The same with other attributes."""
        return dataclasses.replace(self, **changes)


@dataclass(frozen=True)
class Grid(Experiment):
    """A question that training runs answer: arms by swept values by seeds.

    Attributes:
      arms: names in ARMS.
      reference: the arm that differences in the tables are taken from.
      seeds: how many seeds each combination is trained with.
      swept: values by the name of the field, for every arm without sweeps of its own.
      arm_sweeps: an arm's own sweeps, one after the other, instead of the common one
        ({} is a run with nothing swept); fields may be of structure, and switches.
      changes: made to every run, beneath those of its arm.
      tuning: what validation chooses; None where arms keep their own values.
      contrasts: the comparisons that answer the question, declared before its first
        run, as in ``(Contrast("in-batch+logq", "full-softmax", "recall", 100),)``.
        Their p values are adjusted together; they have tables of their own.
      note: stands under the tables: what their numbers must not be taken for.
      figures: functions from its long table to a Drawing, or OfContrasts, by the end of
        their files' names; {} for none. They are ``deferred``, as tables are, so that
        naming them loads neither matplotlib nor pandas.
      tables: functions that write further tables: (results, long table, path of that
        table without its end) -> the paths written.
    """

    arms: tuple[str, ...] = ()
    reference: str = ""
    seeds: int = 5
    swept: Sweep = field(default_factory=dict)
    arm_sweeps: Mapping[str, tuple[Sweep, ...]] = field(default_factory=dict)
    changes: Mapping[str, Any] = field(default_factory=dict)
    tuning: Tuning | None = None
    contrasts: tuple[Contrast, ...] = ()
    note: str = ""
    figures: Mapping[str, Callable[..., Any] | OfContrasts] = field(
        default_factory=lambda: ARMS_FIGURE
    )
    tables: tuple[Callable[..., list[Path]], ...] = ()

    @property
    def swept_fields(self) -> list[str]:
        """Every field that some arm sweeps, in order of appearance."""
        own = [sweep for sweeps in self.arm_sweeps.values() for sweep in sweeps]
        return list(
            dict.fromkeys(name for sweep in (self.swept, *own) for name in sweep)
        )

    @property
    def prediction_split(self) -> str:
        """The split that its prediction was made for."""
        return str(self.changes.get("split", REFERENCE.split))

    def predicts(self, dataset: str, split: str) -> bool:
        """Whether its prediction was made for a data set and a split."""
        if not self.prediction.on:
            return bool(self.prediction.text)
        return dataset in self.prediction.on and split == self.prediction_split

    def folder(self, dataset: str) -> str:
        """The folder of its results: that of the data set."""
        return dataset


def check_grid(grid: Grid) -> None:
    """Compares the names in a grid with each other and with the registries.

    Raises:
      InputError: a name that can't be a file's; an arm or a swept value that is given
        twice; an arm of a contrast or the reference that isn't among the arms; an
        unknown metric or topic; contrasts with one id.
    """
    if not re.fullmatch(r"[\w.+-]+", grid.name):
        raise InputError(
            f"grid '{grid.name}': files are named after it; use letters, digits and "
            ". + - _ only"
        )
    choose(grid.topic, TOPICS, f"topic of {grid.name}")
    check_distinct(grid.arms, f"arms of grid {grid.name}")
    own = [sweep for sweeps in grid.arm_sweeps.values() for sweep in sweeps]
    for sweep in (grid.swept, *own):
        for name, values in sweep.items():
            check_distinct(values, f"{name} of grid {grid.name}")
    among = dict.fromkeys(grid.arms)
    choose(grid.reference, among, f"reference of {grid.name}")
    for contrast in (*grid.contrasts, *grid.prediction.contrasts):
        for name in (contrast.arm, contrast.against):
            choose(name, among, f"arm in a contrast of {grid.name}")
        choose(contrast.metric, METRICS, f"metric in a contrast of {grid.name}")
    for family in (grid.contrasts, grid.prediction.contrasts):
        ids = [contrast.id for contrast in family]
        if twice := [name for name in dict.fromkeys(ids) if ids.count(name) > 1]:
            raise InputError(
                f"two contrasts of {grid.name} have the name {twice[0]} in links: "
                f"leave one out, or name an arm otherwise"
            )
