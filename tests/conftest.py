"""Strict JAX in every test: a silent broadcast or promotion is an error."""

import os

import jax

from research.compiler import set_one_thread, set_xla_flags

set_xla_flags()  # as the command line does
set_one_thread()

# Programs of tests run for a moment: in haste they take a third less to compile. With
# JAX_DISABLE_MOST_OPTIMIZATIONS=0 they are compiled as users have them.
HASTE = "JAX_DISABLE_MOST_OPTIMIZATIONS"
os.environ.setdefault(HASTE, "1")  # for the processes that tests start
jax.config.update(HASTE.lower(), os.environ[HASTE] != "0")

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")
# Tests count compilations, so none may come from an earlier process.
jax.config.update("jax_enable_compilation_cache", False)
