"""500 malformed data files from a seeded generator, each read by the command data.

None may end in a traceback, hang, take 10 s without being read, or hold 2 GiB.
"""

import csv
import gzip
import io
import os
import subprocess
import sys
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.process import ROOT

FILES, SECONDS, BYTES = 500, 10, 2**31
ODD = ("", " ", "NaN", "-1", "1e400", "0x1F", str(2**63), str(2**64), "9" * 400, "=1+1",
       "a" * 70_000, "\x00", "\x1f", '"', '""', "'", "1,5", "é", "٣", "inf", "1.0",
       "<script>", "2024-05-31", "2024-05-31T18:30:00+02:00", "-inf", "\u2028",
       "1970-01-01T00:00:00", "253402300800000", "\ufeff1")  # fmt: skip
ENCODINGS = ("utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1", "shift_jis")
COLUMNS = ("user", "item", "timestamp", "rating", "part")
Draw = np.random.Generator


def rows(draw: Draw, n: int = 60) -> list[list[str]]:
    """A header and good rows."""
    users, items = draw.integers(0, 12, n), draw.integers(0, 15, n)
    made = [
        [f"u{u}", f"i{i}", str(10**9 + k), str(1 + k % 5), ("train", "test")[k % 2]]
        for k, (u, i) in enumerate(zip(users, items, strict=True))
    ]
    width = int(draw.integers(2, 6))
    return [list(COLUMNS[:width]), *(row[:width] for row in made)]


def text_of(table: list[list[str]]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(table)
    return out.getvalue()


def good(draw: Draw) -> str:
    return text_of(rows(draw))


def odd_fields(draw: Draw, path: Path) -> Path:
    """Some fields, of the header or below, are none that a column can hold."""
    table = rows(draw)
    for _ in range(draw.integers(1, 4)):
        row = table[draw.integers(0, len(table))]
        row[draw.integers(0, len(row))] = ODD[draw.integers(0, len(ODD))]
    path.write_text(text_of(table), "utf-8")
    return path


def odd_bytes(draw: Draw, path: Path) -> Path:
    """Bytes are changed, inserted and cut off."""
    data = bytearray(good(draw).encode())
    for _ in range(draw.integers(1, 6)):
        at, byte = int(draw.integers(0, len(data))), int(draw.integers(0, 256))
        data[at : at + int(draw.integers(0, 3))] = bytes([byte] * draw.integers(0, 4))
    path.write_bytes(data[: draw.integers(1, len(data) + 1)])
    return path


def odd_encoding(draw: Draw, path: Path) -> Path:
    text = good(draw).replace("u1", "ü1")
    path.write_text(text, ENCODINGS[draw.integers(0, len(ENCODINGS))], "ignore")
    return path


def odd_rows(draw: Draw, path: Path) -> Path:
    """Rows of another width, quotes that don't end, other separators and line ends."""
    lines = good(draw).splitlines()
    for _ in range(draw.integers(1, 4)):
        more = (",", '"', "a,b,c,d,e,f", "\r", "\n\n", ";", "\t", "\\", '"x"y')
        lines[draw.integers(0, len(lines))] += more[draw.integers(0, len(more))]
    path.write_text(("\n", "\r\n", "\r", ";")[draw.integers(0, 4)].join(lines))
    return path


def wide(draw: Draw, path: Path) -> Path:
    """100,000 columns, their names apart or alike."""
    same = draw.random() < 0.5
    head = ["user", "item", *("c" if same else f"c{n}" for n in range(100_000))]
    path.write_text(text_of([head, *([f"u{n}", "i"] + [""] * 100_000 for n in (1, 2))]))
    return path


def gzip_bomb(draw: Draw, path: Path) -> Path:
    """Many NULs, rows or ends of lines in few bytes, or a file that is cut off."""
    path = path.with_suffix(".csv.gz")
    piece = (b"\0", b"u1,i1\n", b"\n", b"u" * 10_000 + b",i\n")[draw.integers(0, 4)]
    data = b"user,item\n" + piece * (2**28 // len(piece))
    packed = gzip.compress(data, 1)
    path.write_bytes(packed[: len(packed) // int(draw.integers(1, 3))])
    return path


def zip_bomb(draw: Draw, path: Path) -> Path:
    """An archive by the name of a table, or of one of MovieLens's inside."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.csv", good(draw) + "\n" * int(draw.integers(0, 2**26)))
    return path


def parquet_bomb(draw: Draw, path: Path) -> Path:
    """One text for many rows, one number for more, or a list without end."""
    path = path.with_suffix(".parquet")
    n = int(draw.integers(10_000, 200_000))
    big = pa.DictionaryArray.from_arrays(np.zeros(n, np.int32), ["x" * 100_000])
    lists = pa.ListArray.from_arrays([0, 30 * n], np.zeros(30 * n, np.int64))
    tables = (
        {"user": big, "item": np.arange(n)},
        {"user": np.arange(n), "item": big},
        {"user": np.zeros(100 * n, np.int64), "item": np.zeros(100 * n, np.int64)},
        {"user": ["a"], "item": ["b"], "more": lists},
        {},
    )
    table = pa.table(tables[draw.integers(0, len(tables))])
    pq.write_table(table, path, compression="zstd")
    return path


def odd_parquet(draw: Draw, path: Path) -> Path:
    """Types that no id has, and bytes that are changed."""
    path = path.with_suffix(".parquet")
    odd = ([True] * 3, [[1], [2], []], [{"a": 1}] * 3, [b"\xff"] * 3, [None] * 3,
           pa.array([2**63] * 3, pa.uint64()), [-(2**63)] * 3, [0.5, 1.0, 2.0],
           ["\0", "", "a"])  # fmt: skip
    table = {"user": ["a", "b", "c"], "item": [1, 2, 3], "rating": [5, 5, 5]}
    table[("user", "item", "rating")[draw.integers(0, 3)]] = odd[
        draw.integers(0, len(odd))
    ]
    pq.write_table(pa.table(table), path)
    data = bytearray(path.read_bytes())
    for _ in range(draw.integers(0, 3)):
        data[draw.integers(0, len(data))] ^= 1 << int(draw.integers(0, 8))
    path.write_bytes(data)
    return path


def odd_place(draw: Draw, path: Path) -> Path:
    """A pipe or a link in a circle, in the file's place or beside good interactions."""
    broken = path
    if draw.random() < 0.7:
        path = path.with_suffix("")
        path.mkdir()
        (path / "interactions.csv").write_text(good(draw))
        name = ("interactions", "items", "users")[draw.integers(0, 3)]
        broken = path / f"{name}.csv"
        broken.unlink(missing_ok=True)
    if draw.random() < 0.5:
        os.mkfifo(broken)
    else:
        broken.symlink_to(broken.with_name("other.csv"))
        broken.with_name("other.csv").symlink_to(broken)
    return path


def odd_side(draw: Draw, path: Path) -> Path:
    """A table of items that is malformed, beside good interactions."""
    path = path.with_suffix("")
    path.mkdir()
    (path / "interactions.csv").write_text(good(draw))
    kinds = (odd_bytes, odd_rows, odd_encoding, wide, odd_fields)
    made = kinds[draw.integers(0, len(kinds))](draw, path / "items.csv")
    data = made.read_bytes().replace(b"user,item", b"item,title", 1)
    made.write_bytes(data)
    return path


MAKERS = (*[odd_fields] * 6, *[odd_bytes] * 6, *[odd_rows] * 4, *[odd_encoding] * 2,
          *[odd_parquet] * 5, *[odd_side] * 4, *[odd_place] * 2, parquet_bomb, wide,
          gzip_bomb, zip_bomb)  # fmt: skip


def read(path: Path) -> str:
    """What is wrong with how the command data ends on a file; "" if nothing is."""
    command = [sys.executable, "-m", "experiments", "data", str(path)]
    before = time.monotonic()
    with (
        (path.parent / f"{path.name}.said").open("w+", errors="replace") as said,
        subprocess.Popen(command, cwd=ROOT, stdout=said, stderr=said) as process,
    ):
        timer_at = before + 12 * SECONDS
        while not (ended := os.wait4(process.pid, os.WNOHANG))[0]:
            if time.monotonic() > timer_at:
                process.kill()
            time.sleep(0.02)
        process.returncode = os.waitstatus_to_exitcode(ended[1])
        took, held = time.monotonic() - before, ended[2].ru_maxrss * 1024
        said.seek(0)
        text = said.read()
    errors = sum(line.startswith("error: ") for line in text.splitlines())
    faults = {
        f"exit status {process.returncode}": process.returncode not in (0, 2),
        "a traceback": "Traceback" in text,
        f"{errors} lines of errors": errors != (process.returncode == 2),
        f"{took:.0f} s": took > SECONDS and process.returncode != 0,
        f"{held:,} bytes": held > BYTES,
    }
    found = [fault for fault, there in faults.items() if there]
    return f"{path.name}: {', '.join(found)}: {text[-500:]}" if found else ""


@pytest.mark.slow
def test_malformed_files_are_refused_in_a_line_or_read(tmp_path):
    paths = []
    for n in range(FILES):
        draw = np.random.default_rng(n)
        maker = MAKERS[draw.integers(0, len(MAKERS))]
        (tmp_path / str(n)).mkdir()
        paths.append(maker(draw, tmp_path / str(n) / f"{maker.__name__}.csv"))
    with ThreadPoolExecutor(2) as pool:
        found = [fault for fault in pool.map(read, paths) if fault]
    assert not found, "\n".join(found)
