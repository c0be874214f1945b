"""Nothing overwritten: a run of some arms or seeds adds to a grid, or renews it."""

import dataclasses

import pytest

from experiments.arms import ARMS
from experiments.grids import GRIDS
from experiments.output.whole import of_common_seeds, whole_cells
from experiments.resolve import expand
from research.config import Config
from research.report.pages import read_table
from research.report.records import RunResult, load_records
from research.types import InputError
from tests.experiments.made import TINY, contents, runs_of


def keys(cells):
    return [(cell.arm, *cell.swept.values(), cell.seed) for cell in cells]


def whole(name, chosen, there, seeds=1):
    """The cells of a grid where those are there that a function says."""
    grid, base = GRIDS[name], Config()
    asked = expand(grid, base, seeds, chosen)

    def named(config):
        if config.logq and "popularity" not in chosen:
            raise InputError("not on these data")
        return config

    return keys(whole_cells(grid, base, asked, named, there))


def test_the_others_that_are_there_stay_in_the_grids_order():
    found = whole("warm", ("tiny",), lambda cell: cell.arm == "popularity")
    assert found == [
        *(("popularity", t, 0) for t in (0.05, 0.2, 1.0)),
        *(("tiny", t, 0) for t in (0.05, 0.2, 1.0)),
    ]
    assert whole("few", ("tiny",), lambda cell: False) == [("tiny", 0)]


def test_seeds_that_are_there_stay_beyond_the_grids_number():
    found = whole("few", ("tiny",), lambda c: c.arm != "tiny+prior" and c.seed < 4)
    assert found == [(arm, n) for arm in ("popularity", "tiny") for n in range(4)]
    found = whole("few", ("popularity",), lambda c: c.arm == "popularity", seeds=3)
    assert found == [("popularity", n) for n in range(3)], "one run is all its seeds"


def test_an_arm_that_the_data_cant_have_is_passed_over():
    found = whole("few", ("tiny",), lambda cell: cell.seed == 0)
    assert found == [("popularity", 0), ("tiny", 0), ("tiny+prior", 0)]


def test_an_arm_of_another_ones_runs_is_there_only_where_it_was_asked_for():
    """As in-batch+logq-id-only is where there are no features."""
    grid, base = GRIDS["few"], Config()

    def named(config):
        same = config.model == "two-tower" and not config.logq
        return dataclasses.replace(base, seed=config.seed) if same else config

    def found(*arms):
        asked = [
            cell._replace(config=named(cell.config))
            for cell in expand(grid, base, 1, arms)
        ]
        there = {"popularity", "tiny", "tiny+prior"}
        cells = whole_cells(
            grid, base, asked, named, lambda c: c.seed == 0 and c.arm in there
        )
        return [cell.arm for cell in cells]

    assert found("tiny") == ["popularity", "tiny"]
    assert found("popularity") == ["popularity", "tiny"]
    assert found("tiny", "tiny+prior") == ["popularity", "tiny", "tiny+prior"]


def test_a_table_has_arms_of_chosen_values_alone_or_arms_at_the_grids_own():
    grid, base = GRIDS["few"], Config()
    chosen = {(arm, "{}"): {"epochs": 7} for arm in ("tiny", "tiny+logq")}

    def found(values):
        asked = expand(grid, base, 1, ("tiny",), False, values)
        cells = whole_cells(
            grid, base, asked, lambda c: c, lambda c: c.seed == 0, False, values
        )
        return {cell.arm: cell.config.epochs for cell in cells}

    assert found(chosen) == {"tiny": 7, "tiny+logq": 7}
    own = found({})
    assert set(own) == set(grid.arms)
    assert 7 not in own.values()


# Seeds that are there of each arm; those that the tables are over; what is said.
SEEDS = {
    "those that most rows have": (
        {"a": (0, 1, 2), "b": (0,), "c": (1,)},
        {"a": (0,), "b": (0,)},
        "over 1 of the seeds, 2 of 5 runs; c left out",
    ),
    "all rows have them": ({"a": (0, 1, 2)}, {"a": (0, 1, 2)}, ""),
    "an arm of one seed takes none from the others": (
        {"a": (0, 1, 2), "b": (0, 1, 2), "c": (0,)},
        {"a": (0, 1, 2), "b": (0, 1, 2)},
        "c left out, with fewer",
    ),
    "of two": (
        {"a": (0, 1, 2), "b": (0,)},
        {"a": (0,), "b": (0,)},
        "over 1 of the seeds",
    ),
    "most rows lack seed 0": (
        {"popularity": (0, 1, 2), "a": (1, 2), "b": (1, 2), "c": (0,)},
        {"popularity": (1, 2), "a": (1, 2), "b": (1, 2)},
        "over 2 of the seeds, 6 of 8 runs; c left out",
    ),
    "none": ({}, {}, ""),
}


def results_of(rows):
    return [RunResult(arm, {}, seed) for arm, seeds in rows.items() for seed in seeds]


@pytest.mark.parametrize("case", SEEDS)
def test_tables_are_over_common_seeds(case, capsys):
    rows, kept, said = SEEDS[case]
    assert of_common_seeds(results_of(rows), "few") == results_of(kept)
    told = capsys.readouterr().err
    assert said in told
    assert bool(told) == bool(said)


def test_a_baseline_without_a_seed_does_not_decide_the_number_of_seeds():
    """Its one run stands for every seed that is asked for."""
    rows = {"popularity": 3, "ease": 3, "in-batch": 3, "in-batch+logq": 2, "mixed": 2}
    results = results_of({arm: range(n) for arm, n in rows.items()})
    assert of_common_seeds(results) == results_of(dict.fromkeys(rows, (0, 1)))
    alone = [r for r in results if r.arm in ("popularity", "ease")]
    assert of_common_seeds(alone) == alone


def test_without_the_reference_the_first_arm_is_one(done, tmp_path, monkeypatch):
    monkeypatch.setitem(ARMS, "tiny-long", {**TINY["tiny"], "epochs": 3})
    words = ("run", "killed", "--out", tmp_path, "--arms")
    done(*words, "tiny", "--seeds", "1")
    called = done(*words, "tiny-long", "tiny+logq", "--seeds", "2")
    assert "without tiny, differences are from tiny-long\n" in called.out
    frame = read_table(tmp_path / "tables" / "ml-100k" / "killed.csv")
    assert set(frame.against) == {"", "tiny-long"}
    done("report", "killed", "--out", tmp_path)
    again = read_table(tmp_path / "tables" / "ml-100k" / "killed.csv")
    assert again.equals(frame), "records keep the reference"


def test_a_run_of_one_arm_leaves_the_tables_of_all(done, few):
    derived = ("tables", "figures", "records", "runs/ml-100k")
    before = {n: b for n, b in contents(few).items() if n.startswith(derived)}
    assert len(before) > 5
    called = done("run", "few", "--arms", "tiny", "--seeds", "1", "--out", few)
    assert called.err == ""
    after = {n: b for n, b in contents(few).items() if n.startswith(derived)}
    assert after == before


def test_a_smoke_run_lies_apart(call, done, few):
    before = contents(few)
    arms = ("--seeds", "1", "--arms", "popularity", "--quick")
    done("run", "few", *arms, "--out", few)
    after = contents(few)
    assert {n: after[n] for n in before} == before
    assert {n.split("/")[0] for n in after.keys() - before.keys()} == {"quick"}
    done("check", "--results", few / "quick")
    report = "report", "few", "--out", few / "quick"
    done(*report)
    (few / "quick" / "records" / "ml-100k" / "few.npz").unlink()
    refused = call(*report)
    assert refused.status == 2
    assert f"run few --dataset ml-100k --out {few} --quick gathers" in refused.err


def test_records_of_runs_that_were_lost_are_named_with_their_command(call, done, few):
    records = few / "records" / "ml-100k" / "few.npz"
    table = few / "tables" / "ml-100k" / "few.csv"
    made, rows = table.read_bytes(), len(load_records(records))
    records.unlink()
    table.unlink()
    called = call("report", "few", "--out", few)
    assert called.status == 2
    command = f"run few --dataset ml-100k --out {few} gathers them"
    assert command in called.err
    done("run", "few", "--arms", "popularity", "--out", few)
    assert len(load_records(records)) == rows, "of every arm"
    assert table.read_bytes() == made
    assert len(runs_of(few, "few")) == 5
