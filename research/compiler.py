"""The cores of this process, and XLA's flags and threads on them, set on request."""

import importlib.util
import os

from research.types import InputError

WANTED = {
    "--xla_backend_extra_options": "xla_cpu_disable_loop_unrolling",
    "--xla_cpu_prefer_vector_width": "512",
}
THREADS = "NPROC"  # XLA's name for how many threads share the work of a CPU


def cores() -> list[int]:
    """The processors this process may use; it may be bound to fewer than there are."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def set_xla_flags() -> None:
    """Adds two flags to XLA_FLAGS that speed up table look-ups on a CPU.

    By default XLA unrolls the loop over the numbers of a row, and so many instructions
    then stand between two rows that one is waited for before the next is requested. As
    a loop of vectors, a look-up in a table that is too large for the caches takes a
    quarter of the time. Results move by rounding at most, except those of jnp.arctan
    and jnp.arctan2, which jaxlib 0.10.2 gets wrong with vectors this wide (JAX issue
    39352) and nothing here uses. Other devices read neither flag. A flag that is set
    already stays as it is.

    Importing the library changes nothing in the process; the command line calls this
    before it imports JAX, and a notebook may. XLA reads its flags once, when it first
    compiles, so the call comes too late where JAX has already computed something.
    """
    present = os.environ.get("XLA_FLAGS", "")
    added = [f"{flag}={value}" for flag, value in WANTED.items() if flag not in present]
    os.environ["XLA_FLAGS"] = " ".join([present, *added]).strip()


def set_one_thread() -> None:
    """Makes XLA use one CPU thread, so that a run has the same digits as in a worker.

    The number of threads decides in which order numbers are summed, and a worker of a
    grid, bound to its core, has one. A second thread makes one training up to about a
    quarter faster; a grid uses the cores through one worker each. A number of threads
    that is set already (NPROC) stays, and where JAX has an accelerator's plugin nothing
    is set.

    It must be called before JAX first computes.

    Raises:
      InputError: NPROC is set to something that isn't a number of threads.
    """
    present = os.environ.get(THREADS)
    if present is None:
        if not any(map(importlib.util.find_spec, ("jax_plugins", "libtpu"))):
            os.environ[THREADS] = "1"
    elif not (present.isascii() and present.isdecimal() and 0 < int(present) < 1 << 16):
        raise InputError(f"{THREADS} is '{present}': it must be a number of threads")


def compute_where_called() -> None:
    """Makes a CPU run each program in the thread that calls it.

    JAX hands programs to threads of its own, as many as XLA has. Where that is one, the
    threads of ``top_k`` wait for it in turn; each in its own, two cores score up to
    twice as fast. Digits stay the same. Another device ignores it.

    It must be called before JAX first computes; it imports JAX.
    """
    import jax

    jax.config.update("jax_cpu_enable_async_dispatch", False)
