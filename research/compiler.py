"""XLA's flags for CPU loops, set by the command line or on request."""

import os

WANTED = {
    "--xla_backend_extra_options": "xla_cpu_disable_loop_unrolling",
    "--xla_cpu_prefer_vector_width": "512",
}


def set_xla_flags() -> None:
    """Adds two flags to XLA_FLAGS that speed up table look-ups on a CPU.

    By default XLA unrolls the loop over the numbers of a row, and so many instructions
    then stand between two rows that one is waited for before the next is requested. As
    a loop of vectors, a look-up in a table that is too large for the caches takes a
    quarter of the time. Results move by rounding at most, and other devices read
    neither flag. A flag that is set already stays as it is.

    Importing the library changes nothing in the process; the command line calls this
    before it imports JAX, and a notebook may. XLA reads its flags once, when it first
    compiles, so it comes too late where JAX has already computed something.
    """
    present = os.environ.get("XLA_FLAGS", "")
    added = [f"{flag}={value}" for flag, value in WANTED.items() if flag not in present]
    os.environ["XLA_FLAGS"] = " ".join([present, *added]).strip()
