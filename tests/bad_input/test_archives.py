"""Archives and odd files in place of GroupLens's: 16 cases by hand."""

import gzip
import os
import re
import zipfile

import pytest

from research.data import load
from research.data.places import LINE_LIMIT
from research.types import InputError
from tests.bad_input.test_files import marked
from tests.data.miniature import write_100k, zipped

ROW = b"1\t1\t3\t5\n"


def archive_with(path, *members):
    """The zip with other bytes as its u.data, given as blocks and how many of each."""
    with zipfile.ZipFile(path) as old:
        kept = {n: old.read(n) for n in old.namelist() if not n.endswith("u.data")}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name, content in kept.items():
            new.writestr(name, content)
        for name, block, times in members:
            with new.open(name, "w") as member:
                for _ in range(times):
                    member.write(block)


def piped(path):
    path.unlink()
    os.mkfifo(path)


DATA = "ml-100k/u.data"
ZIPS = {
    "encrypted": (lambda p: marked(p, 6, 1), "u.data: damaged archive.*encrypted"),
    "packed otherwise": (lambda p: marked(p, 8, 99), "u.data: damaged archive"),
    "cut": (lambda p: p.write_bytes(p.read_bytes()[:-30]), "not a zip archive"),
    "a pipe": (piped, "not a zip archive"),
    "a bomb of NULs": (
        lambda p: archive_with(p, (DATA, bytes(2**20), 80)),
        "u.data: .* bytes unpack to more than 67,108,864",
    ),
    "a bomb of rows": (
        lambda p: archive_with(p, (DATA, ROW * 2**17, 80)),
        "unpack to more than",
    ),
    "one long line": (
        lambda p: archive_with(p, (DATA, b"1" * 2**20, 4)),
        f"u.data:1: expected a line of at most {LINE_LIMIT:,} bytes",
    ),
    "a member outside": (
        lambda p: archive_with(p, ("../ml-100k/u.data", ROW, 1)),
        "isn't in the data folder",
    ),
}


@pytest.mark.parametrize("case", ZIPS)
def test_a_zip_that_is_none(case, tmp_path):
    change, line = ZIPS[case]
    change(zipped(write_100k(tmp_path / "source"), "ml-100k", tmp_path))
    with pytest.raises(InputError, match=line):
        load("ml-100k", str(tmp_path))
    assert not (tmp_path.parent / "ml-100k").exists()


FILES = {
    "hexadecimal": (lambda t: t.replace(b"1\t5", b"0x1\t5"), "u.data:2: .*'0x1'"),
    "a time cut off": (lambda t: t[:-5], "u.data:6: expected a whole last row"),
    "a row cut off": (lambda t: t[:-12], "u.data:6: expected 4 fields"),
    "one time in milliseconds": (
        lambda t: t.replace(b"878887116", b"878887116000"),
        "u.data:3: expected a timestamp in the unit of the others",
    ),
    "gzip": (gzip.compress, "u.data: expected text, found gzip"),
    "a line of 12 MB": (lambda t: t + b"1" * 12_000_000, "u.data:7: expected a line"),
}


@pytest.mark.parametrize("case", FILES)
def test_ratings_that_are_none(case, tmp_path):
    change, line = FILES[case]
    path = write_100k(tmp_path) / DATA
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(InputError, match=line):
        load("ml-100k", str(tmp_path))


def test_what_is_said(tmp_path, capsys):
    path = write_100k(tmp_path) / DATA
    text = path.read_bytes()
    seconds = load("ml-100k", str(tmp_path))
    assert capsys.readouterr().err == ""
    path.write_bytes(text[:-1])
    assert load("ml-100k", str(tmp_path)).digest == seconds.digest
    assert "u.data:6: the last line has no end" in capsys.readouterr().err
    path.write_bytes(re.sub(rb"\n", b"000\n", text))
    assert load("ml-100k", str(tmp_path)).digest == seconds.digest
    assert "milliseconds: taken as seconds" in capsys.readouterr().err
