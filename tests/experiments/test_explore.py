"""The command that writes the page: what it holds, names and refuses."""

import base64
import json
import re

import pytest

from experiments.grid import Prediction
from experiments.grids import GRIDS
from experiments.pages import explore
from experiments.pages.explore import NUMBERS
from research.report.records import save_records
from tests.report.made import difference_of, made_rows

HEADER = {
    "dataset": "ml-100k",
    "split": "ratio",
    "quick": False,
    "data_digest": "d" * 64,
}
EVIL = '<script>window.evil = 1</script>"><img src=x onerror="window.evil = 1">'


@pytest.fixture
def write(call, tmp_path):
    """Writes records, and by default what ``report`` makes of them."""

    def write(grid="ssb", rows=None, dataset="ml-100k", reported=True):
        path = tmp_path / "records" / dataset / f"{grid}.npz"
        header = {**HEADER, "grid": grid.removesuffix("-last"), "dataset": dataset}
        split = "last" if grid.endswith("-last") else "ratio"
        save_records(path, rows or made_rows(), {**header, "split": split})
        if reported:
            words = ("--dataset", dataset, "--split", split, "--out", tmp_path)
            assert call("report", header["grid"], *words).status == 0
        return path

    return write


def read_page(out):
    """The page's text, and its sections by name."""
    text = (out / "report.html").read_text()
    (data,) = re.findall(r'id="data">(.*?)</script>', text, re.DOTALL)
    return text, {section["name"]: section for section in json.loads(data)}


def test_every_record_is_on_the_page_with_its_numbers(call, tmp_path, write):
    write()
    write("losses-last")
    called = call("report", "--html", "--out", tmp_path)
    assert (called.status, called.err) == (0, "")
    assert called.out == f"wrote {tmp_path / 'report.html'}\n"
    _, sections = read_page(tmp_path)
    assert list(sections) == ["ml-100k/ssb", "ml-100k/losses-last"]
    section = sections["ml-100k/ssb"]
    assert section["question"] == GRIDS["ssb"].question
    assert section["file"] == "records/ml-100k/ssb.npz"
    arms = section["arms"]
    named = [cell[0] for cell in arms["cells"]]
    found = difference_of(made_rows(), "in-batch", "full-softmax")
    place = [(m["name"], m["k"]) for m in arms["measures"]].index(("recall@20", 20))
    shown = arms["delta"][named.index("in-batch")][place]
    assert shown == pytest.approx(found.difference, rel=1e-5)
    assert arms["against"] == "full-softmax"
    ndcg = [(m["name"], m["k"]) for m in arms["measures"]].index(("NDCG@20", 20))
    means = [values[ndcg] for values in arms["mean"]]
    best = named[means.index(max(means))]
    assert section["answer"].startswith(f"{best} has the highest NDCG@20, ")
    ends = [[arms[n][c][ndcg] for n in NUMBERS[-2:]] for c in range(len(named))]
    compared = [(low, high) for low, high in ends if low is not None]
    higher = sum(low > 0 for low, _ in compared)
    lower = sum(high < 0 for _, high in compared)
    assert f"full-softmax: {higher} higher, {lower} lower, " in section["answer"]
    assert f" {len(compared) - higher - lower} not dist" in section["answer"]
    (picture,) = section["pictures"]
    png = (tmp_path / "figures" / "ml-100k" / "ssb-arms.png").read_bytes()
    assert base64.b64decode(picture["png"]) == png
    assert "ssb-contrasts" in [table["name"] for table in section["tables"]]
    call("report", "ssb", "--html", "--out", tmp_path)
    assert list(read_page(tmp_path)[1]) == ["ml-100k/ssb"]


def test_the_same_files_give_the_same_bytes_data_sets_with_a_name_first(
    call, tmp_path, write
):
    for dataset in ("clicks", "ml-1m", "ml-100k"):
        write(dataset=dataset)
    assert call("report", "--html", "--out", tmp_path).status == 0
    before = (tmp_path / "report.html").read_bytes()
    shown = [name.split("/")[0] for name in read_page(tmp_path)[1]]
    assert shown == ["ml-100k", "ml-1m", "clicks"]
    assert call("report", "--html", "--out", tmp_path).status == 0
    assert (tmp_path / "report.html").read_bytes() == before


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 no zip", None])
def test_a_damaged_file_is_named_and_the_others_are_shown(
    call, tmp_path, write, damage
):
    write()
    bad = tmp_path / "records" / "ml-100k" / "cache.npz"
    if damage is None:  # records that nothing was made of
        write("cache", reported=False)
    else:
        bad.write_bytes(damage)
    called = call("report", "--html", "--out", tmp_path)
    assert called.status == 1
    assert called.err.count("\n") == 1
    assert called.err.startswith("not shown: ")
    assert "cache" in called.err
    text, sections = read_page(tmp_path)
    assert list(sections) == ["ml-100k/ssb"]
    assert "Not shown" in text


def test_nothing_to_show_is_one_line(call, tmp_path, write):
    def refused(*words) -> str:
        called = call("report", "--html", "--out", tmp_path, *words)
        assert (called.status, called.out) == (2, "")
        assert called.err.count("\n") == 1
        assert not (tmp_path / "report.html").is_file()
        return called.err

    assert str(tmp_path / "records") in refused()
    assert "nearest: ssb" in refused("sbs")
    assert "--where" in refused("--where", "arm == 'mixed'")
    bad = tmp_path / "records" / "ml-100k" / "ssb.npz"
    bad.parent.mkdir(parents=True)
    bad.write_bytes(b"")
    assert str(bad) in refused()
    write()
    assert "cache" in refused("cache")
    (tmp_path / "report.html").mkdir()
    assert "is a folder" in refused()


def test_markup_is_never_markup(call, tmp_path, write, monkeypatch):
    grid = GRIDS["ssb"].but(question=EVIL, note=EVIL, prediction=Prediction(EVIL))
    monkeypatch.setitem(GRIDS, "ssb", grid)
    evil = [
        row._replace(arm=EVIL if row.arm == "popularity" else row.arm)
        for row in made_rows()
    ]
    write(rows=evil)
    assert call("report", "--html", "--out", tmp_path).status == 0
    text, sections = read_page(tmp_path)
    assert EVIL not in text
    assert "<img" not in text
    section = sections["ml-100k/ssb"]
    assert section["question"] == EVIL
    assert EVIL in {cell[0] for cell in section["arms"]["cells"]}
    assert "innerHTML" not in explore.TEMPLATE.read_text()
