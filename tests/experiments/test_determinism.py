"""One run id, one result: whatever the process; and how far a second machine is off."""

import os

import jax
import numpy as np
import pytest

from experiments.engine.local import run_here
from experiments.output.environment import keep_compiled, threads
from experiments.studies import STUDIES
from research.compiler import THREADS, set_one_thread
from research.files import read_arrays, read_json
from research.types import InputError
from tests.experiments.made import contents, runs_of, without_seals
from tests.process import python

COMPILED_ANEW = {"JAX_ENABLE_COMPILATION_CACHE": "false"}
OTHER_MACHINE = "--xla_cpu_max_isa=AVX2"
DECIDED = ("metrics.json", "per_user.npz", "vectors.npz", "history.csv", "lists.npz")


def trained(data, out, **environment):
    """The folder of the tiny arm's run, trained by a process of that environment."""
    unset = {n: v for n, v in os.environ.items() if n not in (THREADS, "XLA_FLAGS")}
    words = ("train", "--arm", "tiny", "--data-dir", str(data), "--out", str(out))
    env = {**unset, **COMPILED_ANEW, "JAX_PLATFORMS": "cpu", **environment}
    python("-m", "tests.experiments.program", *words, env=env)
    (folder,) = runs_of(out, "train")
    return folder


def decided(folder):
    """Of a run's files, those that its settings decide to the last bit."""
    return without_seals(
        {n: c for n, c in contents(folder).items() if n.endswith(DECIDED)}
    )


def scores(folder):
    arrays = read_arrays(folder / "vectors.npz")
    return arrays["users"] @ arrays["items"].T


@pytest.mark.slow
@pytest.mark.long
def test_processes_agree_to_the_bit_and_machines_nearly(data, tmp_path):
    one = trained(data, tmp_path / "one", PYTHONHASHSEED="1")
    two = trained(data, tmp_path / "two", PYTHONHASHSEED="2")
    assert decided(one) == decided(two)
    assert read_json(one / "env.json")["threads"] == 1

    machine = trained(data, tmp_path / "other", XLA_FLAGS=OTHER_MACHINE)
    assert one.name == machine.name, "the same run id"
    largest = np.abs(scores(one)).max()
    np.testing.assert_allclose(scores(machine), scores(one), atol=1e-4 * largest)


DISPATCH = "jax_cpu_enable_async_dispatch"


@pytest.fixture
def dispatched():
    before = jax.config.read(DISPATCH)
    jax.config.update(DISPATCH, True)
    yield lambda: jax.config.read(DISPATCH)
    jax.config.update(DISPATCH, before)


def test_runs_of_this_process_compute_where_they_are_called(dispatched):
    run_here([], None, lambda status: None, lambda line: None)
    assert dispatched() is False


def test_a_study_computes_where_it_is_called(call, dispatched, monkeypatch, tmp_path):
    def stopped(options):
        raise InputError(f"stopped, dispatched: {dispatched()}")

    monkeypatch.setitem(STUDIES, "dial", STUDIES["dial"].but(run=stopped))
    called = call("run", "dial", "--quick", "--out", tmp_path)
    assert called.err == "error: stopped, dispatched: False\n"


def test_threads_are_one_unless_asked_for(monkeypatch):
    monkeypatch.setenv(THREADS, "3")
    set_one_thread()
    assert threads() == 3
    monkeypatch.delenv(THREADS)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    set_one_thread()
    assert threads() == 1
    monkeypatch.delenv(THREADS)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    set_one_thread()
    assert THREADS not in os.environ, "an accelerator is there"


@pytest.mark.parametrize("number", ["many", "0", "-1", "", "1.5", "99999999"])
def test_a_number_of_threads_that_is_none_is_refused(call, monkeypatch, number):
    monkeypatch.setenv(THREADS, number)
    with pytest.raises(InputError, match=THREADS):
        set_one_thread()
    called = call("train", "--arm", "tiny", "--show")
    assert called.status == 2
    assert called.err.startswith(f"error: {THREADS} is '{number}'")


# What one process compiled, the next one reads back.
COMPILES = """
import sys
from pathlib import Path
import jax
import jax.numpy as jnp
from experiments.output.environment import keep_compiled

hits = []
jax.monitoring.register_event_listener(lambda event, **about: hits.append(event))
keep_compiled(Path(sys.argv[1]))
print(jax.jit(lambda x: jnp.sin(x) @ x)(jnp.eye(7)).sum())
print(sum("compilation_cache/cache_hits" in event for event in hits))
"""


def result(folder) -> tuple[str, int]:
    env = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"}
    value, hits = python("-c", COMPILES, folder, env=env).split()
    return value, int(hits)


@pytest.mark.slow
def test_a_second_process_reads_what_the_first_compiled(tmp_path):
    first, second = result(tmp_path), result(tmp_path)
    assert first[1] == 0
    assert second[1] > 0
    assert first[0] == second[0]


@pytest.fixture
def unset():
    names = ("compilation_cache_dir", "persistent_cache_min_compile_time_secs")
    before = {f"jax_{name}": getattr(jax.config, f"jax_{name}") for name in names}
    jax.config.update("jax_compilation_cache_dir", None)
    yield
    for name, value in before.items():
        jax.config.update(name, value)


@pytest.mark.usefixtures("unset")
def test_a_folder_that_cannot_be_made_costs_a_line(tmp_path, capsys):
    (tmp_path / "compiled").write_text("a file")
    keep_compiled(tmp_path)
    assert "compiled programs aren't kept" in capsys.readouterr().err
    assert jax.config.jax_compilation_cache_dir is None


@pytest.mark.usefixtures("unset")
def test_a_folder_that_jax_was_told_of_stays(tmp_path):
    jax.config.update("jax_compilation_cache_dir", str(tmp_path / "mine"))
    keep_compiled(tmp_path)
    assert jax.config.jax_compilation_cache_dir == str(tmp_path / "mine")
    assert not (tmp_path / "compiled").exists()
