"""A split as files: each format is read back, by other means where it isn't ours."""

import csv
import errno
import os

import numpy as np
import pyarrow.parquet as pq
import pytest

from research.data import load, writers
from research.data.writers import PARTS, WRITERS, Written, write_split
from research.events import catalogue
from research.files import replace
from research.splits import parts
from research.types import InputError
from tests.data.own import ROWS, csv_text, write
from tests.world import made_ratings


def written_of(ratings) -> Written:
    events = catalogue(ratings)
    return Written("made", events, parts("random,seed=1", events), ratings.rated)


def expected(written: Written) -> dict[tuple[str, str], tuple[str, int, float]]:
    events = written.events
    return {
        (str(events.users.names[u]), str(events.items.names[i])): (PARTS[p], t, r)
        for u, i, p, t, r in zip(
            events.user,
            events.item,
            written.part.tolist(),
            events.timestamp.tolist(),
            events.rating.tolist(),
            strict=True,
        )
    }


def by_part(rows: dict[str, list]) -> dict[tuple[str, str], tuple[str, int, float]]:
    return {
        (str(u), str(i)): (part, int(t), float(r))
        for part, of_part in rows.items()
        for u, i, t, r in of_part
    }


def read_recbole(folder):
    rows = {}
    for part, word in zip(PARTS.values(), ("train", "valid", "test")):
        lines = (folder / "made" / f"made.{word}.inter").read_text().splitlines()
        typed = "user_id:token\titem_id:token\ttimestamp:float\trating:float"
        assert lines[0] == typed
        rows[part] = [line.split("\t") for line in lines[1:]]
    return by_part(rows)


def read_recpack(folder):
    rows = {}
    for part in PARTS.values():
        with (folder / f"{part}.csv").open(newline="") as file:
            header, *rows[part] = csv.reader(file)
        assert header == ["user", "item", "timestamp", "rating"]
    return by_part(rows)


def read_lenskit(folder):
    rows = {}
    for part in PARTS.values():
        columns = pq.read_table(folder / f"{part}.parquet").to_pydict()
        assert list(columns) == ["user_id", "item_id", "timestamp", "rating"]
        rows[part] = list(zip(*columns.values()))
    return by_part(rows)


READ = {"recbole": read_recbole, "recpack": read_recpack, "lenskit": read_lenskit}


def test_every_format_is_read_back_here():
    assert set(WRITERS) == {*READ, "parts"}


@pytest.mark.parametrize("file_format", READ)
def test_other_formats_hold_the_split(file_format, tmp_path):
    written = written_of(made_ratings())
    paths = write_split(file_format, written, tmp_path)
    texts = [path for path in paths if path.suffix != ".parquet"]
    assert not any(b"\r" in path.read_bytes() for path in texts)
    assert READ[file_format](tmp_path) == expected(written)


def test_parts_are_read_back_as_the_same_split(tmp_path):
    written = written_of(made_ratings())
    write_split("parts", written, tmp_path / "made")
    ratings = load(str(tmp_path / "made"))
    events = catalogue(ratings)
    again = Written("made", events, parts("given", events), ratings.rated)
    assert expected(again) == expected(written)
    for side in ("users", "items"):
        before, after = getattr(written.events, side), getattr(events, side)
        row = {name: n for n, name in enumerate(after.names.tolist())}
        at = [row[str(one)] for one in before.names.tolist()]
        assert set(after.columns) == set(before.columns)
        for name, column in before.columns.items():
            other = after.columns[name]
            assert (other.kind, other.names) == (column.kind, column.names)
            np.testing.assert_array_equal(other.values[at], column.values)


@pytest.mark.parametrize("file_format", WRITERS)
def test_a_file_of_somebody_else_is_not_replaced(file_format, tmp_path):
    """The same split may be written again; if a file differs, nothing is."""
    written = written_of(made_ratings())
    paths = write_split(file_format, written, tmp_path)
    assert write_split(file_format, written, tmp_path) == paths
    paths[-1].write_text("user,item\nmine,alone\n")
    paths[0].unlink()
    with pytest.raises(InputError, match=f"{paths[-1].name}: there is another file"):
        write_split(file_format, written, tmp_path)
    assert paths[-1].read_text() == "user,item\nmine,alone\n"
    assert len(paths) == 1 or not paths[0].exists()


def test_an_id_that_a_format_cannot_have_writes_nothing(tmp_path):
    rows = [("a", "x", "train"), ("b", "x", "train"), ("a", "tab\there", "test")]
    write(tmp_path / "x.csv", csv_text(rows, "user,item,part"))
    events = catalogue(load(str(tmp_path / "x.csv")))
    written = Written("x", events, parts("given", events), rated=False)
    with pytest.raises(InputError, match="an id holds a tab"):
        write_split("recbole", written, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    write_split("recpack", written, tmp_path / "out")
    with (tmp_path / "out" / "test.csv").open(newline="") as file:
        assert list(csv.reader(file))[1] == ["a", "tab\there"]
    with pytest.raises(InputError, match=r"unknown format 'recbol' \(nearest: recbole"):
        write_split("recbol", written, tmp_path / "out")


def test_a_split_that_is_not_written_whole_leaves_nothing(tmp_path, monkeypatch):
    """Without its table of items it would be read as another data set."""
    folder = tmp_path / "shop"
    write(folder / "interactions.csv", csv_text())
    items = [f'"{item}",1' for item in sorted({row[1] for row in ROWS})]
    write(folder / "items.csv", "\n".join(["item,price", *items]) + "\n")
    written = written_of(load(str(folder)))

    def full(path, content):
        if path.name == "items.csv":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return replace(path, content)

    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(writers, "replace", full)
        with pytest.raises(InputError, match="out can't be written: No space left"):
            write_split("parts", written, out)
    assert not list(out.iterdir())
    kept = write_split("parts", written, out)
    (out / "items.csv").unlink()
    with monkeypatch.context() as patch:  # what was there already stays
        patch.setattr(writers, "replace", full)
        with pytest.raises(InputError, match="No space left"):
            write_split("parts", written, out)
    assert sorted(out.iterdir()) == sorted({*kept} - {out / "items.csv"})
