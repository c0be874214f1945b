"""Files that take their places together, beside what others left there."""

import os
import platform
import subprocess
import sys
from contextlib import suppress

import pytest

from research.files import PART, scratch, spreadsheet_text, together
from tests.experiments.made import contents

NAMES = ("users.npz", "items.npz", "meta.json")


def write_all(folder, text):
    with together(folder, NAMES) as part:
        for name in NAMES:
            (part / name).write_text(text)


def test_no_spreadsheet_computes_a_text():
    for text in ("=1+1", "+49 30", "-a", "@SUM(A1)", "\t=1", "\r=1", "="):
        assert spreadsheet_text(text) == f"'{text}"
    for value in ("-1.5", "+2", "a=1", "", "'=1", -1.5, 7, None):
        assert spreadsheet_text(value) is value


def test_what_a_killed_process_of_the_same_number_left_is_removed(tmp_path):
    """In containers every process may have the number 1."""
    left = tmp_path / f"files.{platform.node()}.{os.getpid()}{PART}"
    left.mkdir()
    (left / "users.npz").write_text("half")
    with scratch(tmp_path) as part:
        assert contents(part) == {}
    write_all(tmp_path, "new")
    assert sorted(contents(tmp_path)) == sorted(NAMES)


def test_a_folder_in_the_place_of_a_file_leaves_all_as_it_was(tmp_path):
    write_all(tmp_path, "earlier")
    (tmp_path / "items.npz").unlink()
    (tmp_path / "items.npz" / "within").mkdir(parents=True)
    earlier = contents(tmp_path)
    with pytest.raises(IsADirectoryError, match="in it is a folder"):
        write_all(tmp_path, "new")
    assert contents(tmp_path) == earlier
    assert len(earlier) == 2
    assert (tmp_path / "items.npz" / "within").is_dir()


WRITES = """
import sys
from pathlib import Path
from tests.test_files import NAMES, together

with together(Path(sys.argv[1]), NAMES) as part:
    for name in NAMES:
        (part / name).write_text("later")
    print("written", flush=True)
"""


def test_two_processes_leave_the_files_of_one(tmp_path, monkeypatch):
    """The other process comes when the first of the files has its place."""
    others, place = [], os.replace

    def replace_and_meet(source, target):
        place(source, target)
        if not others:
            words = [sys.executable, "-c", WRITES, tmp_path]
            other = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
            others.append(other)
            assert other.stdout.readline() == "written\n"
            with suppress(subprocess.TimeoutExpired):
                other.wait(1)

    monkeypatch.setattr(os, "replace", replace_and_meet)
    write_all(tmp_path, "first")
    assert others[0].wait(30) == 0
    others[0].stdout.close()
    assert contents(tmp_path) == dict.fromkeys(sorted(NAMES), b"later")
