"""Published validation parts: files of train pairs that are taken out of training."""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments.loaded import prepared_run
from experiments.studies.outside import (
    CHOSEN,
    NUMBERS,
    PROTOCOLS,
    Run,
    dataset_of,
    measured,
    phase,
)
from research.types import InputError
from tests.studies.given import given_folder


def test_a_published_validation_part_is_taken_out_of_training(tmp_path):
    data = given_folder(tmp_path / "data" / "made")
    rows = pd.read_csv(data / "made" / "interactions.csv")
    train = rows[rows.part == "train"]
    held = train.groupby("user").head(2)
    file = data / "made" / PROTOCOLS["validated"].validation
    held[["user", "item"]].to_csv(file, index=False)
    run = Run("made", "validated", "popularity")
    dataset = dataset_of(run, str(data), tmp_path / "out")
    fold = prepared_run(phase(run, 0, dataset)).fold
    assert len(fold.fitted.user) == len(train) - len(held)
    assert len(fold.held_user) == (rows.part == "test").sum()
    later = dataclasses.replace(phase(run, 0, dataset), fit_on="train")
    assert len(prepared_run(later).fold.held_user) == len(held)

    packed = file.with_name(file.name + ".gz")
    held[["user", "item"]].to_csv(packed, index=False)
    with pytest.raises(InputError, match=f"{file.name} and {packed.name}"):
        dataset_of(run, str(data), tmp_path / "elsewhere")
    file.unlink()
    again = dataset_of(run, str(data), tmp_path / "packed")
    assert Path(again).read_bytes() == Path(dataset).read_bytes()
    packed.unlink()

    file.write_text("user,item\n0,no such item\n")
    with pytest.raises(InputError, match="a pair of it is no train pair"):
        dataset_of(run, str(data), tmp_path / "elsewhere")
    file.write_text("user\n0\n")
    with pytest.raises(InputError, match="no column item, but user"):
        dataset_of(run, str(data), tmp_path / "elsewhere")
    (folder := data / "made").joinpath("interactions.csv.gz").touch()
    with pytest.raises(InputError, match=r"interactions.csv and interactions.csv.gz"):
        dataset_of(run, str(data), tmp_path / "elsewhere")
    for path in folder.glob("interactions*"):
        path.unlink()
    with pytest.raises(InputError, match=r"interactions.csv: no such file"):
        dataset_of(run, str(data), tmp_path / "elsewhere")
    file.unlink()
    with pytest.raises(InputError, match=r"2024\.csv: no such file"):
        dataset_of(run, str(data), tmp_path / "elsewhere")


def test_users_with_few_train_pairs_may_validate_nothing_and_are_judged(tmp_path):
    data = given_folder(tmp_path / "data" / "made")
    rows = pd.read_csv(data / "made" / "interactions.csv")
    train = rows[rows.part == "train"]
    held = train.groupby("user").head(1)
    held[["user", "item"]].to_csv(
        data / "made" / PROTOCOLS["validated"].validation, index=False
    )
    name, changes = "rounded down", {"batch": 64, "epochs": 5, "dim": 8}
    least = int(train.groupby("user").size().median())
    rounded = PROTOCOLS["validated, rounded down"]._replace(least=least)
    run = Run("made", name, "mf-dot", changes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PROTOCOLS, name, rounded)
        dataset = dataset_of(run, str(data), tmp_path / "out")
        config = phase(run, 0, dataset)
        views = measured(run, 0, dataset)
    test = prepared_run(config).fold
    choice = prepared_run(dataclasses.replace(config, fit_on="train")).fold
    enough = (train.groupby("user").size() >= least).sum()
    assert len(choice.evaluated) == enough < len(test.evaluated)
    assert len(test.fitted.item) == len(train) - enough
    assert np.isfinite(views[CHOSEN][0, NUMBERS.index("ndcg@20")])
