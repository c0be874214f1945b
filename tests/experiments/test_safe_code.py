"""Nothing stale: a run made by other code is said, not used, and done again."""

import importlib
import linecache
import sys

import flax.linen as nn
import numpy as np
import pytest

from experiments import runs
from experiments.notebook import load_run
from experiments.output import code
from experiments.output.code import _named, code_of, library_code, stripped
from experiments.output.seals import read_metrics
from research.baselines import BASELINES
from research.files import read_json, write_json
from research.report.pages import read_table
from research.report.records import load_records
from research.splits import SPLITS, Split
from research.towers import ENCODERS, Encoder
from research.types import InputError
from tests.experiments.made import contents, runs_of

FACTOR = 1.0


def scaled(fold, options, seed):
    """A baseline from outside: the items in the order of their counts, or turned."""
    counts = factor_of(FACTOR) * fold.fitted.item_counts
    height = len(fold.evaluated)
    return lambda rows, columns: np.tile(counts, (height, 1))[rows, columns]


def factor_of(value):
    return value


@pytest.fixture
def outside(monkeypatch):
    """A baseline named popularity that isn't the library's."""
    entry = BASELINES["popularity"]._replace(fit=scaled)
    monkeypatch.setitem(BASELINES, "popularity", entry)


def line_of(count):
    noun = "run was" if count == 1 else "runs were"
    return f"{count} finished {noun} made by other code: done again\n"


@pytest.fixture
def changed(monkeypatch):
    """Makes the library's code another one."""
    return lambda: monkeypatch.setattr(code, "library_code", lambda root: "other")


WORDS = ("run", "few", "--seeds", "1", "--arms", "popularity", "tiny", "tiny+prior")


def test_runs_of_other_code_are_said_and_done_again(
    call, done, tmp_path, changed, data
):
    done(*WORDS, "--out", tmp_path)
    before = runs_of(tmp_path, "few")
    assert call(*WORDS, "--out", tmp_path).err == ""
    changed()
    with pytest.raises(InputError, match="no finished run of tiny, seed 0"):
        load_run(tmp_path, "few", "tiny", data_dir=str(data))
    index = (tmp_path / "runs" / "index.csv").read_text()
    assert "made by other code" not in index
    called = call("run", "few", "--seeds", "1", "--arms", "tiny", "--out", tmp_path)
    left = "1 other run of few left out: made by other code\n"  # popularity's
    assert called.err == line_of(1) + left
    assert "1 run, 0 finished already, 1 to do" in called.out
    index = (tmp_path / "runs" / "index.csv").read_text()
    assert index.count("made by other code") == 1, "popularity's, as tiny is new"
    called = call(*WORDS, "--out", tmp_path)
    assert called.err == line_of(1)
    assert runs_of(tmp_path, "few") == before, "ids and folders stay"
    assert call(*WORDS, "--out", tmp_path).err == ""


def test_vectors_that_other_code_trained_are_not_served(done, tiny, changed):
    words = ("train", "--arm", "tiny", "--out", tiny)
    (folder,) = runs_of(tiny, "train")
    (folder / "metrics.json").unlink()  # as if killed before it was judged
    written = (folder / "vectors.npz").stat().st_mtime_ns
    done(*words)
    assert (folder / "vectors.npz").stat().st_mtime_ns == written
    (folder / "metrics.json").unlink()
    changed()
    done(*words)
    assert (folder / "vectors.npz").stat().st_mtime_ns > written


def test_a_run_from_before_there_were_seals_is_of_other_code(done, few):
    folder = runs_of(few, "few")[0]
    write_json(folder / "metrics.json", read_metrics(folder))
    assert done("run", "few", "--out", few).err == line_of(1)
    assert "seal" in read_json(folder / "metrics.json")


def test_records_hold_no_run_of_other_code(call, done, tmp_path, monkeypatch, changed):
    done(*WORDS, "--out", tmp_path)
    changed()

    def broken(*_):
        raise MemoryError("no room")

    monkeypatch.setattr(runs, "train_together", broken)
    assert call(*WORDS, "--out", tmp_path).status == 1
    records = load_records(tmp_path / "records" / "ml-100k" / "few.npz")
    assert [r.arm for r in records if r.record is None] == ["tiny", "tiny+prior"]


@pytest.mark.usefixtures("outside")
def test_a_report_says_which_arms_other_code_made(call, done, tmp_path, monkeypatch):
    """popularity's entry changes, tiny's doesn't; then all of the library does."""
    words = ("run", "few", "--arms", "popularity", "tiny", "--seeds", "1")
    done(*words, "--out", tmp_path)
    table = tmp_path / "tables" / "ml-100k" / "few.csv"
    again = ("report", "few", "--out", tmp_path)
    assert call(*again).err == ""
    whole = table.read_text()
    monkeypatch.setitem(globals(), "FACTOR", -1.0)
    called = call(*again)
    assert "few.npz: made by other code: popularity (--this-code" in called.err
    assert table.read_text() == whole
    assert call(*again, "--this-code").status == 0
    assert set(read_table(table).arm) == {"tiny"}
    monkeypatch.setattr(code, "library_code", lambda root: "other")
    called = call(*again, "--this-code")
    assert called.status == 2
    assert "made by other code: popularity, tiny (left out)" in called.err
    assert "other code made all of them" in called.err
    monkeypatch.delitem(BASELINES, "popularity")
    assert "made by other code: popularity, tiny" in call(*again).err


@pytest.mark.usefixtures("outside")
def test_a_changed_entry_from_outside_is_run_again(call, done, tmp_path, monkeypatch):
    words = ("run", "few", "--arms", "popularity", "--out", tmp_path)
    done(*words)
    (folder,) = runs_of(tmp_path, "few")
    before = read_metrics(folder)
    monkeypatch.setitem(globals(), "FACTOR", -1.0)
    called = call(*words)
    assert called.err == line_of(1)
    assert read_metrics(folder)["recall"]["20"] < before["recall"]["20"]


CODE = '"""A module."""\n\n\ndef two():\n    """Two."""\n    return 2  # as said\n'


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("  # as said", "", True),
        ('"""Two."""', '"""Twice one."""', True),
        ('"""A module."""\n\n\n', "", True),
        ("return 2", "return 3", False),
        ("two", "zwei", False),
    ],
)
def test_the_digest_is_of_what_code_does(old, new, same, tmp_path):
    for name, text in (("one", CODE), ("two", CODE.replace(old, new))):
        root = tmp_path / name / "research"
        joins = {f"../experiments/{n}": "" for n in code.JOINS}
        apart = {"report/page.py": name, "data/read.py": name}
        for path, source in {"losses/a.py": text, **joins, **apart}.items():
            file = root / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(source)
    one, two = (library_code(tmp_path / name / "research") for name in ("one", "two"))
    assert (one == two) == same
    assert (stripped(CODE) == stripped(CODE.replace(old, new))) == same
    (tmp_path / "two" / "research" / "losses" / "b.py").write_text("")
    library_code.cache_clear()
    assert library_code(tmp_path / "two" / "research") != two, "a module more"


def test_no_file_of_a_run_is_left_from_other_code(done, tiny, changed):
    (folder,) = runs_of(tiny, "train")
    (folder / "old.csv").write_text("left from before\n")
    changed()
    done("train", "--arm", "tiny", "--out", tiny)
    assert "old.csv" not in contents(folder)
    assert not [name for name in contents(folder) if name.startswith("prior")]


def latest_at(place):
    class Latest(nn.Module):
        def __call__(self, user):
            return user.history[:, place]

    return Latest


def test_what_a_class_from_outside_does_counts(monkeypatch):
    digests = []
    for place in (0, 1, 1):
        monkeypatch.setitem(ENCODERS, "latest", Encoder(latest_at(place)))
        digests.append(code_of({"encoder": "latest"}))
    assert digests[0] != digests[1] == digests[2]


def test_a_split_from_outside_counts(monkeypatch):
    digests = set()
    for step in (3, 5):
        entry = Split(lambda events, rules, step=step: np.arange(9) % step)
        monkeypatch.setitem(SPLITS, "mine", entry)
        digests.add(code_of({"split": "mine"}))
    assert len(digests) == 2


OWN = """
import functools
import jax
import own_helpers
from numpy import array, float32, ndarray
from own_helpers import order
NUMBERS = array([1.0])
OBJECTS = array([None, "1.0"], dtype=object)
SIGNS = (1.0,)
NAMED = {"a": [2.0], "by": [1.0]}


def imported(fold, options, seed):
    return order(fold)


def of_module(fold, options, seed):
    return own_helpers.order(fold)


def of_tuple(fold, options, seed):
    return SIGNS[0]


def of_array(fold, options, seed):
    return float32(NUMBERS) if isinstance(fold, ndarray) else NUMBERS


def of_objects(fold, options, seed):
    return OBJECTS


def of_names(fold, options, seed):
    return NAMED["by"]


def of_default(fold, options, seed, signs=SIGNS):
    return signs


half = functools.partial(order, scale=0.5)
compiled = jax.jit(order)


def of_partial(fold, options, seed):
    return half(fold)


def of_compiled(fold, options, seed):
    return compiled(fold)
"""


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("imported", "own_helpers"),
        ("of_module", "own_helpers"),
        ("of_tuple", "own_entries"),
        ("of_names", "own_entries"),
        ("of_array", "own_entries"),
        ("of_objects", "own_entries"),
        ("of_default", "own_entries"),
        ("of_partial", "own_helpers"),
        ("of_compiled", "own_helpers"),
    ],
)
def test_what_an_own_module_or_a_value_holds_counts(
    name, changed, tmp_path, monkeypatch
):
    monkeypatch.syspath_prepend(tmp_path)
    order = "def order(fold, scale=2.0):\n    return 1.0\n"
    texts = {"own_helpers": order, "own_entries": OWN}
    digests = []
    for _ in range(2):
        for module, text in texts.items():
            (tmp_path / f"{module}.py").write_text(text)
            monkeypatch.delitem(sys.modules, module, raising=False)
        linecache.clearcache()
        importlib.invalidate_caches()
        fit = getattr(importlib.import_module("own_entries"), name)
        entry = BASELINES["popularity"]._replace(fit=fit)
        monkeypatch.setitem(BASELINES, "popularity", entry)
        digests.append(code_of({"model": "popularity"}))
        assert digests[-1] == code_of({"model": "popularity"})
        texts[changed] = texts[changed].replace("1.0", "-1.0")
    assert digests[0] != digests[1]


def test_lambdas_on_one_line_are_told_apart(monkeypatch):
    digests = []
    for fit in (lambda f, o, s: f, lambda f, o, s: -f):
        entry = BASELINES["popularity"]._replace(fit=fit)
        monkeypatch.setitem(BASELINES, "popularity", entry)
        digests.append(code_of({"model": "popularity"}))
    assert digests[0] != digests[1]


def test_an_entry_with_values_behind_its_name_is_named():
    """As one without: code of one's own is followed whatever its values are."""
    config = {"loss": "hinge,margin=0.5", "negatives": ["extra:8,mix=0.5"]}
    plain = {"loss": "hinge", "negatives": ["extra:8"]}
    assert {key for key, _ in _named(config)} == {key for key, _ in _named(plain)}
    assert len(list(_named(config))) == 2
