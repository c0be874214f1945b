"""Checkpoints of the command line: used, or named in one line; gone when finished."""

import errno
import os
import platform
import subprocess
import sys

import numpy as np
import pytest

from experiments import runs as runs_module
from experiments.output import checkpoints
from experiments.output.checkpoints import NAME, SECONDS, _save, complete
from research.files import PART
from tests.experiments.made import contents, flip, runs_of, without_seals

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
    found = contents(path.parent)
    return without_seals({n: found[n] for n in SAME if n in found} | {
        "history.csv": found["history.csv"]})  # fmt: skip


def test_a_run_that_was_cut_off_goes_on_and_keeps_no_checkpoint(
    done, cut_off, tmp_path
):
    path = cut_off(tmp_path / "cut")
    assert path.is_dir()
    again = done(*WORDS, "--out", tmp_path / "cut")
    assert "goes on from a checkpoint" in again.err
    assert not path.exists()
    done(*WORDS, "--out", tmp_path / "whole")
    (whole,) = runs_of(tmp_path / "whole", "train")
    assert told_of(path) == told_of(whole / NAME)
    assert not [name for name in contents(tmp_path) if name.endswith((NAME, PART))]


@pytest.mark.parametrize(
    "why", ["the last is damaged", "all are damaged", "other code"]
)
def test_what_cannot_be_used_is_named(why, done, cut_off, tmp_path, monkeypatch):
    """The one before is used, or the run begins anew."""
    path = cut_off(tmp_path)
    damaged = [] if why == "other code" else complete(path)[: 1 + (why[0] == "a")]
    for step in damaged:
        flip(step)
    if why == "other code":
        monkeypatch.setattr(checkpoints, "code_of", lambda config: why)
    told = done(*WORDS, "--out", tmp_path).err.splitlines()
    if why == "the last is damaged":
        assert told.pop().startswith("goes on from a checkpoint")
    reason = "not used, as it is damaged" if damaged else "not used, as other code"
    assert [line.partition(": ")[0] for line in told] == list(
        map(str, damaged or [path])
    )
    assert all(f": {reason}" in line for line in told)
    assert not path.exists()


@pytest.mark.parametrize("seconds", ["often", "-1", "nan", "inf"])
def test_an_interval_that_cant_be_meant_is_refused(
    call, tmp_path, monkeypatch, seconds
):
    monkeypatch.setenv(SECONDS, seconds)
    called = call(*WORDS, "--out", tmp_path / "out")
    assert called.status == 2
    assert called.err.startswith(f"error: {SECONDS} is '{seconds}'")


def test_a_save_that_is_cut_off_or_fails_leaves_those_before(
    cut_off, tmp_path, monkeypatch, capsys
):
    path = cut_off(tmp_path)
    before = contents(path)
    kept = {"seconds": np.zeros(2)}

    def fails(problem):
        def takes_its_name(part, whole):
            raise problem

        return takes_its_name

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", fails(CutOff()))
        with pytest.raises(CutOff):
            _save(path, "", kept)
        full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        patched.setattr(os, "replace", fails(full))
        _save(path, "", kept)
    told = capsys.readouterr().err
    assert told == f"{path}: no checkpoint: No space left on device\n"
    assert contents(path) == before
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    left = path / f"4.npz.{platform.node()}.{dead.pid}{PART}"
    left.write_bytes(b"half")  # what a kill in a save leaves
    _save(path, "", kept)
    assert [found.stem for found in complete(path)] == ["4", "3"]
    assert len(list(path.iterdir())) == 2, "nothing half written"
