"""How models of own data are served: by impressions, by the rule, by a calibration."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments.__main__ import main
from research.files import read_arrays, read_json
from research.saved.files import load_model
from research.types import InputError
from tests.data.own import write
from tests.studies.made import write_tastes


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
    index = pd.read_csv(tmp_path / "out" / "runs" / "index.csv")
    servings = index[["prior", "exposure"]].to_numpy().tolist()
    assert sorted(servings) == [[0, 0], [0, 0.5], [1, 1]]
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


def test_items_with_too_few_clicks_are_in_no_list_and_no_export(shop, tmp_path):
    folder = with_impressions(tmp_path / "mine", shop, lambda item: 50)
    words = ["train", "--dataset", str(folder), "--arm", "tiny", "--out"]
    words += [str(tmp_path / "out"), "--min-clicks", "3"]
    served = ["--save", str(tmp_path / "model"), "--export", str(tmp_path / "export")]
    assert main([*words, *served]) == 0
    (run,) = (tmp_path / "out" / "runs").glob("*/train/*")
    assert (run / "prior+0min-clicks3" / "metrics.json").is_file()
    model = load_model(tmp_path / "model")
    listed = set(model.items.names[model.item_counts >= 3].tolist())
    assert 100 <= len(listed) < len(model.item_counts)
    user = Path(shop).read_text().splitlines()[1].split(",")
    histories = write(tmp_path / "h.csv", f"user,item\nnew,{user[1]}\n")
    encode = ["encode", "--model", str(tmp_path / "model"), "--histories"]
    encode += [str(histories), "--lists", "15", "--out"]
    assert main([*encode, str(tmp_path / "v")]) == 0
    assert main([*encode, str(tmp_path / "all"), "--min-clicks", "0"]) == 0
    items = {n: read_arrays(tmp_path / n / "items.npz") for n in ("v", "all", "export")}
    assert set(items["v"]["ids"].tolist()) == listed
    assert set(items["export"]["ids"].tolist()) == listed
    assert items["all"]["ids"].tolist() == model.items.names.tolist()
    kept = np.isin(items["all"]["ids"], items["v"]["ids"])
    np.testing.assert_array_equal(items["all"]["vectors"][kept], items["v"]["vectors"])
    meta = read_json(tmp_path / "v" / "meta.json")
    assert (meta["metric"], meta["min_clicks"]) == ("cosine", 3)
    rows = (tmp_path / "v" / "lists.csv").read_text().splitlines()[1:]
    assert len(rows) == 15
    assert {row.split(",")[2] for row in rows} <= listed - {user[1]}
    assert main([*encode, str(tmp_path / "none"), "--min-clicks", "99999"]) == 2
    encode[encode.index("15")] = str(len(listed) + 1)
    assert main([*encode, str(tmp_path / "none")]) == 2
    assert main([*encode, str(tmp_path / "none"), "--min-clicks", "-1"]) == 2
    assert not (tmp_path / "none").exists()


def calibration_in(text):
    """Scale, share and the flags that the line of a calibration names, as numbers."""
    lines = text.splitlines()
    (line,) = [line for line in lines if line.startswith("calibrated on validation")]
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


@pytest.mark.slow
def test_a_calibration_below_0_says_what_to_leave_out(tmp_path, capsys):
    """Validation clicks are drawn evenly, some from items that have no other click."""
    table = write_tastes(tmp_path / "tastes", even=True) / "interactions.csv"
    rows = table.read_text().replace("test", "validation").rstrip("\n").split("\n")
    rows += [f"{user},{1000 + user % 3},validation" for user in range(40)]
    rows += [f"{user},1003,test" for user in range(280, 300)]
    table.write_text("\n".join([*rows, ""]))
    words = ["train", "--arm", "tiny+logq", "--out", str(tmp_path / "out"), "--fit-on"]
    words += ["train", "--dataset", str(table), "--learning-rate", "0.02", "--epochs"]
    words += ["4", "--batch", "32"]
    hint = "--min-clicks 1 leaves them out, of this fit, too"
    assert main(words) == 0
    said = capsys.readouterr().out
    assert calibration_in(said)["--prior"] < 0
    assert said.count(hint) == 1
    assert "raises 4 items without a training click" in said
    assert main([*words, "--min-clicks", "1"]) == 0
    assert hint not in capsys.readouterr().out


def test_scores_that_fit_no_scale_are_said_so(shop, tmp_path, capsys, monkeypatch):
    def refuse(*arguments):
        raise InputError("the scores rank clicked items lower")

    monkeypatch.setattr("experiments.serve.calibrate", refuse)
    words = ["train", "--arm", "tiny", "--out", str(tmp_path / "out"), "--fit-on"]
    of_shop = ["--dataset", shop, "--columns", "user=uid"]
    assert main([*words, "train", *of_shop]) == 0
    said = capsys.readouterr().out
    assert "not calibrated: the scores rank clicked items lower" in said
    assert "files in" in said


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
