import os
import re
from pathlib import Path

import jax
import pytest

from tests.process import python

CPU = Path("/proc/cpuinfo")
ABOUT = CPU.read_text() if CPU.is_file() else ""
# Numbers of 32 bits in a vector of this processor, where its flags say so.
WIDTH = 16 if "avx512f" in ABOUT else 8 if "avx2" in ABOUT else None
LOOK_UP = """
import jax, jax.numpy as jnp
{first}
jax.jit(lambda table, ids: table[ids])(jnp.ones((4000, 64)), jnp.arange(512))
print(__import__("os").environ.get("XLA_FLAGS", ""))
"""
SET = "from research import set_xla_flags; set_xla_flags()"
AVX2 = "--xla_cpu_max_isa=AVX2"
# Later releases dump an emitter's code only if asked; earlier ones have no such flag.
EMITTERS = "--xla_dump_emitter_re=.*" if jax.__version_info__ >= (0, 10, 2) else ""
VECTORS = re.compile(r"load <(\d+) x float>")


def compiled(folder, first, flags=""):
    """What a fresh process compiled of a look-up, and its XLA_FLAGS at the end."""
    env = {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "0",
        "XLA_FLAGS": f"--xla_dump_to={folder} {EMITTERS} {flags}",
    }
    told = python("-c", LOOK_UP.format(first=first), env=env)
    code = [path.read_text() for path in folder.glob("*gather*ir-with-opt.ll")]
    assert code
    return "\n".join(code), told.split()


OWN = "--xla_cpu_prefer_vector_width=128"
NO_WIDTH = pytest.mark.skipif(WIDTH is None, reason="no AVX2: how wide isn't known")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("first", "flag", "width"),
    [
        pytest.param(SET, "", WIDTH, marks=NO_WIDTH, id="as the processor has them"),
        pytest.param(SET, AVX2, 8, marks=NO_WIDTH, id="as a flag has them"),
        pytest.param(SET, OWN, 4, id="as a person's flag has them"),
        pytest.param("import research", "", None, id="none, by an import alone"),
    ],
)
def test_rows_are_looked_up_by_vectors_once_the_flags_are_set(
    first, flag, width, tmp_path
):
    code, flags = compiled(tmp_path, first, flag)
    assert {int(found) for found in VECTORS.findall(code)} == {width} - {None}
    assert f"--xla_dump_to={tmp_path}" in flags
    if flag == OWN:
        assert [one for one in flags if "vector_width" in one] == [OWN]


HEAVY = """
import jax, jax.numpy as jnp
from research.compiler import compute_where_called
compute_where_called()
heavy = jax.jit(lambda x: jax.lax.fori_loop(0, 300, lambda n, y: jnp.tanh(y @ x), x))
heavy(jnp.ones((300, 300))).block_until_ready()
print(heavy(jnp.zeros((300, 300))).is_ready())
"""


def test_a_program_is_done_when_its_call_returns():
    # by default JAX returns at once, and 300 products take a tenth of a second
    env = {**os.environ, "JAX_PLATFORMS": "cpu", "NPROC": "1"}
    assert python("-c", HEAVY, env=env).split() == ["True"]
