"""The command that writes the page: what it holds, reuses, names and refuses."""

import base64
import csv
import json
import re
import zlib

import pytest
from research.report.html.page import PART

from experiments.grid import Prediction
from experiments.grids import GRIDS
from research.report.records import save_records
from tests.experiments.made import runs_of
from tests.report.made import made_rows

HEADER = {
    "dataset": "ml-100k",
    "split": "ratio",
    "quick": False,
    "data_digest": "d" * 64,
}
EVIL = '<script>window.evil = 1</script>"><img src=x onerror="window.evil = 1">'


def write_records(out, grid="ssb", rows=None, dataset="ml-100k"):
    path = out / "records" / dataset / f"{grid}.npz"
    header = {**HEADER, "grid": grid, "dataset": dataset}
    return save_records(path, rows or made_rows(), header)


def read_page(out):
    """The page's text, its index, and its sections by name."""
    text = (out / "report.html").read_text()
    (index,) = re.findall(r'id="index">(.*?)</script>', text)
    index = json.loads(index)
    pattern = r'<script type="text/plain" id="([^"]*)" data-key="\w+">([^<]*)<'
    parts = {
        name: zlib.decompress(base64.b64decode(packed)).decode()
        for name, packed in re.findall(pattern, text)
    }
    sections = {
        about["name"]: json.loads(parts[about["blob"]]) for about in index["sections"]
    }
    return text, index, sections


def test_every_record_is_on_the_page(call, tmp_path):
    write_records(tmp_path)
    write_records(tmp_path, "cache-last")
    called = call("report", "--html", "--out", tmp_path)
    assert (called.status, called.err) == (0, "")
    assert called.out == f"wrote {tmp_path / 'report.html'}\n"
    _, index, sections = read_page(tmp_path)
    assert list(sections) == ["ml-100k/ssb", "ml-100k/cache-last"]  # as in the registry
    about = index["sections"][0]
    assert about["question"] == GRIDS["ssb"].question
    assert about["file"] == "records/ml-100k/ssb.npz"
    assert len(sections["ml-100k/ssb"]["cells"]) == 4
    call("report", "ssb", "--html", "--out", tmp_path)
    assert list(read_page(tmp_path)[2]) == ["ml-100k/ssb"]


def test_rows_are_those_of_the_file_where_seeds_of_few_arms_are_left_out(
    call, tmp_path
):
    """The lists of users go by them: else one arm's would be shown under another's."""
    more, *rows = made_rows()
    every = [more._replace(seed=7), more, *rows]
    write_records(tmp_path, rows=every)
    call("report", "--html", "--out", tmp_path)
    cells = read_page(tmp_path)[2]["ml-100k/ssb"]["cells"]
    rows_of = [cell["rows"] for cell in cells]
    assert sorted(n for rows in rows_of for n in rows) == list(range(1, len(every)))
    assert all(len({every[n].arm for n in rows}) == 1 for rows in rows_of)


def test_data_sets_with_a_name_come_before_files_of_ones_own(call, tmp_path):
    for dataset in ("clicks", "ml-1m", "ml-100k"):
        write_records(tmp_path, dataset=dataset)
    assert call("report", "--html", "--out", tmp_path).status == 0
    shown = [name.split("/")[0] for name in read_page(tmp_path)[2]]
    assert shown == ["ml-100k", "ml-1m", "clicks"]


def test_the_same_records_give_the_same_bytes_and_are_packed_once(
    call, tmp_path, monkeypatch
):
    write_records(tmp_path)
    call("report", "--html", "--out", tmp_path)
    page = tmp_path / "report.html"
    before = page.read_bytes()

    def no_more(*args):
        raise AssertionError("computed again")

    with monkeypatch.context() as patched:
        patched.setattr("experiments.pages.explore.section", no_more)
        patched.setattr("experiments.pages.explore.charting_library", no_more)
        assert call("report", "--html", "--out", tmp_path).status == 0
    assert page.read_bytes() == before
    write_records(tmp_path, rows=made_rows(seeds=4))  # another record: another section
    call("report", "--html", "--out", tmp_path)
    cells = read_page(tmp_path)[2]["ml-100k/ssb"]["cells"]
    assert {len(cell["seeds"]) for cell in cells} == {4}
    page.unlink()
    call("report", "--html", "--out", tmp_path)
    assert {
        len(c["seeds"]) for c in read_page(tmp_path)[2]["ml-100k/ssb"]["cells"]
    } == {4}


def test_tables_beside_a_grids_own_go_with_it(call, tmp_path):
    write_records(tmp_path)
    write_records(tmp_path, "ssb-last")
    folder = tmp_path / "tables" / "ml-100k"
    folder.mkdir(parents=True)
    for name in ("ssb", "ssb-line", "ssb-last", "ssb-last-line", "ssb-contrasts"):
        (folder / f"{name}.csv").write_text(f"name,verdict\n{name},better\n")
    call("report", "--html", "--out", tmp_path)
    sections = read_page(tmp_path)[2]
    plain, last = sections["ml-100k/ssb"], sections["ml-100k/ssb-last"]
    assert [table["name"] for table in plain["tables"]] == ["ssb-line"]
    assert [table["name"] for table in last["tables"]] == ["ssb-last-line"]
    assert plain["contrasts"]["rows"] == [["ssb-contrasts", "better"]]
    assert last["contrasts"] is None


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 no zip"])
def test_a_damaged_file_is_named_and_the_others_are_shown(call, tmp_path, damage):
    write_records(tmp_path)
    bad = tmp_path / "records" / "ml-100k" / "cache.npz"
    bad.write_bytes(damage)
    called = call("report", "--html", "--out", tmp_path)
    assert called.status == 1
    assert called.err.count("\n") == 1
    assert called.err.startswith(f"not shown: {bad}: ")
    text, _, sections = read_page(tmp_path)
    assert list(sections) == ["ml-100k/ssb"]
    assert "Not shown" in text
    assert "cache.npz" in text


def test_damaged_lists_are_named(call, tmp_path):
    write_records(tmp_path)
    path = tmp_path / "runs" / "ml-100k" / "ssb-lists.json"
    write_records(tmp_path, "cache")
    path.parent.mkdir(parents=True)
    place = dict.fromkeys(("user", "id", "place", "item", "title", "held_out"), "1")
    other = {**place, "title": None}
    for text in (
        *("", "{", "[]", "[" * 10**5, '{"0": [1]}', '{"0": [{}]}', '{"0": null}'),
        *('{"0": {}}', '{"0": ""}', '{"a": []}', json.dumps({"0": [place, other]})),
    ):
        path.write_text(text)
        called = call("report", "--html", "--out", tmp_path)
        assert called.status == 1
        assert called.err.count("\n") == 1
        assert called.err.startswith(f"not shown: {path}: "), text
        assert list(read_page(tmp_path)[2]) == ["ml-100k/cache"]
    path.write_text(json.dumps({"0": [place]}))
    assert call("report", "--html", "--out", tmp_path).status == 0


def test_a_cut_or_inconsistent_record_is_named(call, tmp_path):
    whole = write_records(tmp_path).read_bytes()
    for name, content in {"cache": whole[: len(whole) // 2]}.items():
        (tmp_path / "records" / "ml-100k" / f"{name}.npz").write_bytes(content)
    write_records(
        tmp_path, "negatives", [*made_rows(), made_rows()[-1]]
    )  # a seed twice
    called = call("report", "--html", "--out", tmp_path)
    assert called.status == 1
    named = sorted(re.findall(r"(\w+)\.npz", called.err))
    assert (named, called.err.count("\n")) == (["cache", "negatives"], 2)


def test_nothing_to_show_is_one_line(call, tmp_path):
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
    bad.unlink()
    write_records(tmp_path)
    assert "cache" in refused("cache")
    (tmp_path / "report.html").mkdir()
    assert "is a folder" in refused()


def test_markup_is_never_markup(call, tmp_path, monkeypatch):
    rows = [
        row._replace(arm=EVIL if row.arm == "popularity" else row.arm)
        for row in made_rows()
    ]
    monkeypatch.setitem(
        GRIDS,
        "ssb",
        GRIDS["ssb"].but(question=EVIL, note=EVIL, prediction=Prediction(EVIL)),
    )
    write_records(tmp_path, rows=rows)
    assert call("report", "--html", "--out", tmp_path).status == 0
    text, index, sections = read_page(tmp_path)
    assert EVIL not in text
    assert "<img" not in text
    assert index["sections"][0]["prediction"] == EVIL
    assert EVIL in {arm["name"] for arm in sections["ml-100k/ssb"]["arms"]}
    assert len(PART.findall(text)) == 2  # the library and the section


def test_a_prediction_is_shown_where_it_was_made_for(call, tmp_path):
    for name in ("ml-100k", "mine"):
        header = {"grid": "loader", "dataset": name, "split": "ratio", "quick": False}
        header["data_digest"] = "0"
        save_records(tmp_path / "records" / name / "loader.npz", made_rows(), header)
    assert call("report", "--html", "--out", tmp_path).status == 0
    index = read_page(tmp_path)[1]
    shown = {about["name"]: about["prediction"] for about in index["sections"]}
    assert shown["ml-100k/loader"] == GRIDS["loader"].prediction.text
    assert shown["mine/loader"] == ""


def test_a_run_writes_the_page_with_two_users_lists(call, tmp_path):
    called = call("run", "few", "--seeds", 1, "--out", tmp_path)
    assert called.out.endswith(f"wrote {tmp_path / 'report.html'}\n")
    section = read_page(tmp_path)[2]["ml-100k/few"]
    cells = [section["arms"][cell["arm"]]["name"] for cell in section["cells"]]
    (folder,) = [
        p for p in runs_of(tmp_path, "few") if p.name.startswith("tiny-seed-0")
    ]
    with (folder / "lists.csv").open(newline="") as file:
        rows = [*csv.DictReader(file)]
    for person in section["people"]:
        name = person["name"].removeprefix("User ")
        own = [row for row in rows if row["id"] == name]
        assert [row["place"] for row in own] == [str(n) for n in range(1, 21)]
        assert all(row["title"].startswith("Film ") for row in own)
        found = [[row["title"], row["held_out"] == "1", row["item"]] for row in own]
        assert person["lists"][cells.index("tiny")] == found
        # the places of held-out items in the list are those of the record
        held = [n for n, (_, hit, _) in enumerate(found, start=1) if hit]
        assert held == [p for p in person["places"][cells.index("tiny")] if p <= 20]
        assert all(person["lists"])  # baselines and served arms too
    assert (
        person["lists"][cells.index("tiny")]
        != person["lists"][cells.index("tiny+prior")]
    )
    assert call("report", "--html", "--out", tmp_path).status == 0
    assert read_page(tmp_path)[2]["ml-100k/few"]["people"] == section["people"]
