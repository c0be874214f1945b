"""A study's arms on a published split: which values are chosen, what is refused."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments.grid import Cell
from experiments.studies import STUDIES, split
from experiments.study import StudyOptions
from research.config import Config
from research.types import InputError

SHIFT = STUDIES["shift"]


def write_split(folder: Path, draw: np.random.Generator) -> None:
    """A folder with made interactions, a fifth of them test."""
    users, items = np.nonzero(draw.random((100, 120)) < 0.2)
    part = np.where(draw.random(len(users)) < 0.2, "test", "train")
    folder.mkdir(parents=True)
    frame = pd.DataFrame({"user": users, "item": items, "part": part})
    frame.to_csv(folder / "interactions.csv", index=False)


def test_an_arm_takes_the_first_of_its_best_values(tmp_path, monkeypatch):
    swept = [{"temperature": t, "learning_rate": 0.1} for t in (0.1, 0.2, 0.4)]
    cells = [
        Cell(arm, values, 0, Config(temperature=values["temperature"]))
        for arm in ("in-batch", "mixed")
        for values in swept
    ]
    heights = dict(zip(range(6), (0.1, 0.3, 0.3, 0.3, 0.2, 0.1), strict=True))
    monkeypatch.setattr(split.Split, "trained", lambda *of: cells)
    place = split.Split(SHIFT, tmp_path, StudyOptions(tmp_path), {}, {})
    monkeypatch.setattr(split.Split, "folder", lambda _, c: Path(str(cells.index(c))))
    monkeypatch.setattr(
        split,
        "read_json",
        lambda path: {"ndcg": {"20": heights[int(path.parent.name)]}},
    )
    assert place.chosen() == {"in-batch": cells[1], "mixed": cells[3]}


def test_the_shifted_split_may_be_absent(tmp_path):
    (tmp_path / "made").mkdir()
    options = StudyOptions(tmp_path, str(tmp_path / "made"))
    with pytest.raises(InputError, match="made-popularity: no such folder"):
        split.splits_of(SHIFT, options, {}, {})
    assert [*split.splits_of(SHIFT, options, {}, {}, both=False)] == ["random"]
    (tmp_path / "made-popularity").mkdir()
    for both in (True, False):
        found = split.splits_of(SHIFT, options, {}, {}, both)
        assert [*found] == ["random", "shifted"]
        assert found["shifted"].path == tmp_path / "made-popularity"


@pytest.mark.parametrize("name", ["at-k", "calibrated-shift", "shift"])
def test_without_its_data_it_is_refused(tmp_path, name):
    (tmp_path / "made").mkdir()
    half = [] if name == "at-k" else ["made"]  # it needs no shifted split beside it
    for place in ("ml-100k", *(str(tmp_path / one) for one in ("nowhere", *half))):
        with pytest.raises(InputError, match=f"no such folder; study {name} needs"):
            STUDIES[name].run.load()(StudyOptions(tmp_path, place))
