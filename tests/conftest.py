"""Strict JAX in every test: a silent broadcast or promotion is an error."""

import atexit
import gc
import os
import shutil
import sys
import tempfile

# Where no bytecode is kept beside the sources, each process that a test starts would
# compile every library anew, for 4 s: these share a folder that ends with the tests.
if sys.dont_write_bytecode:
    sys.dont_write_bytecode = False
    sys.pycache_prefix = tempfile.mkdtemp(prefix="bytecode-")
    os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    atexit.register(shutil.rmtree, sys.pycache_prefix, ignore_errors=True)

# Each worker has a core. A second thread of BLAS would wait for its turn in a busy
# loop, on the core of another worker.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import jax
import pytest
from threadpoolctl import threadpool_limits

from research.compiler import set_one_thread, set_xla_flags

# Programs of tests run for a moment: in haste they compile in less than half the time.
# With JAX_DISABLE_MOST_OPTIMIZATIONS=0 they are compiled as users have them.
HASTE = "JAX_DISABLE_MOST_OPTIMIZATIONS"
os.environ.setdefault(HASTE, "1")  # for the processes that tests start
if os.environ[HASTE] != "0" and jax.__version_info__ < (0, 11):  # later ones refuse it
    for flag in ("use_fusion_emitters=false", "parallel_codegen_split_count=1"):
        flags = os.environ.get("XLA_FLAGS", "")
        os.environ["XLA_FLAGS"] = f"{flags} --xla_cpu_{flag}"
jax.config.update(HASTE.lower(), os.environ[HASTE] != "0")

set_xla_flags()  # as the command line does
set_one_thread()
threadpool_limits(int(os.environ["OPENBLAS_NUM_THREADS"]), "blas")  # loaded before

# Tracing makes many objects that live on: by default they are looked through every 700.
gc.set_threshold(20_000, 20, 20)

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")
# Tests count compilations, so none may come from an earlier process.
jax.config.update("jax_enable_compilation_cache", False)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long tests begin first, so that no worker is left with one at the end."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)
