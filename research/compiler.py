"""What XLA is told before it compiles anything: how a CPU's loops are made."""

import os

__all__ = ["tell_compiler"]

WANTED = {
    "--xla_backend_extra_options": "xla_cpu_disable_loop_unrolling",
    "--xla_cpu_prefer_vector_width": "512",
}


def tell_compiler() -> None:
    """Adds to XLA_FLAGS how a CPU's loops are to be made; a flag that is set stays.

    XLA would write a loop over the numbers of a row out number by number, and so many
    instructions stand between two rows that one is waited for before the next is asked
    for. As a loop of vectors, a look-up in a table that is too large for the caches
    takes a quarter of the time. Results move by rounding at most, and other devices
    read neither flag.

    XLA reads its flags once, when it first compiles: this is for the import of
    research, and comes too late where jax has already computed something.
    """
    given = os.environ.get("XLA_FLAGS", "")
    added = [f"{flag}={value}" for flag, value in WANTED.items() if flag not in given]
    os.environ["XLA_FLAGS"] = " ".join([given, *added]).strip()
