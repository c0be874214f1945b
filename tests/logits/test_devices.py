"""Logits in blocks on 8 virtual devices: no waiting between one block and the next."""

import json

from tests.train.test_mesh import run_on


def test_devices_loop_over_their_own_rows_alone():
    found = json.loads(run_on(8, "tests.logits.blocks_run"))
    left, told = found["False"], found["True"]
    assert left["talks"] > 0, "what the compiler does unless it is told"
    assert told["talks"] == 0
    assert told["apart"] < 1e-6
