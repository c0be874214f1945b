"""A csv of one's own from the command line: runs, tables, reports and refusals."""

import csv
import gzip
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from research.data.places import UNPACKED
from research.report.records import read_header
from tests.data.own import HEADER, csv_text, write
from tests.experiments.made import contents, runs_of

ROOT = Path(__file__).parents[2]


def test_a_grid_from_a_csv_to_tables(shop, call, done, tmp_path):
    out = tmp_path / "out"
    words = ("--dataset", shop, "--columns", "user=uid", "--out", out)
    once = ("run", "few", *words, "--seeds", "1")
    said = done(*once)
    assert "no timestamps (no order" in said.err
    assert "corner-shop: split random, as the data has neither" in said.err
    assert len(runs_of(out, "few", "corner-shop")) == 3  # one is another's by a prior
    page = (out / "tables" / "corner-shop" / "few-random.md").read_text()
    assert "corner-shop, split random, fitted on train + validation" in page
    header = read_header(out / "records" / "corner-shop" / "few-random.npz")
    assert header["users"] == 60
    before = contents(out, "tables/**/*")
    for path in before:
        (out / path).unlink()
    for name, split in ((shop, ()), ("corner-shop", ("--split", "random"))):
        done("report", "few", "--dataset", name, *split, "--out", out)
        assert contents(out, "tables/**/*") == before
    assert "all 3 runs are finished already" in done(*once).out
    (out / "records" / "corner-shop" / "few-random.npz").unlink()
    called = call("report", "few", "--dataset", "corner-shop", "--out", out)
    assert called.status == 2
    flags = f"--dataset {shlex.quote(shop)} --columns user=uid"
    flags += f" --split random --out {out}"
    assert called.err.endswith(f"python -m experiments run few {flags} gathers them\n")
    # Another seed of the split is another run, and stands in the note.
    some = ("run", "few", "--arms", "popularity", *words)
    done(*some, "--split", "random,seed=3", "--left-out", "train")
    page = (out / "tables" / "corner-shop" / "few-random.md").read_text()
    assert "split random,seed=3, left_out train, fitted" in page
    assert len(runs_of(out, "few", "corner-shop")) == 4


def small_shop(folder: Path, items: int) -> Path:
    """A file of 40 users, each with half of so many items."""
    rows = [
        (f"u{u}", f"i{i}") for u in range(40) for i in range(items) if (u + i) % 4 < 2
    ]
    return write(folder / f"shop-{items}.csv", csv_text(rows, "user,item"))


def test_a_small_catalogue_has_no_cut_off_above_it(call, done, tmp_path):
    words = ("run", "few", "--arms", "popularity", "--out", tmp_path / "out")
    done(*words, "--dataset", small_shop(tmp_path, 60))
    page = tmp_path / "out" / "tables" / "shop-60" / "few-random.md"
    assert "| R@20 |" in page.read_text()
    (line,) = [line for line in page.read_text().splitlines() if "R@100" in line]
    assert line == "R@100 is missing: there are 60 items."
    called = call(*words, "--dataset", small_shop(tmp_path, 19))
    assert called.status == 2
    line = called.err.splitlines()[-1]
    assert "k = 20 is above the number of items (19)" in line


def test_data_says_what_was_read_and_writes_a_split(shop, done, tmp_path):
    words = ("data", shop, "--columns", "user=uid")
    said = done(*words)
    assert "split random: train" in said.out
    assert "digest " in said.out
    done(*words, "--write", "parts", tmp_path / "out")
    again = done("data", tmp_path / "out")
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
    "other sizes": (None, ("--split", "random,sizes=recbol"), "nearest: recbole"),
    "no ratings": (
        None,
        ("--judged-from", "4"),
        "judged_from is 4: corner-shop has no",
    ),
    "a core above all": (None, ("--core", "999"), "core 999 leaves no positive"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_one_line_and_writes_nothing(case, shop, call, tmp_path):
    path, more, line = REFUSED[case]
    command = (("run", "few"), ("train",), ("data",))[len(case) % 3]
    named = () if case == "no such columns" else ("--columns", "user=uid")
    out, dataset = tmp_path / "out", tmp_path / path if path else shop
    words = (dataset, *named, *more)
    if command == ("data",):
        called = call("data", *words, "--write", "parts", out)
    else:
        called = call(*command, "--dataset", *words, "--out", out)
    assert called.status == 2
    read = "corner-shop: "  # what was read
    errors = [text for text in called.err.splitlines() if not text.startswith(read)]
    assert len(errors) == 1
    assert errors[0].startswith("error: ")
    assert line in errors[0]
    assert not out.exists()


@pytest.mark.slow
def test_a_gz_that_unpacks_to_too_much_ends_the_command(tmp_path):
    """In a process of its own: pyarrow's threads would keep it from ending."""
    rows = b"user,item\n" + b"a,b\n" * (UNPACKED // 4 + 1)
    path = tmp_path / "bomb.csv.gz"
    path.write_bytes(gzip.compress(rows, 1))
    words = [sys.executable, "-m", "experiments", "data", str(path)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, cwd=ROOT)
    assert done.returncode == 2
    assert "unpack to more than" in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_arm_that_the_data_cannot_have_is_named(call, tmp_path):
    """Without tables of users an arm without a history has nothing to encode."""
    rows = [(f"u{u}", f"i{i}", u + i) for u in range(30) for i in range(u % 2, 60, 2)]

    def line(grid, rows):
        path = write(tmp_path / f"{grid}.csv", csv_text(rows, HEADER[:19]))
        called = call("run", grid, "--dataset", path, "--show", "--out", tmp_path / "o")
        assert called.status == 2
        return called.err.splitlines()[-1]

    assert line("history", rows).startswith("error: arm encoder-none: the user tow")
    few = [row for row in rows if len(row[1]) == 2]  # ten items: no arm's fault
    assert line("few", few).startswith("error: k = 20 is above the number of items")
