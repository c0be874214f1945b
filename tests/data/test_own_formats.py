"""Units of time, types of ids and ends of files, in each format of one's own data."""

import datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from research.data import delimited, load, own
from research.types import CATEGORIES, NUMBER, InputError
from tests.data.own import ROWS, csv_text, told, write


@pytest.mark.parametrize(
    ("size", "unit"), [(1, ""), (10**3, "milli"), (10**6, "micro"), (10**9, "nano")]
)
def test_a_finer_unit_of_time_is_seen_and_said(size, unit, tmp_path):
    seconds = 1_700_000_000
    rows = [("a", "x", seconds * size), ("b", "x", (seconds + 5) * size)]
    ratings = load(
        str(write(tmp_path / "x.csv", csv_text(rows, "user,item,timestamp")))
    )
    assert ratings.timestamp.tolist().count(seconds) == 1
    assert (f"timestamps are in {unit}seconds" in "\n".join(ratings.notes)) is bool(
        unit
    )


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ("2024-05-31", "2024-06-01 00:00:00.5", True),
        ("2024-05-31T02:00+02:00", "2024-05-31T23:30:00-00:30", False),
        ("2024-05-31T00:00:00Z", "2024-06-01T00:00:00Z", False),
    ],
)
def test_times_in_iso_8601_become_seconds(first, second, said, tmp_path):
    """Those without a zone are taken as UTC, which a line says."""
    rows = [("a", "x", first), ("b", "x", second)]
    path = write(tmp_path / "x.csv", csv_text(rows, "user,item,timestamp"))
    ratings = load(str(path))
    day = 1_717_113_600
    assert sorted(ratings.timestamp.tolist()) == [day, day + 86_400]
    assert ("no time zone: taken as UTC" in "\n".join(ratings.notes)) is said


@pytest.mark.parametrize("times", [(20191231, 20200131), (20191231235959,) * 2])
def test_dates_written_as_numbers_are_no_seconds(times, tmp_path):
    def read(*times):
        rows = [("a", "x", times[0]), ("b", "x", times[1])]
        path = write(tmp_path / "x.csv", csv_text(rows, "user,item,timestamp"))
        return load(str(path))

    with pytest.raises(InputError, match=f"found 'dates such as {times[0]}'"):
        read(*times)
    later = times[0] + 69  # no date: the 13th month, or 60 minutes
    assert len(read(times[0], later).timestamp) == 2


@pytest.mark.parametrize("kind", [pa.timestamp("us"), pa.date32()], ids=str)
def test_a_bad_row_beside_times_of_parquet_is_the_one_that_is_named(kind, tmp_path):
    day = datetime.date(2022, 4, 15)
    when = datetime.datetime(2022, 4, 15) if pa.types.is_timestamp(kind) else day
    good = {"user": list("abc"), "item": list("xyz"), "timestamp": [when] * 3}

    def read(**changes):
        columns = {**good, **changes}
        times = pa.array(columns["timestamp"], kind)
        pq.write_table(
            pa.table({**columns, "timestamp": times}), tmp_path / "p.parquet"
        )
        return load(str(tmp_path / "p.parquet"))

    assert set(read().timestamp.tolist()) == {1_649_980_800}
    with pytest.raises(InputError, match="row 3: expected a user id, found ''"):
        read(user=["a", "b", None])
    with pytest.raises(InputError, match=r"row 2: expected a timestamp, .* found ''"):
        read(timestamp=[when, None, when])


def test_a_unit_of_time_does_not_depend_on_the_format(tmp_path):
    """Nanoseconds of today are no whole numbers of float64."""
    times = [1_600_000_000_000_000_001, 1_600_000_001_999_000_001]
    pairs = {"user": ["a", "b"], "item": ["x", "x"]}
    pq.write_table(pa.table({**pairs, "timestamp": times}), tmp_path / "x.parquet")
    rows = [*zip("ab", "xx", times)]
    write(tmp_path / "x.csv", csv_text(rows, "user,item,timestamp"))
    for name in ("x.csv", "x.parquet"):
        ratings = load(str(tmp_path / name))
        assert sorted(ratings.timestamp.tolist()) == [1_600_000_000, 1_600_000_001]
        assert any("in nanoseconds" in note for note in ratings.notes)


@pytest.mark.parametrize("name", ["x.csv", "x.csv.gz", "x.tsv", "x.inter.gz"])
def test_a_last_line_without_an_end_is_said(name, tmp_path):
    form = {} if ".csv" in name else {"separator": "\t"}
    header = "user,item" if "inter" not in name else "user_id:token,item_id:token"
    text = csv_text([("a", "0005"), ("b", "0007")], header, **form)
    for cut, said in ((text, False), (text[:-2], True)):
        notes = load(str(write(tmp_path / name, cut))).notes
        assert any("its last line has no end" in note for note in notes) is said


def test_a_quoted_field_of_several_lines_is_read_whatever_the_size(
    tmp_path, monkeypatch
):
    rows = "".join(f'u{n},i{n % 7},"good\nand, cheap"\n' for n in range(60))
    path = write(tmp_path / "x.csv", "user,item,review\n" + rows)
    whole = load(str(path))
    monkeypatch.setattr(delimited, "BLOCK", 200)  # bytes, as of a file of many blocks
    assert load(str(path)).digest == whole.digest
    assert len(whole.user) == 60
    path.write_text(path.read_text() + "u1\n")
    with pytest.raises(InputError, match=r"x\.csv:122: expected 3 fields, found 'u1'"):
        load(str(path))


def test_ids_of_a_table_are_numbers_as_in_the_interactions(tmp_path):
    write(
        tmp_path / "shop.inter", "user_id:float\titem_id:float\n1\t7\n2.0\t8\n1\t8.0\n"
    )
    write(tmp_path / "shop.item", "item_id:float\tprice:float\n7.0\t3\n8\t4\n")
    items = load(str(tmp_path)).items
    assert (items.text, items.id.tolist()) == (None, [7, 8])
    price = items.columns["price"]
    assert price.kind == NUMBER
    np.testing.assert_array_equal(price.values, [3, 4])
    write(tmp_path / "shop.item", "item_id:float\tprice:float\n7.0\t3\n8.5\t4\n")
    with pytest.raises(InputError, match=r"shop\.item:3: expected an item id, a whole"):
        load(str(tmp_path))


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
    write(folder / "items.csv", "item,tags\n0005,a|b\nzed,\n")
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
