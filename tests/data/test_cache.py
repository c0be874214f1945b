import zipfile
from pathlib import Path

import numpy as np
import pytest

from research.data import load
from research.data.cache import (
    default_root,
    read_cached,
    write_cached,
)
from tests.data.miniature import (
    assert_same_table,
    write_1m,
    write_100k,
    write_csv,
)


@pytest.fixture
def ratings(tmp_path):
    return load("ml-100k", str(write_100k(tmp_path)))


@pytest.fixture
def stored(cache, ratings):
    write_cached(cache, ratings)
    return cache / f"ml-100k-{ratings.digest}.npz"


def files(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("name", ["ml-100k", "ml-1m", "ml-20m"])
def test_what_is_kept_is_read_back(name, cache, tmp_path):
    write_1m(tmp_path)
    write_csv(tmp_path, "ml-20m")
    before = load(name, str(write_100k(tmp_path)))
    write_cached(cache, before)
    assert files(cache) == [f"{name}-{before.digest}.npz"]
    after = read_cached(cache, name)
    for left, right in zip(before[:5], after[:5]):
        assert type(left) is type(right)
        assert np.array_equal(left, right)
        assert getattr(left, "dtype", None) == getattr(right, "dtype", None)
    assert_same_table(before.users, after.users)
    assert_same_table(before.items, after.items)
    assert after.digest == before.digest


def truncate(path):
    path.write_bytes(path.read_bytes()[:-100])


def with_column(name, change):
    def damage(path):
        with np.load(path) as arrays:
            columns = {name: arrays[name] for name in arrays.files}
        columns[name] = change(columns[name])
        np.savez(path, allow_pickle=True, **columns)

    return damage


DAMAGE = {
    "cut off": truncate,
    "another rating": with_column("ratings.rating", lambda column: column[::-1]),
    "pickled": with_column("items.year", lambda column: column.astype(object)),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_file_is_kept_aside_and_not_used(damage, cache, stored, capsys):
    damage(stored)
    assert read_cached(cache, "ml-100k") is None
    assert files(cache) == [f"{stored.name}.rejected"]
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert line.startswith("ml-100k: the cached copy isn't used: ")
    assert f"kept as {stored}.rejected" in line


def test_a_write_that_breaks_off_leaves_nothing(cache, ratings, monkeypatch):
    def broken(archive, info, *rest, **options):
        archive.fp.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(zipfile.ZipFile, "writestr", broken)
    with pytest.raises(KeyboardInterrupt):
        write_cached(cache, ratings)
    assert files(cache) == []


def test_a_cache_that_cannot_be_written_costs_a_line(ratings, tmp_path, capsys):
    taken = tmp_path / "file"
    taken.write_text("not a folder")
    write_cached(taken, ratings)
    assert capsys.readouterr().err.startswith(f"ml-100k: no copy is kept in {taken} (")
    assert taken.read_text() == "not a folder"


def test_where_the_cache_is(monkeypatch):
    monkeypatch.setenv("TWO_TOWER_CACHE", "/a")
    monkeypatch.setenv("XDG_CACHE_HOME", "/b")
    monkeypatch.setenv("HOME", "/c")
    assert default_root() == Path("/a")
    monkeypatch.delenv("TWO_TOWER_CACHE")
    assert default_root() == Path("/b/two-tower")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_root() == Path("/c/.cache/two-tower")
