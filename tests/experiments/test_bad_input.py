"""Bad input: exit status 2, one clear line on stderr, nothing written."""

import os
import shlex
from pathlib import Path

import jax
import pytest

from experiments.commands import preconditions
from experiments.grids import GRIDS
from experiments.output.folders import RECORDS_VERSION
from research.files import read_json, write_json
from research.report.records import load_records, read_header, save_records
from tests.experiments.made import contents, refused, runs_of
from tests.process import ROOT, python

# The words of a command, then parts of the line that refuses them.
REFUSED = f"""
run sbb | unknown grid 'sbb' | nearest: ssb | list grids
run ssb --dataset ml-10k | unknown data set 'ml-10k' | nearest: ml-100k | ml-25m
run ssb --arms in-batch in-batch+log | unknown arm | nearest: in-batch+logq
run ssb --tune 0 | tune is 0
run ssb --tune 2 --quick | --tune chooses epochs
run ssb --set bach=64 | unknown field to set 'bach' | nearest: batch
run few --set batch=64 | --set batch: arm tiny has its own value of batch
run ssb --set user_hidden=a,b | user_hidden is a whole number
run ssb --set seed=3 | --set seed: it has a flag of its own
run ssb --set dataset=ml-1m | --set dataset: it has a flag of its own
run ssb --arms in-batch+logq --set prior=1 | validation chooses it
run few --tune 2 --set temperature=0.2 | validation chooses it
run ssb --set batch | expected NAME=VALUE
run ssb --set batch=many | batch is a whole number
run ssb --set learning_rate=fast | learning_rate is a number
run ssb --set learning_rate=0 | learning_rate is 0
run ssb --reference full-softmx | unknown arm of grid ssb | nearest: full-softmax
run ssb --reference ease --arms in-batch | reference ease is not among --arms
choose ml-10k | unknown data set 'ml-10k' | nearest: ml-100k
choose ml-100k --minutes 0 | minutes is 0
choose ml-100k --jobs 0 | jobs is 0
train --arm in-bach | unknown arm 'in-bach' | nearest: in-batch | list arms
train --arm | --arm
run few --engine locl | 'locl' | nearest: local
train --encoder target-attention | target-attention | joins the towers
train --negatives unifrom:9 | unknown source of negatives 'unifrom' | nearest: uniform
train --draws \u0663 | --draws | digits 0 to 9
train --temperature=\u0660.\u0663 | --temperature | digits 0 to 9
run few --seeds \u0663 | --seeds | digits 0 to 9
train --dataset caf\udce9.csv | caf\\xe9.csv | not UTF-8
train --output dott | 'dott' | cosine | dot
train --user-features agee | 'agee' | age | gender
train --item-features yaer | 'yaer' | year
rum ssb | unknown command 'rum' | nearest: run | report
run few --seeds 0 | seeds is 0 | at least 1
run few --jobs 0 | jobs is 0 | at least 1
run few --ray-address 127.0.0.1:1 | --ray-address needs --engine ray
run probe --engine ray | isn't made of runs
run few --at-once 0 | at_once is 0 | at least 1
run few --at-once 2 --jobs 2 | at_once is 2 | --jobs 1
run few --at-once 2 --engine ray | at_once is 2 | --engine local
train --temperature 0 | temperature is 0 | above 0
train --model ease --ips 1 | ips is 1: model ease has none
train --model popularity --exposure 1 | exposure is 1: model popularity has none
train --evaluate-every 1 | evaluate_every | --fit-on train
train --negatives uniform | number of draws
train --negatives in-batch:3 | 'in-batch:3'
train --threshold 9 | threshold | 9
train --batch 5000 | batch 5000 | training part | pairs
train --model ease,l2=0 | ease's l2 is 0 | above 0
train --model two-tower,l2=3 | two-tower takes no values
train --positives item-item,gap=0 | item-item's gap is 0 | above 0
train --positives user-user,halves=tme | 'tme' | nearest: time
train --positives item-itm | kind of positives 'item-itm' | nearest: item-item
train --model ease --positives item-item | model ease with positives item-item
train --positives user-user --user-features age | 'age' with positives user-user
train --encoder none --user-features | user tower
train --item-array nowhere.npy | nowhere.npy | No such file
train --item-features id array | item feature 'array'
train --search simulated | search simulated | encoder mean | query
train --encoder query | encoder query | simulated | a file
train --encoder query --search file,path=nowhere.csv | nowhere.csv | No such file
train --user-features age history-age --history 0 | history-age | needs a history
train --arm tiny --dataset ml-latest-small --user-features gender | user feature
run few --seeds abc | --seeds | 'abc'
train --devices 4096 | devices is 4096 | there are {len(jax.devices())}
train --arm tiny --processes 0 | processes is 0 | at least 1
train --processes 2 --process-id 2 --coordinator h:1 | process_id is 2 | [0, 2)
train --arm tiny --processes 2 | 2 processes | HOST:PORT
train --arm tiny --coordinator h:1 | --processes above 1
train --arm tiny --processes 2 --coordinator here | 'here' | HOST:PORT
train --arm tiny --processes 2 --coordinator here:65536 | 'here:65536' | HOST:PORT
train --processes 2 --coordinator h:1 --devices 2 | devices is 2 | --processes
train --model popularity --processes 2 --coordinator h:1 | processes is 2 | popularity
train --model popularity --devices 2 | devices is 2 | model popularity
train --temprature 1 | --temprature | nearest: --temperature
train --prior x | --prior 'x': expected FLOAT or rule
run | grid
run probe --arms in-batch | probe | --arms
run probe --seeds 2 | --seeds
run search --split ratio | grid search has no use for --split: its own is last
run dial --dataset ml-1m | study dial has no use for --dataset: it simulates its data
run dial --data-dir . | study dial has no use for --data-dir: it simulates its data
run pace --at-once 2 | study pace has no use for --at-once
run magnifier --show | has no use for --show
run magnifier --dataset . --core 2 | no use for --core: python -m experiments data
run ssb --arms popularity mixed popularity | arms: popularity is given twice
run temperature --arms mixed | unknown arm of grid temperature 'mixed' | full-softmax
run trade-off --arms in-batch in-batch | arms: in-batch is given twice
run ssb --arms popularity --arms mixed | --arms is given twice
run ssb --columns=user=uid --columns item=sku | --columns is given twice
train --user-features age --user_features zip | --user-features is given twice
train --item-features id year id | item_features: id is given twice
train --negatives in-batch uniform:8 in-batch | negatives: in-batch is given twice
report ssb temperature ssb | ssb is given twice
report sbb | unknown grid | nearest: ssb
report --split ration | nearest: ratio
report --html --split last | --html is of every data set and split
bench --only loss loss | only: loss is given twice
run ssb --arms --quick | --arms needs a word: leave it out for its default
bench --only --quick | --only needs a word
"""
WITHOUT_OUT = """
list ssb | ssb
list losses --grid ssb | list losses has no use for --grid
list --grid pace | --grid pace: a study, not a grid
data ml-100k --write parts | --write 'parts': expected STR PATH
"""


@pytest.mark.parametrize("line", [*filter(None, (REFUSED + WITHOUT_OUT).split("\n"))])
def test_what_cannot_be_meant_is_refused(line, call, tmp_path):
    words, *parts = (part.strip() for part in line.split(" | "))
    command, *words = shlex.split(words)
    out = () if line in WITHOUT_OUT else ("--out", tmp_path / "out")
    refused(call(command, *out, *words), *parts)
    assert not (tmp_path / "out").exists()


def test_a_batch_that_the_devices_do_not_divide(call, tmp_path, monkeypatch):
    monkeypatch.setattr("research.train.mesh.jax.devices", lambda: ["cpu"] * 3)
    words = ("train", "--arm", "tiny", "--devices", "3", "--out", tmp_path / "out")
    refused(call(*words), "batch 128", "3 devices")
    assert not (tmp_path / "out").exists()


def test_an_output_folder_that_is_a_file(call, tmp_path):
    (tmp_path / "file").write_text("in the way")
    refused(call("run", "few", "--out", tmp_path / "file"), "file", "is a file")


@pytest.mark.parametrize("name", ["runs", "records", "tables", "figures"])
def test_a_file_in_the_way_of_a_folder_of_results(name, call, tmp_path):
    (tmp_path / name).write_text("in the way")
    refused(call("run", "few", "--out", tmp_path), str(tmp_path / name), "written")
    assert contents(tmp_path) == {name: b"in the way"}


def test_a_run_of_another_results_version(call, few):
    folder = runs_of(few, "few")[0]
    env = read_json(folder / "env.json")
    write_json(folder / "env.json", {**env, "results_version": RECORDS_VERSION + 1})
    before = contents(few)
    words = ("run", "few", "--out", few)
    refused(call(*words), str(folder), f"version {RECORDS_VERSION + 1}", "--out")
    assert contents(few) == before


def test_records_of_another_results_version(call, few):
    path = few / "records" / "ml-100k" / "few.npz"
    header = {**read_header(path), "results_version": RECORDS_VERSION - 1}
    save_records(path, load_records(path), header)
    before = contents(few)
    parts = (str(path), f"version {RECORDS_VERSION - 1}")
    refused(call("report", "few", "--out", few), *parts)
    refused(call("check", "--results", few), *parts)
    assert contents(few) == before


def test_nothing_to_report_or_to_check(call, tmp_path):
    out = tmp_path / "out"
    refused(call("report", "--out", out), str(out / "records"))
    refused(call("report", "ssb", "--out", out), "ssb.npz")
    refused(call("check", "--results", out), str(out / "records"))
    refused(
        call("report", "--dataset", "shop", "--out", out), "unknown data set 'shop'"
    )
    (out / "quick" / "records" / "shop").mkdir(parents=True)
    called = call("report", "ssb", "--dataset", "shop", "--out", out)
    refused(called, f"but of a smoke run: --out {out / 'quick'}")
    records = out / "records" / "ml-100k"
    records.mkdir(parents=True)
    (records / "ssb.npz").write_text("no zip")
    refused(call("report", "ssb", "--out", out), str(records / "ssb.npz"))
    assert contents(out) == {"records/ml-100k/ssb.npz": b"no zip"}


@pytest.mark.parametrize(
    "changes",
    [
        {"arms": ("tiny", "tiny+logq", "tiny")},
        {"swept": {"temperature": (0.1, 0.2, 0.1)}},
        {"arm_sweeps": {"tiny": ({"temperature": (0.1, 0.1)},)}},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_grid_that_names_something_twice(changes, call, tmp_path, monkeypatch):
    monkeypatch.setitem(GRIDS, "few", GRIDS["few"].but(**changes))
    refused(call("run", "few", "--out", tmp_path / "out"), "of grid few", "given twice")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--user-hidden --item-features id", "user_hidden none (128)"),
        ("--seed 1 --seed 2", "seed 2 (0)"),  # of one value the later counts
        ("--negatives uniform:8 uniform:8", "uniform: 8 columns"),  # drawn anew each
    ],
)
def test_what_is_given_without_a_word_or_twice_on_purpose(words, said, call, tmp_path):
    called = call("train", "--arm", "tiny", *words.split(), "--show")
    assert called.status == 0, called.err
    assert said in called.out


@pytest.fixture
def clone(tmp_path):
    """A folder with the looks of another clone of the project, and one below it."""
    for file in ("experiments/__main__.py", "research/__init__.py"):
        path = tmp_path / "clone" / file
        path.parent.mkdir(parents=True)
        path.touch()
    (tmp_path / "clone" / "notebooks").mkdir()
    return tmp_path / "clone"


@pytest.mark.parametrize("below", [".", "notebooks"])
def test_a_clone_that_is_not_the_one_imported_is_refused(
    below, call, clone, monkeypatch
):
    monkeypatch.chdir(clone / below)
    words = (str(clone), str(ROOT), "run make")
    for command in (("list",), ("run", "ssb")):
        refused(call(*command), *words)


@pytest.mark.parametrize("folder", [ROOT, ROOT / "notebooks", Path("/")])
def test_a_single_copy_is_used_from_anywhere(folder, done, monkeypatch):
    monkeypatch.chdir(folder)
    done("list", "losses")


def test_a_folder_that_was_removed_is_refused(call, tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    refused(call("list"), "the current folder was removed")


def test_packages_of_two_copies_are_refused(call, clone, monkeypatch):
    found = {"research": clone, "experiments": ROOT}
    monkeypatch.setattr(preconditions, "_folder_of", found.__getitem__)
    refused(call("list"), f"research is imported from {clone}", str(ROOT), "run make")


def test_packages_of_two_copies_are_found_apart(clone):
    """In a process of its own: research of a clone, experiments of this one."""
    (clone / "experiments" / "__main__.py").unlink()
    (clone / "experiments").rmdir()
    module = "experiments.commands.preconditions"
    program = f"from pathlib import Path\nfrom {module} import conflict"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(clone), str(ROOT)])}
    code = f"{program}\nprint(conflict(Path('/')))"
    told = python("-c", code, cwd=clone, env=env)
    assert str(clone) in told
    assert str(ROOT) in told
