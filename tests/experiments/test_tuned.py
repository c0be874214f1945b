"""The choices that grids use are those of the committed trials, alike for every arm."""

import dataclasses
import re
from pathlib import Path

import pandas as pd
import pytest

import experiments.tuned as module
from experiments.arms import arm
from experiments.collect import choices_note, report
from experiments.grid import Elsewhere, Tuning
from experiments.grids import GRIDS
from experiments.resolve import expand, has_choices, how_tuned, nothing_tuned
from experiments.tuned import (
    FIELDS,
    PATH,
    SELECTORS,
    TRIALS,
    chosen,
    main,
    tables,
    tuned,
)
from research.config import Config
from research.evaluate.metrics import CUTOFF
from research.report.pages import csv_text, read_table
from research.report.records import (
    RunResult,
    save_records,
    save_stored,
    study_header,
)
from research.types import InputError
from tests.experiments.made_trials import made_trials
from tests.report.made import made_record

RESULTS = Path(__file__).parents[2] / "results"
COMMITTED = [
    (line.dataset, line.split)
    for line in pd.read_csv(PATH)[["dataset", "split"]].drop_duplicates().itertuples()
]


@pytest.mark.slow
def test_the_committed_choices_are_those_of_the_committed_trials():
    lines = []
    for dataset, split in COMMITTED:
        for path in tables(RESULTS, dataset, split):
            lines.append(chosen(read_table(path), dataset, split))
    assert csv_text(pd.concat(lines)) == PATH.read_text()


@pytest.mark.parametrize("name", TRIALS)
def test_the_committed_trials_are_those_that_the_grid_declares(name):
    grid, frame = GRIDS[name], read_table(RESULTS / f"tables/ml-100k/{name}.csv")
    rows = frame[(frame.metric == "ndcg") & (frame.k == 20)]
    ran = [
        (row.arm, {f: float(row[f]) for f in grid.swept_fields if pd.notna(row[f])})
        for _, row in rows.iterrows()
    ]
    declared = [
        (cell.arm, {field: float(value) for field, value in cell.swept.items()})
        for cell in expand(grid, Config(), seeds=1)
    ]
    assert sorted(ran, key=str) == sorted(declared, key=str)


def test_the_page_names_the_grids_whose_arms_are_tuned():
    page = (RESULTS.parent / "docs" / "how-to-choose.md").read_text()
    names = r"In the grids ((?:`[a-z-]+`[,\s]+|and\s+)+)each arm is tuned on validation"
    (named,) = re.findall(names, page)
    on_ratio = {
        name
        for name, grid in GRIDS.items()
        if grid.tuning and not grid.tuning.by_validation
    }
    # On other splits, and grids whose arms all have one arm's values.
    on_ratio -= {"future-tuned", "other-data", "sample-size", "push"}
    assert set(re.findall("`([a-z-]+)`", named)) == on_ratio


def test_a_choice_at_an_end_of_what_was_tried_is_said():
    """Of two values every choice is at an end: nothing is said of the learning rate."""
    frame = made_trials(
        a={0.1: (0.1, 0.1), 0.2: (0.2, 0.1), 0.4: (0.3, 0.1)},
        b={0.1: (0.1, 0.1), 0.2: (0.2, 0.1), 0.4: (0.1, 0.3)},
        c={0.1: (0.3, 0.1), 0.2: (0.2, 0.1), 0.4: (0.1, 0.1)},
    )
    first, second = module.at_an_end(frame, chosen(frame, "made"))
    assert first.startswith("a: temperature 0.4 is the highest of those tried")
    assert second.startswith("c: temperature 0.1 is the lowest of those tried")


def test_each_selector_takes_its_own_best_trial():
    frame = made_trials(
        a={0.1: (0.3, 0.1), 0.2: (0.2, 0.4)}, b={0.1: (0.1, 0.1), 0.2: (0.1, 0)}
    )
    out = chosen(frame, "made").set_index(["selector", "arm"])
    assert out.temperature["ndcg", "a"] == 0.1
    assert out.temperature["recall_item", "a"] == 0.2
    assert out.temperature["ndcg", "b"] == 0.1  # of equally good ones the first
    assert (out.trials == 2).all()


def test_epochs_are_chosen_where_they_were_tried():
    frame = made_trials(a={0.1: (0.3, 0.1), 0.2: (0.2, 0.4)})
    assert chosen(frame, "made").epochs.isna().all()
    frame["epochs"] = frame.temperature.map({0.1: 3, 0.2: 10})
    assert chosen(frame, "made").epochs.tolist() == [3, 10]


def test_a_variant_has_a_choice_of_its_own():
    """Each value that was changed beside what is chosen makes a variant of the arm."""
    frame = made_trials(a={0.1: (0.3, 0.1), 0.2: (0.2, 0.4)})
    other = made_trials(a={0.1: (0.1, 0.1), 0.2: (0.2, 0.2)}).assign(batch=64.0)
    out = chosen(pd.concat([frame, other]), "made")
    best = out[out.selector == "ndcg"].set_index("variant").temperature
    assert best.to_dict() == {"": 0.1, "batch 64": 0.2}


def test_cells_of_a_grid_take_what_was_chosen_for_their_variant():
    def values(grid, name, **swept):
        (config,) = [
            cell.config
            for cell in expand(GRIDS[grid], Config(), seeds=1)
            if cell.arm == name and cell.swept == swept
        ]
        return {"temperature": config.temperature, "rate": config.learning_rate}

    def chose(name, changed=""):
        both = tuned("ml-100k", name, changed=changed)
        return {"temperature": both["temperature"], "rate": both["learning_rate"]}

    plain, small = chose("in-batch+logq"), chose("in-batch+logq", "batch 64")
    assert plain != small
    assert values("negatives", "in-batch+logq") == plain
    assert values("negatives", "in-batch+logq", batch=64) == small
    assert values("negatives", "mixed+logq", draws=64) == chose(
        "mixed+logq", "draws 64"
    )
    # a batch that is the arm's own is no variant; switches that cancel share a choice
    at_512 = {"batch": 512, "correct_positive": 1}
    assert values("correction", "in-batch+logq", **at_512) == plain
    for own in (0, 1):
        switches = {"leave_own_out": own, "expected_count": 1 - own}
        at_64 = {"batch": 64, "correct_positive": 1, **switches}
        assert values("correction", "in-batch+logq", **at_64) == small
        uncorrected = chose("in-batch+logq", "batch 64 correct_positive 0")
        at_64["correct_positive"] = 0
        assert values("correction", "in-batch+logq", **at_64) == uncorrected


def test_a_data_set_without_all_choices_leaves_the_arms_as_they_are():
    grid, base = GRIDS["negatives"], Config(dataset="ml-1m")
    assert has_choices(grid, Config())
    assert not has_choices(grid, base)
    for cell in expand(grid, base, seeds=1):
        assert cell.config.temperature == base.temperature


TUNED = ("in-batch+logq", "full-softmax")  # of the grid losses, on MovieLens 1M


def test_arms_that_are_tuned_take_their_values_where_the_others_are_not_run():
    grid, base = GRIDS["losses"], Config(dataset="ml-1m")
    assert has_choices(grid, base, TUNED)
    for cell in expand(grid, base, 1, TUNED):
        values = tuned("ml-1m", cell.arm)
        assert {name: getattr(cell.config, name) for name in values} == values
    own = grid.changes["temperature"]
    cells = expand(grid, base, 1, (*TUNED, "hinge"))
    assert {cell.config.temperature for cell in cells} == {own}
    line = nothing_tuned(grid, base, (*TUNED, "hinge", "bpr"))
    assert line.startswith("Nothing was tuned for bpr, hinge on ml-1m, split ratio:")
    line = nothing_tuned(grid, base, ("hinge", "bpr"))
    assert line.startswith("Nothing was tuned on ml-1m, split ratio:")


@pytest.mark.parametrize("arms", [TUNED, (*TUNED, "hinge")])
def test_the_note_on_choices_goes_by_the_arms_that_were_run(arms):
    grid, base = GRIDS["losses"], Config(dataset="ml-1m")
    results = [
        RunResult(
            *(cell.arm, {}, 0, made_record(seed=n)),
            settings={name: float(getattr(cell.config, name)) for name in FIELDS},
        )
        for n, cell in enumerate(expand(grid, base, 1, arms))
    ]
    note = choices_note(results, grid, base)
    assert ("were best on validation" in note) is (arms == TUNED)
    assert ("Nothing was tuned for hinge on ml-1m" in note) is (arms != TUNED)


def test_a_data_set_that_is_a_path_has_the_trials_of_its_name():
    base = Config(dataset="/data/electronic", split="given")
    cells = expand(GRIDS["tuning"], base, 1, ("in-batch",))
    assert len({cell.config.epochs for cell in cells}) > 1
    changed = GRIDS["ssb"].but(
        elsewhere=Elsewhere(changes={"electronic": {"batch": 64}})
    )
    batches = {cell.config.batch for cell in expand(changed, base, 1, ("in-batch",))}
    assert batches == {64}


def test_an_arm_that_takes_the_values_of_another_needs_none_of_its_own():
    grid, slow = GRIDS["history"], "encoder-self-attention"
    with pytest.raises(InputError, match=slow):
        tuned("ml-100k", slow)
    assert has_choices(grid, Config())
    by_arm = {cell.arm: cell.config for cell in expand(grid, Config(), seeds=1)}
    values = tuned("ml-100k", grid.tuning.as_arm[slow])
    assert {name: getattr(by_arm[slow], name) for name in values} == values
    # where nothing was chosen the temperature is the grid's
    for cell in expand(grid, Config(dataset="ml-1m", split="last"), seeds=1):
        assert cell.config.temperature == grid.changes["temperature"]


def test_a_page_names_the_arm_whose_values_another_takes():
    grid, base = GRIDS["history"], Config()
    ((slow, model),) = grid.tuning.as_arm.items()
    settings = {"temperature": 0.2, "learning_rate": 0.002}
    ran = [RunResult(name, {}, 0, settings=settings) for name in (slow, model)]
    assert f"`{slow}` has those of `{model}`." in how_tuned(ran, base, grid)
    assert "has those of" not in how_tuned(ran[1:], base, grid)
    both = ran + [ran[0]._replace(arm="other")]
    grid = grid.but(tuning=Tuning({**grid.tuning.as_arm, "other": model}))
    text = how_tuned(both, base, grid)
    assert f"`{slow}`, `other` have those of `{model}`." in text


def test_the_note_says_that_choices_know_nothing_of_options_of_the_data():
    """They are kept by data set and split: at another threshold they may not suit."""
    grid, base = GRIDS["fair"], Config()
    fields = ("temperature", "learning_rate")
    results = [
        RunResult(
            *(cell.arm, {}, 0, made_record(seed=n)),
            settings={name: getattr(cell.config, name) for name in fields},
        )
        for n, cell in enumerate(expand(grid, base, 1, ("in-batch", "full-softmax")))
    ]
    for threshold, said in ((3.0, True), (4.0, False)):
        other = dataclasses.replace(base, threshold=threshold)
        note = choices_note(results, grid, other)
        assert "were best on validation" in note
        assert ("with threshold 3 others may be best" in note) is said


def test_a_page_says_what_its_records_say_of_choices(tmp_path):
    header = {"dataset": "ml-100k", "split": "ratio", "quick": True, "data_digest": ""}
    run = RunResult("full-softmax", {}, 0, made_record(seed=0))
    records = tmp_path / "records" / "ml-100k" / "fair.npz"
    save_records(records, [run], {**header, "choices": "Chosen by nobody."})
    report(GRIDS["fair"], records, tmp_path)
    page = (tmp_path / "tables" / "ml-100k" / "fair.md").read_text()
    assert "Chosen by nobody." in page


def test_unequal_trials_are_refused():
    frame = made_trials(a={0.1: (0.3, 0.1), 0.2: (0.2, 0.4)}, b={0.1: (0.1, 0.1)})
    with pytest.raises(InputError, match="different numbers of trials"):
        chosen(frame, "made")


def test_a_tuned_grid_sets_what_was_chosen_and_leaves_baselines_alone():
    cells = expand(GRIDS["fair"], Config(), seeds=1)
    by_arm = {cell.arm: cell.config for cell in cells}
    for name in ("in-batch+logq", "full-softmax"):
        values = tuned("ml-100k", name)
        assert {field: getattr(by_arm[name], field) for field in values} == values
        assert set(values) == {"temperature", "learning_rate"}
        assert by_arm[name].logq == arm(name).logq
    assert by_arm["ease"].temperature == Config().temperature
    # what serves another arm's model takes that model's values, so that it is one run
    prior, plain = by_arm["in-batch+prior"], by_arm["in-batch"]
    assert (prior.temperature, prior.prior, plain.prior) == (
        plain.temperature,
        1.0,
        0.0,
    )


def test_a_data_set_without_choices_is_one_line():
    with pytest.raises(InputError, match="run tuning"):
        expand(GRIDS["fair"], Config(dataset="ml-20m"), seeds=1)


def test_no_trials_is_one_line(tmp_path, capsys):
    assert main([str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.slow
def test_new_choices_take_the_place_of_the_old_ones(tmp_path, monkeypatch):
    path = tmp_path / "tuned.csv"
    old = pd.read_csv(PATH)
    path.write_text(csv_text(old.assign(value=0.0)))
    monkeypatch.setattr(module, "PATH", path)
    for dataset, split in COMMITTED:
        assert main([str(RESULTS), dataset, split]) == 0
    assert path.read_text() == PATH.read_text()


def test_choices_that_the_new_tables_lack_are_kept(tmp_path, monkeypatch, capsys):
    path = tmp_path / "tuned.csv"
    monkeypatch.setattr(module, "PATH", path)
    where = {"dataset": "made", "split": "random"}
    both = made_trials(
        a={0.1: (0.1, 0.1), 0.2: (0.2, 0.2)}, b={0.1: (0.1, 0.1), 0.2: (0, 0)}
    )
    small = both[both.arm == "a"].assign(batch=64.0)
    old = chosen(pd.concat([both, small]), *where.values())
    path.write_text(csv_text(old))
    table = tmp_path / "out" / "tables" / "made" / "tuning-random.csv"
    table.parent.mkdir(parents=True)
    table.write_text(csv_text(made_trials(a={0.3: (0.3, 0.3), 0.4: (0, 0)})))
    assert main([str(tmp_path / "out"), *where.values()]) == 0
    assert "kept 4 choices that these tables don't have, of b, a" in (
        capsys.readouterr().out
    )
    new = pd.read_csv(path).fillna({"variant": ""})
    best = new[new.selector == "ndcg"].set_index(["arm", "variant"]).temperature
    assert best.to_dict() == {("a", ""): 0.3, ("a", "batch 64"): 0.2, ("b", ""): 0.1}
    assert len(new) == len(old)


def test_words_and_trials_that_cannot_be_meant_are_one_line(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(module, "PATH", tmp_path / "tuned.csv")
    rows = [
        (arm, metric, CUTOFF, temperature, 1e-3, 2, 0.1)
        for arm, temperature in (("one", 0.1), ("one", 0.2), ("two", 0.1))
        for metric in SELECTORS
    ]
    fields = ("temperature", "learning_rate", "epochs")
    names = ["arm", "metric", "k", *fields, "mean"]
    where = tmp_path / "tables" / "ml-100k" / "tuning.csv"
    where.parent.mkdir(parents=True)
    pd.DataFrame(rows, columns=names).to_csv(where, index=False)
    module.PATH.write_text(PATH.read_text().splitlines()[0] + "\n")
    for words in ([str(tmp_path)], ["out", "ml-100k", "ratio", "more"]):
        assert main(words) == 2
        assert capsys.readouterr().err.count("\n") == 1


def test_the_choices_of_a_smoke_run_are_refused(tmp_path, capsys, monkeypatch):
    path = tmp_path / "tuned.csv"
    path.write_text(PATH.read_text())
    monkeypatch.setattr(module, "PATH", path)
    table = RESULTS / "tables" / "ml-100k" / "tuning.csv"
    copy = tmp_path / "tables" / "shop" / "tuning-random.csv"
    copy.parent.mkdir(parents=True)
    copy.write_text(table.read_text())
    header = study_header("tuning", "shop", quick=True)
    save_stored(tmp_path / "records" / "shop" / "tuning-random.npz", header, {})
    assert main([str(tmp_path), "shop", "random"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "smoke run" in said
    assert path.read_text() == PATH.read_text()
