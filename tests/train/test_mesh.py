"""One run over 8 virtual devices: the losses and gradients of one device."""

import json
import os

import pytest

from research.train.mesh import placement_over
from research.types import InputError
from tests.process import python

ARMS = ("in-batch+logq+mask",)
# One pass over columns at hand; the item tower in a block; a table's touched rows.
OTHERS = (
    "blocked in-batch+logq+mask",
    "blocked full-softmax",
    "lazy-adam in-batch+logq",
)


def run_on(devices: int, *words: str) -> str:
    """A module as a program, in a process of its own, which counts so many devices."""
    flags = os.environ.get("XLA_FLAGS", "")
    flags += f" --xla_force_host_platform_device_count={devices}"
    env = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    return python("-m", *words, env=env)


@pytest.mark.parametrize("cases", [ARMS, pytest.param(OTHERS, marks=pytest.mark.slow)])
def test_eight_devices_have_the_losses_and_gradients_of_one(cases):
    found = json.loads(run_on(8, "tests.train.placement_run", "8", *cases))
    assert set(found) == set(cases)
    for name, numbers in found.items():
        assert numbers["loss"] < 1e-5, name
        assert numbers["gradient"] < 1e-5, name
        assert numbers["share"] == 1 / 8, "each device has an eighth of a large table"


@pytest.mark.parametrize(
    ("devices", "batch", "reason"),
    [(0, 64, "at least 1"), (4_096, 4_096, "there are"), (1_000_000, 64, "there are")],
)
def test_devices_that_are_not_there_are_refused(devices, batch, reason):
    with pytest.raises(InputError, match=reason):
        placement_over(devices, batch)


def test_a_batch_that_the_devices_do_not_divide_is_refused(monkeypatch):
    monkeypatch.setattr("research.train.mesh.jax.devices", lambda: ["cpu"] * 3)
    with pytest.raises(InputError, match="batch 64 can't be divided among 3 devices"):
        placement_over(3, 64)
