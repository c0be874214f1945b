"""What a run depends on besides its config: versions, device, compiled programs."""

import functools
import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

from experiments.output.folders import RECORDS_VERSION
from research.compiler import THREADS, cores
from research.notices import say


def threads() -> int:
    """How many threads share a CPU's work: their number decides the last digits."""
    return int(os.environ.get(THREADS, len(cores())))


def environment(digest: str, place: str) -> dict[str, Any]:
    """Versions, commit and device, as a reader needs them to repeat a number."""
    import jax

    names = ("jax", "jaxlib", "flax", "optax", "numpy", "scipy", "pandas")
    return {
        "results_version": RECORDS_VERSION,
        "commit": _git("rev-parse", "HEAD"),
        "dirty": bool(_git("status", "--porcelain", "--untracked-files=no")),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in names},
        "device": jax.devices()[0].device_kind,
        "processor": platform.machine(),
        "place": place,
        "threads": threads(),
        "data_digest": digest,
    }


@functools.lru_cache
def _git(*words: str) -> str:
    here = Path(__file__).parent
    try:
        done = subprocess.run(
            ("git", *words), cwd=here, capture_output=True, text=True, check=False
        )
    except OSError:
        return "unknown"
    return done.stdout.strip() if done.returncode == 0 else "unknown"


def keep_compiled(root: Path) -> None:
    """Makes JAX keep compiled programs in root/compiled, small ones too.

    A run has a hundred programs that compile in a moment each: read back, they save
    some 5 s of CPU time. If another folder is set (JAX_COMPILATION_CACHE_DIR), it is
    used instead, with JAX's own minimum of compile time. Results are the same, as the
    program read back is the one that was compiled. If the folder can't be made, a line
    says so. It may be deleted at any time.
    """
    import jax

    if getattr(jax.config, "jax_compilation_cache_dir", None):
        return
    folder = root / "compiled"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        say(f"compiled programs aren't kept: {folder}: {error.strerror}")
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
