"""A csv of one's own from the command line: runs, tables, reports and refusals."""

import csv
import gzip
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.__main__ import main
from research.data.places import UNPACKED
from research.report.records import read_header
from tests.data.own import HEADER, csv_text, write
from tests.experiments.made import contents, runs_of

ROOT = Path(__file__).parents[2]


def test_a_grid_from_a_csv_to_tables(shop, tmp_path, capsys):
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
    flags = f"--dataset {shlex.quote(shop)} --columns user=uid"
    flags += f" --split random --out {out}"
    assert line.endswith(f"python -m experiments run few {flags} gathers them")


def small_shop(folder: Path, items: int) -> str:
    """A file of 40 users, each with half of so many items."""
    lines = [f"u{u},i{i}" for u in range(40) for i in range(items) if (u + i) % 4 < 2]
    folder.mkdir(exist_ok=True)
    path = folder / f"shop-{items}.csv"
    path.write_text("\n".join(["user,item", *lines]) + "\n")
    return str(path)


def test_a_small_catalogue_has_no_cut_off_above_it(tmp_path, capsys):
    words = ["run", "few", "--arms", "popularity", "--jobs", "1"]
    words += ["--out", str(tmp_path / "out"), "--dataset"]
    assert main([*words, small_shop(tmp_path, 60)]) == 0
    page = tmp_path / "out" / "tables" / "shop-60" / "few-random.md"
    assert "| R@20 |" in page.read_text()
    (line,) = [line for line in page.read_text().splitlines() if "R@100" in line]
    assert line == "R@100 is missing: there are 60 items."
    assert main([*words, small_shop(tmp_path, 19)]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert "k = 20 is above the number of items (19)" in line


def test_options_make_another_run_and_stand_in_the_note(shop, tmp_path):
    out = tmp_path / "out"
    words = ["run", "few", "--arms", "popularity", "--dataset", shop, "--out", str(out)]
    words += ["--columns", "user=uid", "--jobs", "1"]
    assert main(words) == 0
    page = out / "tables" / "corner-shop" / "few-random.md"
    assert "seed=3" not in page.read_text()
    assert main([*words, "--split", "random,seed=3", "--left-out", "train"]) == 0
    assert "split random,seed=3, left_out train, fitted" in page.read_text()
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
    "other sizes": (None, ("--split", "random,sizes=recbol"), "nearest: recbole"),
    "no ratings": (
        None,
        ("--judged-from", "4"),
        "judged_from is 4: corner-shop has no",
    ),
    "a core above all": (None, ("--core", "999"), "core 999 leaves no positive"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_one_line_and_writes_nothing(case, shop, tmp_path, capsys):
    path, more, line = REFUSED[case]
    command = (("run", "few"), ("train",), ("data",))[len(case) % 3]
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


def test_the_arm_that_the_data_cannot_have_is_named(tmp_path, capsys):
    """Without tables of users an arm without a history has nothing to encode."""
    rows = [(f"u{u}", f"i{i}", u + i) for u in range(30) for i in range(u % 2, 60, 2)]

    def refused(grid, rows):
        path = write(tmp_path / f"{grid}.csv", csv_text(rows, HEADER[:19]))
        words = ["run", grid, "--dataset", str(path), "--show"]
        assert main([*words, "--out", str(tmp_path / "out")]) == 2
        return capsys.readouterr().err.splitlines()[-1]

    assert refused("history", rows).startswith("error: arm encoder-none: the user tow")
    few = [row for row in rows if len(row[1]) == 2]  # ten items: no arm's fault
    assert refused("few", few).startswith("error: k = 20 is above the number of items")
