"""A csv of one's own from the command line: runs, tables, reports and refusals."""

import csv
import re
from pathlib import Path

import numpy as np
import pytest

from experiments import tuned
from experiments.__main__ import main
from experiments.grids import GRIDS
from experiments.inputs import fold_of
from research.config import Config
from research.files import read_arrays, read_json
from research.report.records import load_records, read_header
from research.types import InputError
from tests.data.own import csv_text, write
from tests.experiments.made import contents, made_ratings, runs_of


@pytest.fixture
def shop(tmp_path):
    """A file of text ids without timestamps, in a folder whose name isn't clean."""
    rows = [(f"u{u}", f"000{i}X") for u, i, stars, _ in made_ratings() if stars > 3]
    path = tmp_path / "my data" / "corner shop.csv"
    return str(write(path, csv_text(rows, "uid,item")))


def test_a_grid_from_a_csv_to_tables_and_figures(shop, tmp_path, capsys):
    out = tmp_path / "out"
    words = ["--dataset", shop, "--columns", "user=uid", "--out", str(out)]
    once = ["run", "few", *words, "--seeds", "1", "--jobs", "1"]
    assert main(once) == 0
    said = capsys.readouterr()
    assert "no timestamps (no order" in said.err
    assert "corner-shop: split random, as the data has neither" in said.err
    assert len(runs_of(out, "few", "corner-shop")) == 3  # one is another's by a prior
    page = (out / "tables" / "corner-shop" / "few-random.md").read_text()
    assert "corner-shop, split random, fitted on train + validation" in page
    header = read_header(out / "records" / "corner-shop" / "few-random.npz")
    assert header["users"] == 60
    assert (out / "figures" / "corner-shop" / "few-random-arms.svg").is_file()
    before = contents(out, "tables/**/*")
    for path in before:
        (out / path).unlink()
    for name, split in ((shop, ()), ("corner-shop", ("--split", "random"))):
        report = ["report", "few", "--dataset", name, *split]
        assert main([*report, "--out", str(out)]) == 0
        assert contents(out, "tables/**/*") == before
    assert main(once) == 0
    assert "all 3 runs are finished already" in capsys.readouterr().out
    (out / "records" / "corner-shop" / "few-random.npz").unlink()
    assert main(["report", "few", "--dataset", "corner-shop", "--out", str(out)]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.endswith(f"--out {out} (with the path of corner-shop) gathers them")


def test_a_tuned_grid_takes_what_was_chosen_on_the_own_data(
    shop, tmp_path, monkeypatch, capsys
):
    """First refused, or run as it is; then with the choices of its own trials."""
    path = tmp_path / "tuned.csv"
    path.write_text(tuned.PATH.read_text())
    monkeypatch.setattr(tuned, "PATH", path)
    tuned._committed.cache_clear()
    few = GRIDS["few"]._replace(arms=("in-batch",), tuned=True, contrasts=())
    few = few._replace(reference="in-batch", arm_sweeps={})
    monkeypatch.setitem(GRIDS, "few", few)
    out = tmp_path / "out"
    words = ["--dataset", shop, "--columns", "user=uid", "--jobs", "1"]
    words += ["--seeds", "1", "--out", str(out)]
    assert main(["run", "few", *words]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert "on corner-shop, split random: run tuning on it" in line
    monkeypatch.setitem(GRIDS, "few", few._replace(tuned_or_not=True))
    assert main(["run", "few", *words]) == 0
    nothing = "Nothing was tuned on corner-shop, split random"
    assert nothing in capsys.readouterr().err
    page = out / "tables" / "corner-shop" / "few-random.md"
    assert nothing in page.read_text()

    trials = GRIDS["tuning"]._replace(arms=("in-batch",), reference="in-batch")
    swept = {"temperature": (0.3, 0.4), "learning_rate": (0.001,)}
    monkeypatch.setitem(GRIDS, "tuning", trials._replace(swept=swept))
    assert main(["run", "tuning", *words]) == 0
    assert tuned.main([str(out), "corner-shop", "random"]) == 0
    tuned._committed.cache_clear()
    # the records are still of runs that weren't tuned
    assert main(["report", "few", "--dataset", shop, "--out", str(out)]) == 0
    assert nothing in page.read_text()
    assert "trials" not in page.read_text()
    assert main(["run", "few", *words]) == 0
    rows = load_records(out / "records" / "corner-shop" / "few-random.npz")
    assert rows[0].settings["temperature"] in (0.3, 0.4)
    assert nothing not in page.read_text()
    assert (
        "Each trained arm has the temperature and learning rate that were best on "
        "validation, in NDCG@20, of 2 trials. Learning rates: 0.001 (`in-batch`)."
    ) in page.read_text()
    # without the choices nothing is said of them, and the table is written all the same
    path.write_text(path.read_text().replace("corner-shop", "another-shop"))
    tuned._committed.cache_clear()
    monkeypatch.setitem(GRIDS, "few", few)
    assert main(["report", "few", "--dataset", shop, "--out", str(out)]) == 0
    assert "trials" not in page.read_text()
    tuned._committed.cache_clear()


def test_options_make_another_run_and_stand_in_the_note(shop, tmp_path):
    out = tmp_path / "out"
    words = ["run", "few", "--arms", "popularity", "--dataset", shop, "--out", str(out)]
    words += ["--columns", "user=uid", "--jobs", "1"]
    assert main(words) == 0
    page = out / "tables" / "corner-shop" / "few-random.md"
    assert "split_seed" not in page.read_text()
    assert main([*words, "--split-seed", "3", "--left-out", "train"]) == 0
    assert "split random, split_seed 3, left_out train, fitted" in page.read_text()
    assert len(runs_of(out, "few", "corner-shop")) == 2


def test_train_chooses_the_split_too(shop, tmp_path, capsys):
    words = ["train", "--model", "popularity", "--dataset", shop, "--columns"]
    words += ["user=uid", "--out", str(tmp_path / "out")]
    assert main(words) == 0
    assert "split random" in capsys.readouterr().err
    assert main([*words, "--split", "ratio"]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("error: split ratio goes by time, and the data has no times")


def test_data_says_what_was_read_and_writes_a_split(shop, tmp_path, capsys):
    words = ["data", shop, "--columns", "user=uid"]
    assert main(words) == 0
    said = capsys.readouterr()
    assert "split random: train" in said.out
    assert "digest " in said.out
    assert main([*words, "--write", "parts", str(tmp_path / "out")]) == 0
    assert main(["data", str(tmp_path / "out")]) == 0
    again = capsys.readouterr()
    assert "split given, as the data has a column part" in again.err
    counts = said.out.splitlines()[0].partition("split random: ")[2]
    assert f"split given: {counts}" in again.out
    with (tmp_path / "out" / "interactions.csv").open(newline="") as file:
        assert next(csv.reader(file)) == ["user", "item", "part"]


REFUSED = {
    "no such file": ("nowhere.csv", (), "nowhere.csv: No such file or directory"),
    "no such columns": (None, (), "expected a column user, found uid, item"),
    "a split by time": (None, ("--split", "last"), "split last goes by time"),
    "no part column": (None, ("--split", "given"), "the data has no column part"),
    "a rule of another split": (None, ("--split-rule", "recbol"), "nearest: recbole"),
    "a core above all": (None, ("--core", "999"), "core 999 leaves no positive"),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("command", [("run", "few"), ("train",), ("data",)], ids=str)
def test_bad_input_is_one_line_and_writes_nothing(
    case, command, shop, tmp_path, capsys
):
    path, more, line = REFUSED[case]
    named = () if case == "no such columns" else ("--columns", "user=uid")
    out = tmp_path / "out"
    dataset = [path or shop] if command == ("data",) else ["--dataset", path or shop]
    where = ["--write", "parts"] if command == ("data",) else ["--out"]
    assert main([*command, *dataset, *named, *more, *where, str(out)]) == 2
    errors = [
        text
        for text in capsys.readouterr().err.splitlines()
        if not text.startswith("corner-shop: ")  # what was read
    ]
    assert len(errors) == 1
    assert errors[0].startswith("error: ")
    assert line in errors[0]
    assert not out.exists()


def test_no_rating_judges_where_there_are_none(shop, tmp_path, capsys):
    words = ["train", "--dataset", shop, "--columns", "user=uid", "--judged-from", "4"]
    assert main([*words, "--out", str(tmp_path / "out")]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line == "error: judged_from is 4: corner-shop has no ratings"
    assert not (tmp_path / "out").exists()


def with_impressions(folder, shop, shown):
    """A folder of the shop's rows and a table of its items, shown so often each."""
    rows = Path(shop).read_text().splitlines()
    items = sorted({row.split(",")[1] for row in rows[1:]})
    table = [f"{item},{shown(item)}" for item in items]
    write(folder / "items.csv", "\n".join(["item,impressions", *table]) + "\n")
    write(folder / "interactions.csv", "\n".join(["user,item", *rows[1:]]) + "\n")
    return folder


def test_the_prior_by_the_rule_comes_from_the_impressions(shop, tmp_path, capsys):
    """Evenly shown items leave all of popularity: the total strength is 1."""
    folder = with_impressions(tmp_path / "even", shop, lambda item: 50)
    words = ["train", "--dataset", str(folder), "--arm", "tiny+logq", "--logq", "0.25"]
    words += ["--out", str(tmp_path / "out"), "--save", str(tmp_path / "model")]
    assert main([*words, "--prior", "rule"]) == 0
    said = capsys.readouterr()
    assert "prior 0.7500, by the rule: total strength 1.0000" in said.err
    (run,) = (tmp_path / "out" / "runs" / "even" / "train").glob("*")
    config = read_json(run / "prior+0.75" / "config.json")
    assert (config["prior"], config["logq"]) == (0.75, 0.25)
    user = Path(shop).read_text().splitlines()[1].split(",")
    histories = write(tmp_path / "h.csv", f"user,item\nnew,{user[1]}\n")
    encode = ["encode", "--model", str(tmp_path / "model"), "--histories"]
    for prior in ("rule", "0.75"):
        out = str(tmp_path / f"{prior}.npz")
        given = [str(histories), "--lists", "5", "--prior", prior, "--out", out]
        assert main([*encode, *given]) == 0
    rule, number = (read_arrays(tmp_path / f"{p}.npz") for p in ("rule", "0.75"))
    assert rule["lists"].tolist() == number["lists"].tolist()
    assert rule["vectors"].tolist() == number["vectors"].tolist()


def test_a_model_is_served_and_saved_by_clicks_per_impression(shop, tmp_path):
    folder = with_impressions(
        tmp_path / "shown", shop, lambda item: int(item[:-1]) ** 4
    )
    words = ["train", "--dataset", str(folder), "--arm", "tiny"]
    words += ["--out", str(tmp_path / "out")]
    served = ["--prior", "1", "--exposure", "1", "--save", str(tmp_path / "model")]
    assert main([*words, *served]) == 0
    (run,) = (tmp_path / "out" / "runs" / "shown" / "train").glob("*")
    where = run / "prior+1exposure+1"
    config = read_json(where / "config.json")
    assert (config["prior"], config["exposure"]) == (1.0, 1.0)
    lists = {path: read_json(path / "metrics.json") for path in (run, where)}
    assert lists[run]["recall"] != lists[where]["recall"]
    assert lists[where]["recall_ips"]["20"] not in (None, lists[where]["recall"]["20"])
    assert main([*words, "--exposure", "0.5"]) == 0  # the same run, served anew
    assert (run / "prior+0exposure+0.5" / "metrics.json").is_file()
    index = (tmp_path / "out" / "runs" / "index.csv").read_text().splitlines()
    assert len(index) == 4
    _encoded_by_hand(shop, folder, tmp_path)


def _encoded_by_hand(shop, folder, tmp_path):
    user = Path(shop).read_text().splitlines()[1].split(",")
    histories = write(tmp_path / "h.csv", f"user,item\nnew,{user[1]}\n")
    encode = ["encode", "--model", str(tmp_path / "model"), "--histories"]
    encode += [str(histories), "--lists", "5", "--out"]
    assert main([*encode, str(tmp_path / "v")]) == 0
    assert main([*encode, str(tmp_path / "plain"), *PLAIN]) == 0
    meta, plain = (read_json(tmp_path / name / "meta.json") for name in ("v", "plain"))
    assert (meta["prior"], meta["exposure"], plain["exposure"]) == (1.0, 1.0, 0.0)
    items = read_arrays(tmp_path / "v" / "items.npz")
    shown = dict(
        row.split(",") for row in (folder / "items.csv").read_text().splitlines()[1:]
    )
    impressions = np.array([float(shown[item]) for item in items["ids"]])
    scores = read_arrays(tmp_path / "plain" / "items.npz")["vectors"]
    added = items["vectors"][:, -1] / meta["temperature"]
    np.testing.assert_allclose(items["vectors"][:, :-1], scores)
    clicks = np.exp(added) * (impressions + 1)  # what is left is the share of clicks
    assert clicks.sum() == pytest.approx(1.0, abs=0.01)


PLAIN = ("--prior", "0", "--exposure", "0")


def calibration_in(text):
    """Scale, share and the flags that the line of a calibration names, as numbers."""
    (line,) = [line for line in text.splitlines() if line.startswith("calibrated")]
    numbers = re.findall(r"(scale|log q|--prior|--exposure) (-?[\d.e-]*\d)", line)
    return {name: float(value) for name, value in numbers}


def test_a_run_that_validation_judges_says_how_to_serve(shop, tmp_path, capsys):
    folder = with_impressions(tmp_path / "shown", shop, lambda item: 50)
    words = ["train", "--arm", "tiny", "--out", str(tmp_path / "out"), "--dataset"]
    assert main([*words, str(folder), "--fit-on", "train"]) == 0
    found = calibration_in(capsys.readouterr().out)
    total = found["log q"] / found["scale"]
    assert found["--prior"] == pytest.approx(total, rel=0.02)
    assert found["--exposure"] == pytest.approx(1 / found["scale"], rel=0.02)
    assert main([*words, str(folder), "--fit-on", "train", "--prior", "1"]) == 0
    assert calibration_in(capsys.readouterr().out) == found  # of the scores alone
    of_shop = [shop, "--columns", "user=uid", "--fit-on", "train"]
    assert main([*words, *of_shop]) == 0
    assert set(calibration_in(capsys.readouterr().out)) == {"scale", "log q", "--prior"}
    assert main([*words, str(folder)]) == 0  # judged by the test part
    assert "calibrated" not in capsys.readouterr().out
    popular = ["--model", "popularity", "--fit-on", "train"]
    assert main([*words[:1], *words[3:], str(folder), *popular]) == 0
    assert "calibrated" not in capsys.readouterr().out


def test_a_calibration_says_what_recall_on_validation_it_brings(shop, tmp_path, capsys):
    """It is what the run has when it is served so."""
    words = ["train", "--arm", "tiny", "--out", str(tmp_path / "out"), "--fit-on"]
    words += ["train", "--dataset", shop, "--columns", "user=uid"]
    assert main(words) == 0
    said = capsys.readouterr().out
    swept = re.search(
        r"by a sweep over ([\d,]+) validation clicks --prior (-?[\d.e-]+): it brings "
        r"most of them, ([\d.]+) %, into the first 20 places",
        said,
    )
    judged = Config(dataset=shop, columns=("user=uid",), split="random", fit_on="train")
    assert int(swept[1].replace(",", "")) == len(fold_of(judged).held_item)
    assert -1 <= float(swept[2]) <= 3
    assert 0 < float(swept[3]) <= 100
    there, as_served = re.search(r"there ([\d.]+), as served ([\d.]+)", said).groups()
    prior = calibration_in(said)["--prior"]
    assert as_served != there
    assert f"recall@20 {as_served}" in said
    assert main([*words, "--prior", f"{prior}"]) == 0
    again = re.search(r"there ([\d.]+), as served ([\d.]+)", capsys.readouterr().out)
    assert again[1] == there
    assert float(again[2]) == pytest.approx(float(there), abs=0.01)  # of 3 digits


def test_scores_that_fit_no_scale_are_said_so(shop, tmp_path, capsys, monkeypatch):
    def refuse(*arguments):
        raise InputError("the scores rank clicked items lower")

    monkeypatch.setattr("experiments.runs.calibrate", refuse)
    words = ["train", "--arm", "tiny", "--out", str(tmp_path / "out"), "--fit-on"]
    of_shop = ["--dataset", shop, "--columns", "user=uid"]
    assert main([*words, "train", *of_shop]) == 0
    said = capsys.readouterr().out
    assert "not calibrated: the scores rank clicked items lower" in said
    assert "files in" in said


def test_pairs_are_weighted_by_the_inverse_of_impressions(shop, tmp_path):
    folder = with_impressions(
        tmp_path / "shown", shop, lambda item: int(item[:-1]) ** 4
    )
    out = tmp_path / "out"
    words = ["train", "--dataset", str(folder), "--out", str(out), "--arm"]
    assert main([*words, "tiny"]) == 0
    assert main([*words, "tiny", "--ips", "0.5"]) == 0
    runs = {
        read_json(run / "config.json")["ips"]: read_json(run / "metrics.json")
        for run in (out / "runs" / "shown" / "train").glob("*")
    }
    assert set(runs) == {0.0, 0.5}
    assert runs[0.0]["train_count"] != runs[0.5]["train_count"]


def test_exposure_is_refused_without_impressions_and_beside_the_rule(
    shop, tmp_path, capsys
):
    folder = with_impressions(tmp_path / "some", shop, lambda item: 5)
    words = ["train", "--arm", "tiny", "--out", str(tmp_path / "out"), "--exposure"]
    of_shop = ["--dataset", shop, "--columns", "user=uid"]
    assert main(["train", "--arm", "tiny", "--ips", "1", *of_shop, *words[3:5]]) == 2
    assert "ips needs a column impressions" in capsys.readouterr().err
    for more, line in (
        (["1", *of_shop], "exposure needs a column impressions"),
        (["nan", *of_shop], "exposure is nan: it must be finite"),
        (
            ["1", "--dataset", str(folder), "--prior", "rule"],
            "exposure is 1 with prior",
        ),
        (["0", "--dataset", str(folder), "--prior", "rule", "--ips", "1"], "ips is 1"),
    ):
        assert main([*words, *more]) == 2
        assert line in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_the_rule_is_refused_without_an_exposure_of_every_item(shop, tmp_path, capsys):
    folder = with_impressions(tmp_path / "none", shop, lambda item: 0)
    words = [
        "train",
        "--arm",
        "tiny",
        "--prior",
        "rule",
        "--out",
        str(tmp_path / "out"),
    ]
    assert main([*words, "--dataset", str(folder)]) == 2
    assert "has 0 impressions: the rule for the prior" in capsys.readouterr().err
    assert main([*words, "--dataset", shop, "--columns", "user=uid"]) == 2
    assert "needs a column impressions" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
