"""What one process compiled, the next one reads back."""

import os

import jax
import pytest

from experiments.output.environment import keep_compiled
from tests.process import python

PROGRAM = """
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
    value, hits = python("-c", PROGRAM, folder, env=env).split()
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
