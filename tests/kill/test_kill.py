"""Kills at random moments: afterwards all is as if nothing had happened.

KILLS, of the environment, is how many there are, in all; 50 by default.
"""

import contextlib
import importlib.util
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

from experiments.output.checkpoints import NAME, SECONDS, complete
from experiments.runs import VECTORS
from research.files import PART, read_arrays
from research.report.records import CONTENT
from tests.experiments.made import choices, contents, without_seals, write_made_100k
from tests.experiments.program import LONG
from tests.experiments.test_safe_signals import PROGRAM, gone, processes_of

KILLS = int(os.environ.get("KILLS", "50"))
GOES_ON = "goes on from a checkpoint"
EPOCHS = 800  # some seconds of training, so that kills meet it
MADE_ALIKE = ("per_user.npz", "vectors.npz", "history.csv", "metrics.json", "lists.npz")
TUNE = ("run", "few", "--tune", "3")
CHOOSE = ("choose", "ml-100k", "--minutes", "1000", "--seeds", "2", "--jobs", "2")
WAYS = {
    "train": (("train", "--arm", "tiny-long"), "group"),
    "run": (("run", "killed", "--jobs", "1"), "group"),
    "workers": (("run", "killed", "--jobs", "2"), "group"),
    "one worker": (("run", "killed", "--jobs", "2"), "worker"),
    "ray": (("run", "killed", "--engine", "ray"), "ray"),
    "tune": ((*TUNE, "--jobs", "1"), "group"),
    "tune, one worker": ((*TUNE, "--jobs", "2"), "worker"),
    "tune, ray": ((*TUNE, "--engine", "ray"), "ray"),
    "choose": (CHOOSE, "group"),
    "choose, one worker": (CHOOSE, "worker"),
}
LOCAL = [name for name, (_, victim) in WAYS.items() if victim != "ray"]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"),
]


@contextlib.contextmanager
def started(place, words, log):
    """The command in a group of its own, its checkpoints frequent; ended in the end."""
    env = {**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONWARNINGS": "ignore"}
    env |= {"TWO_TOWER_CACHE": str(place / "cache"), LONG: str(EPOCHS), SECONDS: "0.2"}
    env["PYTHONPATH"] = str(Path(__file__).parents[2])
    env["RAY_worker_niceness"] = "0"  # else a busy machine starves its workers
    process = subprocess.Popen(
        [sys.executable, *PROGRAM, *words],
        stdout=log,
        stderr=subprocess.STDOUT,
        env=env,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def kill(process, victim, draw):
    """Kills the group, or one process of it; waits until the command has ended."""
    everyone = processes_of(process.pid)
    mark = {"worker": "spawn_main", "ray": "ray::_do"}.get(victim)
    chosen = sorted(p for p, line in everyone.items() if mark and mark in line)
    if chosen:
        os.kill(draw.choice(chosen), signal.SIGKILL)
        process.wait(timeout=300)
    else:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=60)
    patience = 60.0 if victim == "ray" else 5.0  # Ray's own look for it that long
    left = [line for p, line in everyone.items() if not gone(p, patience)]
    assert not left


def outcome(out):
    """Whatever an output folder's runs decide, without times and places."""
    files = contents(out)
    named = {n: f for n, f in files.items() if n.endswith(MADE_ALIKE)}
    rest = ("tables", "figures", "models")
    tables = {n: f for n, f in files.items() if n.startswith(rest)}
    return without_seals(named) | tables | choices(out)


def records(out):
    """Arrays of all records, and their rows; what they hold of places apart."""
    found = {}
    for path in sorted((out / "records").rglob("*.npz")):
        for name, values in read_arrays(path).items():
            if values.dtype.kind in "fiub" and "seconds" not in name:
                found[path.name, name] = values
        rows = json.loads(found[path.name, CONTENT].tobytes())
        del rows["digest"], rows["header"]["made"]  # a commit may come midway
        found[path.name, CONTENT] = np.array(json.dumps(rows))
    return found


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("grouplens")
    write_made_100k(root)
    return root


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Where every command has its cache."""
    return tmp_path_factory.mktemp("place")


@pytest.fixture(scope="module")
def undisturbed(place, data, tmp_path_factory):
    """The folder and the seconds of each command that nobody killed."""
    made = {}

    def undisturbed(words):
        if words not in made:
            out, begin = tmp_path_factory.mktemp("whole"), time.monotonic()
            whole = (*words, "--data-dir", str(data), "--out", str(out))
            with (
                (out / "log").open("w") as log,
                started(place, whole, log) as process,
            ):
                assert process.wait(timeout=600) == 0
            (out / "log").unlink()
            made[words] = out, time.monotonic() - begin
        return made[words]

    return undisturbed


@pytest.mark.parametrize(
    "way",
    [
        pytest.param(
            way,
            marks=pytest.mark.skipif(
                way not in LOCAL and importlib.util.find_spec("ray") is None,
                reason="Ray isn't installed",
            ),
        )
        for way in WAYS
    ],
)
def test_kills_leave_what_an_undisturbed_run_leaves(
    way, place, data, tmp_path, undisturbed
):
    words, victim = WAYS[way]
    on_ray, begun = victim == "ray", words[1] in ("killed", "--arm")
    whole, seconds = undisturbed(words)
    share = KILLS // len(LOCAL) + (way in LOCAL[: KILLS % len(LOCAL)])
    draw, out = random.Random(way), tmp_path / way
    killed = trained = went_on = 0
    for attempt in range(4 * share + 4):
        kept, log = unfinished(out), tmp_path / f"log{attempt}"
        line = (*words, "--data-dir", str(data), "--out", str(out))
        with log.open("w") as file, started(place, line, file) as process:
            if killed < share and moment(
                process, out, draw, seconds, aimed=killed % 2 == 1
            ):
                kill(process, victim, draw)
                killed, trained, kept = killed + 1, trained + unfinished(out), None
            else:
                assert process.wait(timeout=600) == 0
        told = log.read_text()
        assert "not used" not in told
        went_on += GOES_ON in told
        if process.returncode == 0:
            check_alike(out, whole)
            assert kept is None or on_ray or kept == (GOES_ON in told)
            if killed == share:
                break
            out = tmp_path / f"{way}{attempt}"  # finished before all kills were done
    assert killed == share
    long = begun and not on_ray and share >= 4
    assert went_on or not long, "no kill met a training"
    counts = f"{killed} kills, {trained} left a checkpoint, {went_on} starts from one"
    print(f"{way}: {counts}, {seconds:.0f} s undisturbed")


def unfinished(out):
    """Whether a run that isn't trained has a checkpoint."""
    return any(not (path.parents[1] / VECTORS).is_file() for path in checkpoints(out))


def checkpoints(out):
    """Those of the folder; those of Ray's workers lie among the temporary files."""
    scratch = Path(tempfile.gettempdir()).glob(f"two-tower-*/*/{NAME}")
    folders = [*out.rglob(NAME), *(scratch if "ray" in out.name else ())]
    return [step for folder in folders for step in complete(folder)]


def moment(process, out, draw, seconds, aimed):
    """Waits for a random moment; aimed: for one soon after a new checkpoint.

    Returns whether the command is still at work.
    """
    begin = time.time()
    until = begin + draw.uniform(0.1, 1.1) * seconds
    while process.poll() is None and (aimed or time.time() < until):
        with contextlib.suppress(OSError):  # it was removed meanwhile
            if aimed and any(p.stat().st_mtime > begin for p in checkpoints(out)):
                time.sleep(draw.uniform(0.0, 0.5))
                break
        time.sleep(0.05)
    return process.poll() is None


def check_alike(out, whole):
    """Results, records, and nothing else left."""
    expected, found = outcome(whole), outcome(out)
    assert sorted(found) == sorted(expected)
    assert not [name for name in expected if found[name] != expected[name]]
    arrays = records(whole)
    assert sorted(records(out)) == sorted(arrays)
    for name, values in records(out).items():
        np.testing.assert_array_equal(values, arrays[name], err_msg=str(name))
    assert not [n for n in contents(out) if n.endswith((PART, "failed.json"))]
    assert not list(out.rglob(NAME))
    assert list(out.glob("runs/*/*/*/metrics.json"))
