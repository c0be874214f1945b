"""Damaged files of data, 1,000 cases: refused, or read as their bytes plainly say.

A good file is cut, its bytes are flipped, doubled and replaced; what a reader makes of
it is compared with a reading of the same bytes by Python's csv or pyarrow alone. What
is packed has a checksum: it is refused, or gives what the good file gives.
"""

import csv
import io
import math
import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from research.data import load
from tests.data.miniature import write_1m, write_100k, write_csv, zipped
from tests.data.own import csv_text
from tests.refusal import outcome

CASES = 100
ODD = (b"\0", b"x", b"X", b"-", b"_", b"e", b".", b",", b"\t", b":", b'"', b" ", b"\n")
ODD += (b"\r", b"0", b"9", b"\xff", "é".encode(), b"nan", b"inf", b"1e400", b"0x")

many = settings(
    max_examples=CASES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
# Each change: what is done, where as a share of the length, and with what.
CHANGES = st.lists(
    st.tuples(
        st.sampled_from(("cut", "flip", "insert", "replace", "drop", "line", "column")),
        st.floats(0, 1, exclude_max=True),
        st.sampled_from(ODD),
        st.integers(0, 7),
    ),
    min_size=1,
    max_size=3,
)


def damaged(data: bytes, changes) -> bytes:
    """The bytes after the changes, one after the other."""
    for what, share, odd, bit in changes:
        at = int(share * len(data))
        head, byte, tail = data[:at], data[at : at + 1], data[at + 1 :]
        if what == "cut":
            data = head
        elif what == "flip" and byte:
            data = head + bytes([byte[0] ^ 1 << bit]) + tail
        elif what == "insert":
            data = head + odd + byte + tail
        elif what == "replace":
            data = head + odd + tail
        elif what == "drop":
            data = head + tail
        elif what == "line":
            start, end = data.rfind(b"\n", 0, at) + 1, data.find(b"\n", at) + 1
            data = data[:end] + data[start:]
        elif what == "column":
            first = re.escape(odd) if odd in (b",", b"\t", b":") else b"[,\t]"
            data = re.sub(rb"(?m)^([^\n]*?)(" + first + rb")", rb"\1\2\1\2", data)
    return data


def for_each_damage(path, check):
    """Calls the check with the file damaged in each way; the good file is left."""
    good = path.read_bytes()

    @many
    @given(CHANGES)
    def one(changes):
        path.write_bytes(damaged(good, changes))
        check()

    one()
    path.write_bytes(good)


def number(text: str) -> float:
    """A number as a person writes it; anything else is none."""
    if not re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", text, re.ASCII):
        raise ValueError(text)
    return float(text)


def seconds(times: list[float]) -> list[int]:
    """Times as whole seconds, the unit being told from the middle one."""
    middle = sorted(times)[(len(times) - 1) // 2] + sorted(times)[len(times) // 2]
    size = max([s for s in (1e3, 1e6, 1e9) if middle / 2 >= 1e8 * s], default=1.0)
    return [math.floor(time / size) for time in times]


def whole(text: str) -> int:
    if not re.fullmatch(r"\d+", text.strip(), re.ASCII):
        raise ValueError(text)
    return int(text)


def plain_grouplens(data: bytes, separator: str, header: bool):
    """(user, item) -> (rating, time), by str.split."""
    lines = [
        line.rstrip("\r") for line in data.decode("utf-8-sig", "replace").split("\n")
    ]
    numbered = [line for line in lines[header:] if line]
    names = (
        lines[0].split(",") if header else ["userId", "movieId", "rating", "timestamp"]
    )
    rows = [next(csv.reader([r])) if header else r.split(separator) for r in numbered]
    if {len(row) for row in rows} != {len(names)}:
        raise ValueError("fields")
    columns = {n: [row[at] for row in rows] for at, n in enumerate(names)}
    pairs = [*zip(map(whole, columns["userId"]), map(whole, columns["movieId"]))]
    ratings = [number(text.strip()) for text in columns["rating"]]
    times = seconds([whole(text) for text in columns["timestamp"]])
    return dict(zip(pairs, zip(ratings, times, strict=True), strict=True))


def plain_table(rows: list[dict[str, object]]):
    """(user, item) -> (rating, time, part): the first row of each pair."""
    out: dict[tuple[str, str], list[object]] = {}
    given = {n for row in rows for n, text in row.items() if text not in ("", None)}
    times = (
        [float(str(row["timestamp"])) for row in rows] if "timestamp" in given else []
    )
    times = seconds(times) if times else [0] * len(rows)
    for row, time in zip(rows, times, strict=True):
        rating = float(str(row["rating"])) if "rating" in given else 1.0
        part = row["part"] if "part" in given else None
        out.setdefault((str(row["user"]), str(row["item"])), [rating, time, part])
    return out


def plain_text(data: bytes, separator: str):
    """A csv or tsv file by Python's csv."""
    form = {} if separator == "," else {"quoting": csv.QUOTE_NONE}
    text = io.StringIO(data.decode("utf-8-sig", "replace"), newline="")
    names, *rows = [row for row in csv.reader(text, delimiter=separator, **form) if row]
    names = [
        name.strip().removesuffix(":token").removesuffix(":float") for name in names
    ]
    names = [re.sub("_id$", "", name) for name in names]
    if any(len(row) != len(names) for row in rows):
        raise ValueError("fields")
    return plain_table([dict(zip(names, row, strict=True)) for row in rows])


def as_pairs(ratings):
    """What was read, in the form of the plain readings."""
    users, items = (t.names.tolist() for t in (ratings.users, ratings.items))
    parts = [None] * len(ratings.user)
    if ratings.part is not None:
        parts = [("train", "validation", "test")[n] for n in ratings.part]
    columns = (ratings.user, ratings.item, ratings.rating, ratings.timestamp, parts)
    return {
        (users[u], items[i]): (float(r), int(t), p)
        for u, i, r, t, p in zip(*columns, strict=True)
    }


def same(read, plain) -> bool:
    """Equal, ratings to the digits of float32."""
    assert read.keys() == plain.keys()
    for pair, values in read.items():
        rating, *others = plain[pair]
        assert math.isclose(values[0], rating, rel_tol=1e-6, abs_tol=1e-37)
        assert [*values[1 : 1 + len(others)]] == others
    return True


GROUPLENS = {
    "ml-100k": (write_100k, "u.data", "\t"),
    "ml-1m": (write_1m, "ratings.dat", "::"),
    "ml-20m": (lambda root: write_csv(root, "ml-20m"), "ratings.csv", ","),
}


@pytest.mark.parametrize("name", GROUPLENS)
def test_ratings_of_grouplens(name, tmp_path):
    write, file, separator = GROUPLENS[name]
    path, seen = write(tmp_path) / name / file, []

    def check():
        read = outcome(load, name, str(tmp_path))
        seen.append(read is None)
        if read is not None:
            pairs = {pair: v[:2] for pair, v in as_pairs(read).items()}
            same(pairs, plain_grouplens(path.read_bytes(), separator, separator == ","))

    for_each_damage(path, check)
    assert 0 < sum(seen) < len(seen)


@pytest.mark.parametrize(
    ("name", "file"),
    [("ml-100k", "u.user"), ("ml-100k", "u.item"), ("ml-1m", "movies.dat"),
     ("ml-20m", "movies.csv")],
)  # fmt: skip
def test_tables_of_grouplens(name, file, tmp_path):
    path = GROUPLENS[name][0](tmp_path) / name / file
    before = as_pairs(load(name, str(tmp_path)))

    def check():
        read = outcome(load, name, str(tmp_path))
        assert read is None or as_pairs(read) == before

    for_each_damage(path, check)


def test_a_zip(tmp_path):
    path = zipped(write_100k(tmp_path / "source"), "ml-100k", tmp_path)
    digest = load("ml-100k", str(tmp_path)).digest

    def check():
        read = outcome(load, "ml-100k", str(tmp_path))
        assert read is None or read.digest == digest

    for_each_damage(path, check)


TEXT = csv_text()
TABS = TEXT.replace('"x,1"', "x1").replace(",", "\t")
TYPED = "user_id:token\titem_id:token\ttimestamp:float\trating:float\tpart"


@pytest.mark.parametrize(
    ("name", "text", "separator"),
    [
        ("x.csv", TEXT, ","),
        ("x.tsv", TABS, "\t"),
        ("x.inter", re.sub("^.*", TYPED, TABS), "\t"),
    ],
)
def test_ones_own_text(name, text, separator, tmp_path):
    path, seen = tmp_path / name, []
    path.write_text(text)

    def check():
        read = outcome(load, str(path))
        seen.append(read is None)
        if read is not None:
            same(as_pairs(read), plain_text(path.read_bytes(), separator))

    for_each_damage(path, check)
    assert 0 < sum(seen) < len(seen)


def test_ones_own_parquet(tmp_path):
    path = tmp_path / "x.parquet"
    rows = list(csv.DictReader(io.StringIO(TEXT)))
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    columns |= {n: [*map(float, columns[n])] for n in ("timestamp", "rating")}
    pq.write_table(pa.table(columns), path, compression="none")

    def check():
        read = outcome(load, str(path))
        if read is not None:
            same(as_pairs(read), plain_table(pq.read_table(path).to_pylist()))

    for_each_damage(path, check)
