"""Flags that can't be meant, some 550 cases generated from the fields and their marks.

Each ends with exit status 2 and one line on stderr, and leaves no file.
"""

import dataclasses
import itertools
from typing import get_type_hints

import pytest

from experiments.__main__ import MOVED, parse
from experiments.commands.flags import DATA_FIELDS
from research.config import Config
from research.entries import Named
from research.marks import Choice, Range, marks_of
from research.memory import check_memory
from research.prepare import check_config
from research.types import InputError
from tests.experiments.made import contents
from tests.world import made_fold

HINTS = get_type_hints(Config)
RANGES = dict(marks_of(Config, Range))
WORDS = {name for kind in (Choice, Named) for name, _ in marks_of(Config, kind)}
HUGE = "9" * 30
# Numbers that a field itself must refuse; and words that are no number, which are
# refused in one place for all fields: each field has one of them, in turn.
FLOATS = ("nan", "inf", "-inf", "1e300", "-1e300", "1e-300")
INTS = (HUGE, f"-{HUGE}", str(2**33))
NO_NUMBERS = {
    float: itertools.cycle(("abc", "", "1,5")),
    int: itertools.cycle(("nan", "inf", "1.5", "abc", "", "1e3", "0x")),
}
# What a field without marks can't be; its other values are checked by its stage.
OTHERS = {
    "model": ("", "eas", "two tower", "two-tower,l2=3", "ease,nope=1"),
    "columns": ("x", "user=", "person=uid", "user=a"),
    "user_features": ("nonsense", "year", ""),
    "item_features": ("nonsense", "age", "array", ""),
    "item_array": ("nowhere.npy", "."),
    "search": (
        "nowhere.csv",
        "file,path=nowhere.csv",
        "file,path=.",
        "simulated,words=0",
    ),
    "user_hidden": ("0", "-1", "x", HUGE, "1.5", ""),
    "item_hidden": ("0", "-1", "x", HUGE, "1.5", ""),
    "negatives": (
        *("", "nonsense", "uniform", "uniform:", "uniform:0", "uniform:-1"),
        *("uniform:²", f"uniform:{HUGE}", "uniform:1.5", "in-batch:3"),
        *("uniform:9999999999", "uniform:2000000000", "in-batch-part:9999"),
    ),
    "dataset": ("", "ml-10k", "no/where", "x.csv", "a" * 5000, "a\nb"),
}
NOT_FOR_TOWERS = {"search": ("--encoder", "query")}


def bad_values(name: str) -> list[str]:
    """What the field must refuse."""
    values = list(OTHERS.get(name, ()))
    if name in WORDS:
        values += ["nonsense", "", "naïve", "<script>"]
    if HINTS[name] is bool:
        values += ["maybe", "2"]
    if HINTS[name] in (int, float):
        values += FLOATS if HINTS[name] is float else INTS
        values += [next(NO_NUMBERS[HINTS[name]])]
    if bounds := RANGES.get(name):
        values += [str(bounds.low - 1)]
        values += [str(bounds.low)] * (bounds.open in ("low", "both"))
        values += [] if bounds.high is None else [str(bounds.high + 1)]
    return list(dict.fromkeys(values))


FIELDS = [field.name for field in dataclasses.fields(Config)]
OF_TRAIN = [(name, value) for name in FIELDS for value in bad_values(name)]
OF_DATA = [(name, value) for name in DATA_FIELDS for value in bad_values(name)]


def refused(called, before, folder):
    """Status 2, one line for a person, no file that wasn't there."""
    assert called.status == 2, called
    assert called.err.startswith("error: "), called.err
    assert called.err.count("\n") == 1, called.err
    assert called.err.endswith("\n")
    assert "Traceback" not in called.err
    assert contents(folder) == before


def flag(name: str, value: str) -> str:
    return f"--{name.replace('_', '-')}={value}"


@pytest.mark.parametrize(("name", "value"), OF_TRAIN)
def test_a_field_of_a_run(name, value, call, tmp_path):
    words = ("train", flag(name, value), *NOT_FOR_TOWERS.get(name, ()))
    called = call(*words, "--out", tmp_path / "out")
    refused(called, {}, tmp_path)


@pytest.mark.parametrize(("flag", "instead"), MOVED.items())
def test_a_flag_of_before_says_what_to_write(flag, instead, call, tmp_path):
    called = call("train", f"{flag}=1", "--out", tmp_path / "out")
    refused(called, {}, tmp_path)
    assert instead in called.err
    command = parse(["train", "--out", str(tmp_path / "out"), *instead.split()])
    check_config(command._chosen())


@pytest.mark.parametrize(("name", "value"), OF_DATA)
@pytest.mark.parametrize("command", ["run", "data"])
def test_a_field_of_the_data(command, name, value, call, tmp_path, data):
    words = [command, "few" if command == "run" else "ml-100k", flag(name, value)]
    words += ["--out", tmp_path / "out"] if command == "run" else ["--data-dir", data]
    refused(call(*words), {}, tmp_path)


# Fields that are right alone and too large for any machine together with the data.
TOO_LARGE = (
    ("--dim", "2000000000"),
    ("--user-hidden", "2000000000"),
    ("--item-hidden", "1000000000", "1000000000"),
    ("--negatives", "uniform:64", "--draws", "2000000000"),
    ("--frequency", "streaming,buckets=2147483647", "--dim", "200000000"),
    ("--batch", "2147483647"),
    ("--item-features", "dynamic", "--window-days", "1e-7"),
    ("--item-features", "dynamic", "--window-days", "1e-30"),
    ("--batch-order", "time", "--window-days", "1e-30"),
)


@pytest.mark.parametrize("words", TOO_LARGE, ids=" ".join)
def test_more_than_the_memory_holds(words, call, tmp_path):
    called = call("train", "--arm", "tiny", *words, "--out", tmp_path / "out")
    refused(called, {}, tmp_path)


def test_the_memory_of_the_machine_decides(call, tmp_path, monkeypatch):
    words = ("train", "--arm", "tiny", "--dim", "4096", "--out", tmp_path / "out")
    with monkeypatch.context() as small:
        small.setattr("research.memory.machine_bytes", lambda: 10**6)
        called = call(*words)
    refused(called, {}, tmp_path)
    assert "dim 4096" in called.err
    assert "0.001 GB" in called.err
    assert call(*words, "--show").status == 0


def test_a_baseline_of_too_many_items_for_the_memory_is_refused(
    call, tmp_path, monkeypatch
):
    words = ("train", "--out", tmp_path / "out", "--model")
    with monkeypatch.context() as small:
        small.setattr("research.memory.machine_bytes", lambda: 10_000)
        called = call(*words, "ease")
        refused(called, {}, tmp_path)
        assert "ease of " in called.err
        assert "would take" in called.err
        assert call(*words, "item-knn").status == 0
    assert call(*words, "ease").status == 0


def test_negatives_of_each_row_count_as_logits_not_as_vectors(monkeypatch):
    """A row's part of the batch, and items looked up, are vectors that there are."""
    fitted = made_fold().fitted
    changes = {"history": 1, "user_hidden": (), "item_hidden": ()}
    config = Config(batch=512, negatives=("in-batch-part:511",), dim=64, **changes)
    logits, vectors = 4 * 512 * 511, 4 * 512 * 511 * 64
    monkeypatch.setattr("research.memory.machine_bytes", lambda: vectors // 2)
    check_memory(config, fitted)
    monkeypatch.setattr("research.memory.machine_bytes", lambda: logits // 2)
    with pytest.raises(InputError, match="negatives in-batch-part:511"):
        check_memory(config, fitted)


@pytest.mark.parametrize(
    ("changes", "small", "expected"),
    [
        ({"dim": 512}, 3_000_000, ["--optimiser lazy-adam", "--batch 256"]),
        (
            {"negatives": ("uniform:64",), "draws": 65_536},
            5_000_000,
            ["--dim 16", "--draws 16384"],
        ),
        ({"dim": 512}, 100, []),
    ],
    ids=["tables", "negatives", "none"],
)
def test_changes_that_would_fit_are_named_and_do(changes, small, expected, monkeypatch):
    fitted = made_fold().fitted
    plain = {"history": 1, "user_hidden": (), "item_hidden": ()}
    config = Config(batch=512, optimiser="adamw", **plain, **changes)
    monkeypatch.setattr("research.memory.machine_bytes", lambda: small)
    with pytest.raises(InputError) as refusal:
        check_memory(config, fitted)
    advice = str(refusal.value).rpartition("GB: ")[2]
    if not expected:
        assert advice == "choose smaller ones"
        return
    assert advice == f"{' or '.join(expected)} would fit"
    for change in expected:
        name, value = change.removeprefix("--").split()
        value = {"optimiser": value, "negatives": (value,)}.get(name) or int(value)
        check_memory(dataclasses.replace(config, **{name: value}), fitted)


OTHER_COMMANDS = (
    *(("run", "few", f"--{n}={v}") for n in ("seeds", "jobs", "at-once")
      for v in ("0", "-1", "1.5", "abc", "", "nan", f"-{HUGE}")),
    *(("run", "few", f"--seeds={v}") for v in (HUGE, "1000000000")),
    *(("run", name) for name in ("", "sbb", "../few", "few\n", "--few")),
    *(("run", "few", f"--{n}={v}") for n, v in (
        ("split", ""), ("split", "x"), ("engine", ""), ("engine", "locl"),
        ("ray-address", "x"), ("dataset", ""), ("dataset", "no/where"),
        ("arms", "x"), ("data-dir", "nowhere"), ("out", "/dev/null"),
    )),
    *(("train", f"--{n}={v}") for n in ("devices", "processes")
      for v in ("0", "-1", "abc", "", "1.5", f"-{HUGE}", HUGE)),
    *(("train", f"--{n}={v}") for n, v in (
        ("process-id", "1"), ("process-id", "-1"), ("coordinator", "x"),
        ("data-dir", "nowhere"), ("out", "/dev/null"), ("save", "/dev/null"),
        ("export", "/dev/null"), ("start-from", "nowhere"), ("start-from", "/dev/null"),
        ("arm", ""), ("arm", "x"), ("arms", "x"),
    )),
    *(("report", *words) for words in (
        ("sbb",), ("--dataset", "ml-10k"), ("--dataset", ""), ("--split", "x"),
        ("--out", "/dev/null"), ("--out", "nowhere"), ("--x", "ndcg"), ("--y", "ndcg"),
        ("--x", "no", "--y", "ndcg"), ("--where", "arm == 1"), ("--html", "--x", "hit"),
        ("few", "--out", "nowhere"), ("--html", "--out", "nowhere"),
    )),
    *(("check", "--results", where) for where in ("nowhere", "/dev/null", "")),
    *(("data", *words) for words in (
        (), ("",), ("ml-10k",), ("no/where",), ("/dev/null",), ("/dev/zero",),
        ("ml-100k", "--split", "x"), ("ml-100k", "--data-dir", "nowhere"),
        ("ml-100k", "--write", "recbole"), ("ml-100k", "--write", "x", "y"),
        ("ml-100k", "--write", "recbole", "/dev/null"), ("ml-100k", "--columns", "x"),
    )),
    *(("encode", "--model", "m", "--histories", "h.csv", "--out", "o", *words)
      for words in ((), ("--lists", "-1"), ("--lists", HUGE), ("--lists", "x"),
                    ("--prior", "nan"), ("--prior", "inf"), ("--prior", "1e300"),
                    ("--exposure", "nan"), ("--exposure", "1"),
                    ("--users", "nowhere"), ("--out", "/dev/null"))),
    ("encode",), ("encode", "--model", "m"), ("list", "x"), ("list", "api", "x"),
    ("",), ("trian",), ("--x",),
)  # fmt: skip


@pytest.mark.parametrize("words", OTHER_COMMANDS, ids=" ".join)
def test_a_flag_of_another_command(words, call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = [part for word in words for part in word.split("=", 1)]
    refused(call(*words), {}, tmp_path)


TOO_LONG = "n" * 300
PATHS = {
    "a name too long": lambda folder: folder / TOO_LONG,
    "too long below a folder": lambda folder: folder / "new" / TOO_LONG,
    "too long as a file": lambda folder: folder / f"{TOO_LONG}.npz",
    "a link to itself": lambda folder: folder / "loop",
    "below a link to itself": lambda folder: folder / "loop" / "new",
    "a link to nothing": lambda folder: folder / "nothing",
    "below a file": lambda folder: folder / "file" / "new",
}
WITH_PATHS = (
    *(("run", "few", "--out"), ("train", "--out"), ("train", "--save")),
    *(("train", "--export"), ("train", "--start-from"), ("train", "--data-dir")),
    *(("train", "--dataset"), ("train", "--item-array"), ("data",)),
    *(("data", "ml-100k", "--data-dir"), ("data", "ml-100k", "--write", "parts")),
    *(("report", "--out"), ("report", "--html", "--out"), ("check", "--results")),
    *(("encode", "--histories", "h.csv", "--model", "m", "--out"), ("bench", "--out")),
    ("encode", "--histories", "h.csv", "--out", "o", "--model"),
)  # fmt: skip


@pytest.mark.parametrize("case", PATHS)
@pytest.mark.parametrize("words", WITH_PATHS, ids=" ".join)
def test_a_path_that_cant_be(words, case, call, tmp_path, monkeypatch, data):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "nothing").symlink_to("nowhere")
    (tmp_path / "file").write_text("in the way")
    more = (
        ("--data-dir", data) if words == ("data", "ml-100k", "--write", "parts") else ()
    )
    called = call(*words, PATHS[case](tmp_path), *more)
    refused(called, {"file": b"in the way"}, tmp_path)
