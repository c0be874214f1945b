"""Trials on validation: the same for every arm, chosen by mean, found again."""

import csv
import dataclasses
from pathlib import Path

import numpy as np
import pytest

from experiments import finish, tuner
from experiments.collect import report
from experiments.grid import Tuning
from experiments.grids import GRIDS
from experiments.looks import PRIORS
from experiments.notebook import load_run
from experiments.output.folders import id_of
from experiments.resolve import Cell, expand, key_of
from experiments.tuner import (
    OPTIONS,
    TOWERS,
    Choice,
    Trial,
    Values,
    _best,
    _choice,
    _points,
    _read,
    _rows,
    _trials,
    how_chosen,
    known,
)
from research.baselines import option_values
from research.config import Config
from research.files import read_json
from research.marks import check_marks
from research.report.pages import read_table
from research.report.records import (
    RunResult,
    load_records,
    read_header,
    save_records,
)
from tests.experiments.made import runs_of
from tests.report.made import made_record
from tests.world import made_ratings

RESULTS = Path(__file__).parents[2] / "results"
COMMITTED = sorted((RESULTS / "choices").glob("*/*.csv"))


def rows(out, grid="few"):
    with (out / "choices" / "ml-100k" / f"{grid}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def trial(ndcg, number=0, seed=0, prior="best"):
    config = Config(fit_on="train", evaluate_every=1, evaluate_prior=prior)
    cell = Cell("in-batch", {}, seed, dataclasses.replace(config, seed=seed))
    values = {"temperature": 0.1 + number}
    return Trial(("in-batch", "{}"), number, values, cell, np.array(ndcg))


def looks(*best):
    """NDCG by epoch and prior: the best prior is the third one."""
    table = np.zeros((len(best), len(PRIORS)))
    table[:, 2] = best
    return table


def test_points_are_those_of_every_arm_and_lie_within_their_ranges():
    first = _points(TOWERS, 8)
    assert first == _points(TOWERS, 8)
    assert first[0] == {}, "the arm's own values"
    assert len({tuple(point.items()) for point in first}) == 8
    assert _points(TOWERS, 16)[:8] == first, "more trials begin with the fewer"
    for point in first[1:]:
        check_marks(dataclasses.replace(Config(), **point), Config)
        for name, value in point.items():
            assert TOWERS[name].low <= value <= TOWERS[name].high
    temperatures = [point["temperature"] for point in _points(TOWERS, 33)[1:]]
    assert min(temperatures) < 0.05 < 0.4 < max(temperatures)


@pytest.mark.parametrize("model", OPTIONS)
def test_points_of_a_baseline_are_options_that_it_has(model):
    for point in _points(OPTIONS[model], 9):
        words = tuple(f"{name}={value:g}" for name, value in point.items())
        option_values(",".join([model, *words]))


def test_a_value_is_tried_in_proportion():
    values = [Values(0.01, 1.0).at(share) for share in (0, 0.25, 0.5, 0.75)]
    assert values == pytest.approx([0.01, 0.0316, 0.1, 0.316], abs=1e-3)
    assert Values(0.0, 0.8).at(0.5) == 0.4, "in equal steps from 0"
    assert Values(5, 500, whole=True).at(0.5) == 50


def test_a_value_near_an_end_of_its_range_is_told():
    values = Values(0.01, 1.0)
    assert [values.near_end(v) for v in (0.011, 0.1, 0.9)] == [True, False, True]


def test_the_best_mean_over_seeds_decides_length_and_prior():
    """A trial that is best with one seed alone loses to one that is good with three."""
    lucky = [trial(looks(0.1, 0.9)), trial(looks(0.1, 0.2), 0, 1)]
    steady = [trial(looks(0.3, 0.5, 0.7), 1), trial(looks(0.3, 0.8), 1, 1)]
    once = [trial(looks(2.0), 2)]
    found = _choice([lucky, steady, once])
    assert found.changes == {"temperature": 1.1, "epochs": 2, "prior": PRIORS[2]}
    assert found.ndcg == pytest.approx(0.65)
    assert (found.number, found.trials, found.seeds) == (1, 3, 2)


def test_a_failed_trial_is_below_all_others():
    assert _best([trial([[np.nan]])]) == -np.inf
    assert _best([trial(looks(0.2, 0.9, 0.1))]) == 0.9
    found = _choice([[trial([[np.nan]])], [trial(looks(0.1), 1)]])
    assert found.number == 1


def test_an_arm_as_trained_has_no_prior_chosen():
    found = _choice([[trial([[0.1], [0.3], [0.2]], prior="none")]])
    assert found.changes == {"temperature": 0.1, "epochs": 2}


def test_a_grid_is_tuned_once_and_its_runs_have_what_was_chosen(call, data, tmp_path):
    words = ("run", "few", "--tune", 2, "--seeds", 1)
    called = call(*words, "--out", tmp_path)
    assert called.status == 0, called
    found = rows(tmp_path)
    assert {row["arm"] for row in found} == {"popularity", "tiny", "tiny+prior",
                                             "tiny+logq"}  # fmt: skip
    chosen = {row["arm"]: row for row in found if row["chosen"] == "1"}
    for folder in runs_of(tmp_path, "few"):
        config = read_json(folder / "config.json")
        for row in (row for row in chosen.values() if row["epochs"]):
            if folder.name.startswith(f"{row['arm']}-seed"):
                assert config["epochs"] == int(row["epochs"]) <= 2
                assert config["fit_on"] == "train+validation"
    loaded = load_run(tmp_path, "few", "tiny", data_dir=str(data))
    assert loaded.served.run.config.epochs == int(chosen["tiny"]["epochs"])
    # The curve that each length was chosen by is in the records and a figure.
    header = read_header(tmp_path / "records" / "ml-100k" / "few.npz")
    shown = {arm: curve for arm, _, curve in header["validation"]}
    assert set(shown) == {"tiny", "tiny+prior", "tiny+logq"}
    for arm, curve in shown.items():
        assert curve.index(max(curve)) + 1 == int(chosen[arm]["epochs"])
        assert max(curve) == pytest.approx(float(chosen[arm]["mean"]), abs=1e-6)
    points = tmp_path / "figures" / "ml-100k" / "few-validation.csv"
    assert len(read_table(points)) == sum(map(len, shown.values()))
    trials = [read_json(f / "config.json") for f in runs_of(tmp_path, "few-trials")]
    assert {config["fit_on"] for config in trials} == {"train"}
    before = (tmp_path / "choices" / "ml-100k" / "few.csv").read_bytes()
    again = call(*words, "--out", tmp_path)
    assert "nothing to train" in again.out
    assert "trials" not in again.err
    assert (tmp_path / "choices" / "ml-100k" / "few.csv").read_bytes() == before


def test_train_takes_the_length_that_validation_chose(call, tmp_path):
    words = ("train", "--dim", 4, "--user-hidden", 4, "--item-hidden", 4, "--batch", 64)
    called = call(*words, "--out", tmp_path)
    assert called.status == 0, called
    (trial,) = rows(tmp_path, "train")
    ndcg = {}
    for folder in runs_of(tmp_path, "train-trials"):
        with (folder / "history.csv").open(newline="") as file:
            looks = list(csv.DictReader(file))
        ndcg = {int(look["epoch"]): float(look["ndcg@20"]) for look in looks}
    best = max(ndcg, key=ndcg.__getitem__)
    assert f"{best} of at most {Config.epochs} epochs" in called.err
    (run,) = runs_of(tmp_path, "train")
    config = read_json(run / "config.json")
    assert config["epochs"] == best == int(trial["epochs"])
    assert config["fit_on"] == "train+validation"
    assert len(ndcg) == min(best + tuner.PATIENCE, Config.epochs)


def test_train_with_a_number_of_epochs_has_no_trial(call, tmp_path):
    words = ("train", "--dim", 4, "--batch", 64, "--epochs", 1)
    assert call(*words, "--out", tmp_path).status == 0
    (run,) = runs_of(tmp_path, "train")
    assert read_json(run / "config.json")["epochs"] == 1
    assert not (tmp_path / "choices").exists()


def clicks(test: np.ndarray) -> str:
    """40 users with 20 of 60 items each, in three parts; the test part as given."""
    draw, lines = np.random.default_rng(0), ["user,item,timestamp,part"]
    for user in range(40):
        first, rest = np.split(draw.permutation(60), [20])
        for n, item in enumerate(first):
            part = "validation" if n >= 16 else "train"
            lines.append(f"{user},{item},{n},{part}")
        lines += [f"{user},{item},{20 + item},test" for item in rest[test[user]]]
    return "\n".join(lines) + "\n"


def test_test_labels_change_no_choice(call, tmp_path):
    """Trials and what is chosen of them are the same with other labels to judge by."""
    chosen, recall = [], []
    for name, draw in (("a", 1), ("b", 2)):
        draws = np.random.default_rng(draw)
        test = np.array([draws.permutation(40)[:5] for _ in range(40)])
        file, out = tmp_path / f"{name}.csv", tmp_path / name
        file.write_text(clicks(test))
        words = ("--arms", "tiny+logq", "popularity", "--tune", 3, "--dataset", file)
        called = call("run", "few", *words, "--out", out)
        assert called.status == 0, called
        lines = _rows(out / "choices" / name / "few-given.csv")
        chosen.append([row | {"config": "", "seconds": ""} for row in lines])
        table = read_table(out / "tables" / name / "few-given.csv")
        recall.append(table[table.metric == "recall"]["mean"].tolist())
    assert chosen[0] == chosen[1]
    assert len(chosen[0]) > 4
    assert recall[0] != recall[1], "the labels that lists are judged by are others"


def test_choices_of_another_config_are_not_used(call, tmp_path):
    base = ("run", "few", "--arms", "tiny", "--seeds", 1, "--out", tmp_path)
    assert call(*base, "--tune", 1).status == 0
    (first,) = rows(tmp_path)
    assert call(*base, "--tune", 1, "--set", "rate_end=0.5").status == 0
    (second,) = rows(tmp_path)
    assert first["config"] != second["config"]


@pytest.mark.parametrize("path", COMMITTED, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_committed_records_are_of_the_committed_choices(path, monkeypatch):
    """So that a run on these data repeats them."""
    records = RESULTS / "records" / path.parent.name / f"{path.stem}.npz"
    header, ran = read_header(records), load_records(records)
    monkeypatch.setattr(tuner, "digest_of", lambda *about: header["data_digest"])
    monkeypatch.chdir(RESULTS.parent)
    grid = GRIDS[header["grid"]]
    base = Config(dataset=header["dataset"], split=header["split"])
    choices = known(grid, expand(grid, base, 1), Path("nowhere"), None)
    assert {key_of(run) for run in ran} <= set(choices)
    chosen = {key: choice.changes for key, choice in choices.items()}
    cells = expand(grid, base, 1, (), False, chosen)
    configs = {key_of(cell): cell.config for cell in cells}
    for run in ran:
        for name, value in (run.settings or {}).items():
            assert getattr(configs[key_of(run)], name) == value, run.arm
    other = expand(grid.but(changes={**grid.changes, "dim": 7}), base, 1)
    found = known(grid, other, Path("nowhere"), None)
    assert not {arm for arm, _ in found} & {run.arm for run in ran if run.settings}


def test_no_prior_is_chosen_for_a_row_that_sweeps_it_or_an_arm_as_trained():
    sweeps = {"in-batch": ({}, {"prior": (0.0,)})}
    grid = GRIDS["ssb"].but(arm_sweeps=sweeps, tuning=Tuning())
    cells = {key_of(cell): cell for cell in expand(grid, Config(), 1, ("in-batch",))}
    judged = {
        swept: next(_trials(grid, cell, 1, None)).cell.config.evaluate_prior
        for (_, swept), cell in cells.items()
    }
    assert judged == {"{}": "best", "{'prior': 0.0}": "none"}
    (cell,) = expand(GRIDS["ssb"], Config(), 1, ("in-batch",))
    assert next(_trials(GRIDS["ssb"], cell, 1, None)).cell.config.evaluate_prior == (
        "none"
    )


def choice(trials, **changes):
    return Choice(changes, 0.1, 0, trials, 1, 1.0, 20)


def test_a_page_tells_what_was_chosen_and_of_how_many_trials():
    settings = {"temperature": 0.1, "epochs": 3}
    ran = [
        RunResult("a", {}, 0, settings={**settings, "prior": 0.5}),
        RunResult("a", {"prior": 0.0}, 0, settings={**settings, "prior": 0.0}),
        RunResult("ease", {}, 0, settings={}),
    ]
    made = [choice(8, temperature=0.1, prior=0.5), choice(4, temperature=0.1)]
    assert how_chosen(ran, [*made, choice(0)]) == (
        "Validation chose the temperature and prior of each trained arm, in NDCG@20, "
        "among 4 to 8 trials. Priors: 0 (`a prior 0`), 0.5 (`a`)."
    )
    options = choice(8, model="ease,l2=3")
    assert "of each trained arm and the options of baselines" in how_chosen(
        ran, [*made, options]
    )
    assert how_chosen(ran, [options]) == (
        "Validation chose the options of baselines, in NDCG@20, among 8 trials."
    )
    assert how_chosen(ran, [choice(1, epochs=3)]) == (
        "Validation chose the epochs of each trained arm, in NDCG@20."
    )
    assert how_chosen(ran, [choice(1)]) == how_chosen(ran, []) == ""


def test_a_page_says_what_its_records_say_of_choices(tmp_path):
    header = {"dataset": "ml-100k", "split": "ratio", "quick": True, "data_digest": ""}
    run = RunResult("full-softmax", {}, 0, made_record(seed=0))
    records = tmp_path / "records" / "ml-100k" / "ssb.npz"
    save_records(records, [run], {**header, "choices": "Chosen by nobody."})
    report(GRIDS["ssb"], records, tmp_path)
    page = (tmp_path / "tables" / "ml-100k" / "ssb.md").read_text()
    assert "Chosen by nobody." in page


def test_the_options_that_were_chosen_for_a_baseline_are_read():
    path = Path(__file__).parents[2] / "results" / "choices" / "ml-100k" / "ssb.csv"
    rows = [row for row in _rows(path) if row["arm"] == "ease"]
    chosen = [row for row in rows if row["chosen"] == "1"]
    best = max(rows, key=lambda row: float(row["ndcg"]))
    assert _read(chosen, rows).changes == {"model": best["model"]}
    assert option_values(best["model"])["l2"] != option_values("ease")["l2"]


@pytest.mark.parametrize(
    ("split", "parts", "tried"),
    [
        ("given", (0, 2), "given,validation=0.1"),
        ("given,validation=0.3", (0, 2), "given,validation=0.3"),
        ("given", (0, 1, 2), "given"),
        ("ratio", (0, 2), "ratio"),
    ],
)
def test_trials_have_a_validation_part(split, parts, tried, monkeypatch):
    data = made_ratings()._replace(part=np.resize(parts, 130).astype(np.uint8))
    monkeypatch.setattr(tuner, "ratings_of", lambda *_: data)
    config = tuner._on_validation(Config(split=split), None)
    assert (config.split, config.fit_on) == (tried, "train")


@pytest.fixture
def judged(monkeypatch, tmp_path):
    """Trials of a grid of two arms whose NDCG@20 is made up, by number and seed.

    Returns a function from trials' NDCG by seed and number to (trials asked for, rows).
    """
    grid = GRIDS["ssb"]
    cells = expand(grid, Config(), 1, ("popularity", "in-batch+logq"))
    monkeypatch.setattr(tuner, "digest_of", lambda *about: "d")

    def run(quality):
        asked = []

        def fake(grid, trials, *where):
            asked.extend((t.key[0], t.number, t.cell.config.seed) for t in trials)
            return [
                t._replace(
                    ndcg=looks(quality[t.cell.config.seed][t.number])
                    if t.key[0] == "in-batch+logq"
                    else np.full((1, 1), 0.1)
                )
                for t in trials
            ]

        monkeypatch.setattr(tuner, "_judged", fake)
        trials = len(quality[0])
        choices = tuner.choose(grid, cells, trials, tmp_path, None, lambda runs: None)
        return asked, choices, rows(tmp_path, "ssb")

    return run


def test_the_leaders_alone_are_run_with_more_seeds(judged):
    """The best three of five trials, and of these the best mean."""
    seeds = [[0.1, 0.5, 0.3, 0.4, 0.2], [0, 0.2, 0.3, 0.6, 0], [0, 0.2, 0.3, 0.6, 0]]
    asked, choices, found = judged(seeds)
    towers = [one[1:] for one in asked if one[0] == "in-batch+logq"]
    assert sorted(towers) == sorted(
        [(n, 0) for n in range(5)] + [(n, seed) for n in (1, 2, 3) for seed in (1, 2)]
    )
    # Popularity draws nothing, and has no option to try.
    assert [one for one in asked if one[0] == "popularity"] == [("popularity", 0, 0)]
    best = choices["in-batch+logq", "{}"]
    assert (best.number, best.trials, best.seeds) == (3, 5, 3)
    assert best.ndcg == pytest.approx((0.4 + 0.6 + 0.6) / 3)
    marked = [row for row in found if row["chosen"] == "1"]
    towers = [row for row in marked if row["arm"] == "in-batch+logq"]
    assert {(row["trial"], row["seed"]) for row in towers} == {
        ("3", "0"), ("3", "1"), ("3", "2")
    }  # fmt: skip
    assert {row["most"] for row in towers} == {str(Config.epochs)}


def test_one_trial_is_run_with_one_seed(judged):
    asked, choices, _ = judged([[0.1]])
    assert asked == [("popularity", 0, 0), ("in-batch+logq", 0, 0)]
    assert choices["in-batch+logq", "{}"].changes == {"epochs": 1, "prior": PRIORS[2]}


def test_an_arm_whose_trials_all_failed_has_its_reason_in_the_table(call, tmp_path):
    """It is trained at its own values, as nothing was chosen."""
    called = call("run", "holed", "--tune", "1", "--jobs", "1", "--out", tmp_path)
    assert called.status == 1
    assert "exploding: every trial failed\n" in called.err
    assert "once more" not in called.err
    marked = {row["arm"] for row in rows(tmp_path, "holed") if row["chosen"] == "1"}
    assert marked == {"tiny"}
    table = read_table(tmp_path / "tables" / "ml-100k" / "holed.csv")
    (note,) = set(table[table.arm == "exploding"].note)
    assert note.startswith("failed: loss not finite at step 1")


def test_where_all_trials_of_all_arms_failed_nothing_is_chosen(call, tmp_path):
    words = ("--arms", "exploding", "--jobs", "1", "--out", tmp_path)
    called = call("run", "holed", "--tune", "1", *words)
    assert called.status == 2
    assert "holed: every trial failed" in called.err


def test_a_failed_trial_is_run_with_no_other_seeds(judged):
    asked, choices, _ = judged([[np.nan, 0.1], [0, 0.1], [0, 0.1]])
    again = {(n, seed) for arm, n, seed in asked if seed}
    assert again == {(1, 1), (1, 2)}
    assert choices["in-batch+logq", "{}"].number == 1


def test_a_trial_whose_worker_was_killed_is_done_once_more(
    call, data, tmp_path, monkeypatch
):
    done, real = [], finish.do_runs

    def killed_at_first(runs, *where):
        done.append([run.name for run in runs])
        if len(done) > 1:
            return real(runs, *where)
        return {id_of(runs[0].folder): "worker killed"} | real(runs[1:], *where)

    monkeypatch.setattr(finish, "do_runs", killed_at_first)
    words = ("run", "few", "--tune", "1", "--jobs", "1", "--out", tmp_path)
    called = call(*words)
    assert called.status == 0
    assert "few-trials: 1 to do once more\n" in called.err
    assert done[1] == done[0][:1]
    assert not any(row["ndcg"] == "nan" for row in rows(tmp_path))


def test_trials_are_fitted_without_the_test_part_and_looked_at_by_epoch():
    """Every trained arm has the same trials, in the same order."""
    grid = GRIDS["ssb"]
    points = {}
    for cell in expand(grid, Config(prior=0.5), 1, ("in-batch+logq", "full-softmax")):
        tried = list(_trials(grid, cell, 4, None))
        points[cell.arm] = [trial.values for trial in tried]
        for n, trial in enumerate(tried):
            config = trial.cell.config
            assert trial.number == trial.cell.swept["trial"] == n
            assert (config.fit_on, config.prior, config.evaluate_every) == (
                "train",
                0,
                1,
            )
            assert (config.patience, config.evaluate_prior) == (tuner.PATIENCE, "best")
            for name, value in trial.values.items():
                assert getattr(config, name) == value
    assert points["in-batch+logq"] == points["full-softmax"]
    assert len({tuple(point) for point in points["full-softmax"]}) == 2


def test_what_a_grid_sweeps_is_not_tried():
    assert "temperature" in tuner._ranges(Config(), {})
    assert set(tuner._ranges(Config(), {"temperature": 0.2})) == set(TOWERS) - {
        "temperature"
    }
    assert tuner._ranges(Config(model="ease"), {}) == OPTIONS["ease"]
    assert tuner._ranges(Config(model="popularity"), {}) == {}


def test_a_choice_at_an_end_of_what_was_tried_is_told():
    (cell,) = expand(GRIDS["ssb"], Config(), 1, ("in-batch",))
    key = key_of(cell)

    def told(number=1, **changes):
        found = Choice(changes, 0.1, number, 4, 1, 1.0, 20)
        return tuner.notes({key: found}, [cell, cell._replace(seed=1)])

    assert told(epochs=19, temperature=0.2) == []
    assert told(epochs=20) == [
        "in-batch: the last of 20 epochs was the best on validation: more may be "
        "better (--epochs)"
    ]
    assert told(temperature=0.031) == [
        "in-batch: temperature 0.031 is at an end of its range"
    ]
    assert told(number=0, temperature=0.031) == [], "the arm's own value"
