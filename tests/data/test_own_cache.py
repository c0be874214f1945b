"""What is kept of large files of one's own is what was read of them."""

import numpy as np
import pytest

from research.data import load, own
from research.types import CATEGORIES, NUMBER
from tests.data.own import ROWS, csv_text, told, write


def test_what_is_said_of_a_kept_copy_names_the_file(
    tmp_path, cache, monkeypatch, capsys
):
    monkeypatch.setattr(own, "KEEP_ABOVE", 0)
    for name in ("one", "two", "one"):
        load(str(write(tmp_path / f"{name}.csv", csv_text())), cache=cache)
        said = capsys.readouterr().err.splitlines()
        assert [line.partition(":")[0] for line in said] == [name] * len(said) != []


def test_the_cache_gives_the_same_and_notices_a_change(tmp_path, cache, monkeypatch):
    monkeypatch.setattr(own, "KEEP_ABOVE", 0)
    folder = tmp_path / "shop"
    write(folder / "interactions.csv", csv_text())
    write(folder / "items.csv", "item,tags\n0005,a|b\n")
    first = load(str(folder))
    assert len(list(cache.iterdir())) == 1

    def read_anew(*words):
        raise RuntimeError("read anew")

    monkeypatch.setattr(own, "_read", read_anew)
    again = load(str(folder))
    assert again.digest == first.digest
    assert again.name == "shop"
    assert again.notes == first.notes
    assert told(again) == told(first)
    assert again.items.columns["tags"].names == ("a", "b")
    np.testing.assert_array_equal(again.items.id, first.items.id)
    write(folder / "interactions.csv", csv_text(ROWS[:-1]))
    with pytest.raises(RuntimeError, match="read anew"):
        load(str(folder))


def test_a_list_has_the_names_of_users_with_clicks(tmp_path, cache, monkeypatch):
    """Read or taken from the cache, with or without the row of someone else."""
    rows = [("1", "x"), ("1", "y"), ("2", "x")]
    write(tmp_path / "shop" / "interactions.csv", csv_text(rows, "user,item"))
    table, other = "user,tags\n1,x|y\n2,x\n", "3,q|r\n"
    digests = set()
    for keep_above in (own.KEEP_ABOVE, 0, 0):
        monkeypatch.setattr(own, "KEEP_ABOVE", keep_above)
        for text in (table, table + other):
            write(tmp_path / "shop" / "users.csv", text)
            read = load(str(tmp_path / "shop"))
            tags = read.users.columns["tags"]
            assert (tags.kind, tags.names) == (CATEGORIES, ("x", "y"))
            flags = dict(zip(read.users.names.tolist(), tags.values.tolist()))
            assert flags == {"1": [True, True], "2": [True, False]}
            digests.add(read.digest)
    assert len(digests) == 1


def test_a_column_named_like_the_packed_ids_is_kept(tmp_path, cache, monkeypatch):
    monkeypatch.setattr(own, "KEEP_ABOVE", 0)
    write(tmp_path / "shop" / "interactions.csv", csv_text())
    write(tmp_path / "shop" / "users.csv", "user,text.length,text\nann,5,a b\nbob,6,\n")
    first, again = (load(str(tmp_path / "shop")) for _ in range(2))
    assert first.users.columns.keys() == again.users.columns.keys()
    assert again.users.columns["text.length"].kind == NUMBER
    for name, column in first.users.columns.items():
        np.testing.assert_array_equal(again.users.columns[name].values, column.values)
