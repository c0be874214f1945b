"""Strict JAX in every test: a silent broadcast or promotion is an error."""

import jax

from research.compiler import set_one_thread, set_xla_flags

set_xla_flags()  # as the command line does
set_one_thread()

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")
# Tests count compilations, so none may come from an earlier process.
jax.config.update("jax_enable_compilation_cache", False)
