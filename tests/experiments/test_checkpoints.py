"""Checkpoints of the command line: used, or named in one line; gone when finished."""

import numpy as np
import pytest

from experiments import runs as runs_module
from experiments.checkpoints import NAME, SECONDS
from research.files import PART, read_arrays, write_arrays
from tests.experiments.made import contents, runs_of, without_seals

WORDS = ("train", "--arm", "tiny", "--epochs", "6")
SAME = ("metrics.json", "per_user.npz", "config.json", "vectors.npz", "lists.npz")


class CutOff(BaseException):
    """Like a kill: no run's failure."""


@pytest.fixture
def cut_off(call, monkeypatch):
    """Trains into a folder, cut off in the fourth epoch; returns the checkpoint."""

    def cut_off(out):
        inner = runs_module.train_together

        def cut(prepared, on_epoch, *rest):
            def ends(number, epoch, row):
                if epoch == 4:
                    raise CutOff
                on_epoch(number, epoch, row)

            return inner(prepared, ends, *rest)

        monkeypatch.setenv(SECONDS, "0")
        with monkeypatch.context() as patched:
            patched.setattr(runs_module, "train_together", cut)
            with pytest.raises(CutOff):
                call(*WORDS, "--out", out)
        (folder,) = runs_of(out, "train")
        return folder / NAME

    return cut_off


def told_of(path):
    """Of a run's files, those that its settings decide."""
    files = contents(path.parent)
    return without_seals({n: files[n] for n in SAME if n in files} | {
        "history.csv": files["history.csv"]})  # fmt: skip


def test_a_run_that_was_cut_off_goes_on_and_keeps_no_checkpoint(
    call, cut_off, tmp_path
):
    path = cut_off(tmp_path / "cut")
    assert path.is_file()
    again = call(*WORDS, "--out", tmp_path / "cut")
    assert again.status == 0
    assert "goes on from a checkpoint" in again.err
    assert not path.exists()
    assert call(*WORDS, "--out", tmp_path / "whole").status == 0
    (whole,) = runs_of(tmp_path / "whole", "train")
    assert told_of(path) == told_of(whole / NAME)
    assert not [name for name in contents(tmp_path) if name.endswith((NAME, PART))]


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def other(path):
    arrays = read_arrays(path)
    write_arrays(path, {**arrays, "made_by": np.array("other code")}, level=0)


@pytest.mark.parametrize(
    ("harm", "line"),
    [
        (flip, "damaged"),
        (lambda path: path.write_bytes(path.read_bytes()[:-100]), "damaged"),
        (other, "other code"),
    ],
)
def test_one_that_cant_be_used_is_named_and_the_run_begins_anew(
    call, cut_off, tmp_path, harm, line
):
    path = cut_off(tmp_path)
    harm(path)
    again = call(*WORDS, "--out", tmp_path)
    assert again.status == 0
    assert again.err.startswith(f"{path}: not used, as ")
    assert line in again.err
    assert again.err.count("\n") == 1
    assert not path.exists()


@pytest.mark.parametrize("seconds", ["often", "-1", "nan", "inf"])
def test_an_interval_that_cant_be_meant_is_refused(
    call, tmp_path, monkeypatch, seconds
):
    monkeypatch.setenv(SECONDS, seconds)
    called = call(*WORDS, "--out", tmp_path / "out")
    assert called.status == 2
    assert called.err.startswith(f"error: {SECONDS} is '{seconds}'")
