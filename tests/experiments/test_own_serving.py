"""How models of own data are served: by impressions, by the rule, by a calibration."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from research.files import read_arrays, read_json
from research.saved.files import load_model
from research.types import InputError
from tests.data.own import write
from tests.experiments.made import runs_of
from tests.studies.made import write_tastes


@pytest.fixture
def shown(shop, tmp_path):
    """Writes the shop's rows and a table of its items, shown so often each."""
    rows = Path(shop).read_text().splitlines()[1:]
    items = sorted({row.split(",")[1] for row in rows})

    def shown(how_often):
        table = [f"{item},{how_often(item)}" for item in items]
        folder = tmp_path / "shown"
        write(folder / "items.csv", "\n".join(["item,impressions", *table]) + "\n")
        write(folder / "interactions.csv", "\n".join(["user,item", *rows]) + "\n")
        return folder

    return shown


@pytest.fixture
def encode(shop, call, tmp_path):
    """Encodes a history of one known item; gives the output's place."""
    item = Path(shop).read_text().splitlines()[1].split(",")[1]
    histories = write(tmp_path / "h.csv", f"user,item\nnew,{item}\n")
    words = ("encode", "--model", tmp_path / "model", "--histories", histories)

    def encode(name, *more, status=0):
        more = more if "--lists" in more else ("--lists", "5", *more)
        assert call(*words, *more, "--out", tmp_path / name).status == status
        return tmp_path / name

    encode.item = item
    return encode


def test_the_prior_by_the_rule_comes_from_the_impressions(
    shown, encode, done, tmp_path
):
    """Evenly shown items leave all of popularity: the total strength is 1."""
    words = ("train", "--dataset", shown(lambda item: 50), "--arm", "tiny+logq")
    words += ("--logq", "0.25", "--out", tmp_path / "out", "--save", tmp_path / "model")
    said = done(*words, "--prior", "rule")
    assert "prior 0.7500, by the rule: total strength 1.0000" in said.err
    (run,) = runs_of(tmp_path / "out", "train", "shown")
    config = read_json(run / "prior+0.75" / "config.json")
    assert (config["prior"], config["logq"]) == (0.75, 0.25)
    priors = "rule", "0.75"
    rule, number = (read_arrays(encode(f"{p}.npz", "--prior", p)) for p in priors)
    assert rule["lists"].tolist() == number["lists"].tolist()
    assert rule["vectors"].tolist() == number["vectors"].tolist()


def test_a_model_is_served_and_saved_by_clicks_per_impression(
    shown, encode, done, tmp_path
):
    folder = shown(lambda item: int(item[:-1]) ** 4)
    words = ("train", "--dataset", folder, "--arm", "tiny", "--out", tmp_path / "out")
    done(*words, "--prior", "1", "--exposure", "1", "--save", tmp_path / "model")
    (run,) = runs_of(tmp_path / "out", "train", "shown")
    where = run / "prior+1exposure+1"
    config = read_json(where / "config.json")
    assert (config["prior"], config["exposure"]) == (1.0, 1.0)
    lists = {path: read_json(path / "metrics.json") for path in (run, where)}
    assert lists[run]["recall"] != lists[where]["recall"]
    assert lists[where]["recall_ips"]["20"] not in (None, lists[where]["recall"]["20"])
    done(*words, "--exposure", "0.5")  # the same run, served anew
    assert (run / "prior+0exposure+0.5" / "metrics.json").is_file()
    index = pd.read_csv(tmp_path / "out" / "runs" / "index.csv")
    servings = index[["prior", "exposure"]].to_numpy().tolist()
    assert sorted(servings) == [[0, 0], [0, 0.5], [1, 1]]
    # Encoded, by hand: what is left is the share of clicks.
    mine, plain = encode("v"), encode("plain", "--prior", "0", "--exposure", "0")
    meta = read_json(mine / "meta.json")
    assert (meta["prior"], meta["exposure"]) == (1.0, 1.0)
    assert read_json(plain / "meta.json")["exposure"] == 0.0
    items = read_arrays(mine / "items.npz")
    often = pd.read_csv(folder / "items.csv", index_col="item", dtype={"item": str})
    impressions = often.impressions[items["ids"].tolist()].to_numpy(float)
    np.testing.assert_allclose(
        items["vectors"][:, :-1], read_arrays(plain / "items.npz")["vectors"]
    )
    added = items["vectors"][:, -1] / meta["temperature"]
    assert (np.exp(added) * (impressions + 1)).sum() == pytest.approx(1.0, abs=0.01)


def test_items_with_too_few_clicks_are_in_no_list_and_no_export(
    shop, encode, done, tmp_path
):
    words = ("train", "--dataset", shop, "--columns", "user=uid", "--arm", "tiny")
    words += ("--out", tmp_path / "out", "--min-clicks", "3")
    done(*words, "--save", tmp_path / "model", "--export", tmp_path / "export")
    (run,) = runs_of(tmp_path / "out", "train", "corner-shop")
    assert (run / "prior+0min-clicks3" / "metrics.json").is_file()
    model = load_model(tmp_path / "model")
    listed = set(model.items.names[model.item_counts >= 3].tolist())
    assert 100 <= len(listed) < len(model.item_counts)
    encode("v", "--lists", "15")
    encode("all", "--lists", "15", "--min-clicks", "0")
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
    assert {row.split(",")[2] for row in rows} <= listed - {encode.item}
    most = len(listed) + 1
    for more in (("--min-clicks", "99999"), ("--lists", most), ("--min-clicks", "-1")):
        encode("none", *more, status=2)
    assert not (tmp_path / "none").exists()


def calibration_in(text):
    """Scale, share and the flags that the line of a calibration names, as numbers."""
    lines = text.splitlines()
    (line,) = [line for line in lines if line.startswith("calibrated on validation")]
    numbers = re.findall(r"(scale|log q|--prior|--exposure) (-?[\d.e-]*\d)", line)
    return {name: float(value) for name, value in numbers}


def test_a_run_that_validation_judges_says_how_to_serve(shop, shown, done, tmp_path):
    folder = shown(lambda item: 50)
    words = ("train", "--out", tmp_path / "out", "--arm", "tiny", "--dataset")
    watched = (*words, folder, "--fit-on", "train")
    found = calibration_in(done(*watched).out)
    total = found["log q"] / found["scale"]
    assert found["--prior"] == pytest.approx(total, rel=0.02)
    assert found["--exposure"] == pytest.approx(1 / found["scale"], rel=0.02)
    again = done(*watched, "--prior", "1")
    assert calibration_in(again.out) == found  # of the scores alone
    of_shop = done(*words, shop, "--columns", "user=uid", "--fit-on", "train")
    assert set(calibration_in(of_shop.out)) == {"scale", "log q", "--prior"}
    assert "calibrated" not in done(*words, folder).out  # judged by the test part
    popular = ("--model", "popularity", "--fit-on", "train", "--dataset", folder)
    assert "calibrated" not in done(*words[:3], *popular).out


@pytest.mark.slow
def test_a_calibration_below_0_says_what_to_leave_out(done, tmp_path):
    """Validation clicks are drawn evenly, some from items that have no other click."""
    table = write_tastes(tmp_path / "tastes", even=True) / "interactions.csv"
    rows = table.read_text().replace("test", "validation").rstrip("\n").split("\n")
    rows += [f"{user},{1000 + user % 3},validation" for user in range(40)]
    rows += [f"{user},1003,test" for user in range(280, 300)]
    table.write_text("\n".join([*rows, ""]))
    words = ("train", "--arm", "tiny+logq", "--out", tmp_path / "out", "--fit-on")
    words += ("train", "--dataset", table, "--learning-rate", "0.02", "--epochs")
    words += ("4", "--batch", "32")
    hint = "--min-clicks 1 leaves them out, of this fit, too"
    said = done(*words).out
    assert calibration_in(said)["--prior"] < 0
    assert said.count(hint) == 1
    assert "raises 4 items without a training click" in said
    assert hint not in done(*words, "--min-clicks", "1").out


def test_scores_that_fit_no_scale_are_said_so(shop, done, tmp_path, monkeypatch):
    def refuse(*arguments):
        raise InputError("the scores rank clicked items lower")

    monkeypatch.setattr("experiments.serve.calibrate", refuse)
    words = ("train", "--arm", "tiny", "--out", tmp_path / "out", "--fit-on", "train")
    said = done(*words, "--dataset", shop, "--columns", "user=uid").out
    assert "not calibrated: the scores rank clicked items lower" in said
    assert "files in" in said


# More words of a command on the shop, or on it with that many impressions of each item.
REFUSED = (
    (None, "--ips 1", "ips needs a column impressions"),
    (None, "--exposure 1", "exposure needs a column impressions"),
    (None, "--exposure nan", "exposure is nan: it must be finite"),
    (None, "--prior rule", "needs a column impressions"),
    (0, "--prior rule", "has 0 impressions: the rule for the prior"),
    (5, "--exposure 1 --prior rule", "exposure is 1 with prior"),
    (5, "--exposure 0 --prior rule --ips 1", "ips is 1"),
)


@pytest.mark.parametrize(("impressions", "words", "line"), REFUSED)
def test_what_needs_impressions_or_is_asked_for_twice_is_refused(
    impressions, words, line, shop, shown, call, tmp_path
):
    of_shop = (shop, "--columns", "user=uid")
    data = of_shop if impressions is None else (shown(lambda item: impressions),)
    named = ("--out", tmp_path / "out", *words.split(), "--dataset", *data)
    called = call("train", "--arm", "tiny", *named)
    assert called.status == 2
    assert line in called.err.splitlines()[-1]
    assert not (tmp_path / "out").exists()
