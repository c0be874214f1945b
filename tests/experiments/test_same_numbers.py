"""A loss chosen on the command line and in a notebook's cell is the same run."""

import json

from experiments.output.seals import read_metrics

CELL = """
import dataclasses
from experiments.arms import arm
from experiments.compare import compare
from research.evaluate.metrics import summary

base = arm("tiny")
changed = dataclasses.replace(
    base, loss="hinge", negatives=("uniform:16",), temperature=0.3, seed=1
)
rows = compare({"mine": changed}, seeds=2, data_dir=data_dir)
"""


def test_a_loss_gives_the_same_numbers_from_both(call, data, tmp_path):
    called = call(
        *("train", "--arm", "tiny", "--loss", "hinge", "--negatives", "uniform:16"),
        *("--temperature", 0.3, "--seed", 1, "--out", tmp_path),
    )
    assert called.status == 0, called.err
    (found,) = tmp_path.glob("runs/*/train/*/")
    told = read_metrics(found)
    names = {"data_dir": str(data)}
    exec(CELL, names)
    first, second = (names["summary"](row.record) for row in names["rows"])
    of_cell = json.loads(json.dumps(second))
    assert of_cell == told
    assert first["recall"] != second["recall"]  # another seed is another run
