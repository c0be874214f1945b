"""What a reader needs to trust or to repeat a number."""

import functools
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

from experiments.version import RESULTS_VERSION

__all__ = ["environment"]


def environment(digest: str, place: str) -> dict[str, Any]:
    """What a reader needs to trust or to repeat a number."""
    import jax

    names = ("jax", "jaxlib", "flax", "optax", "numpy", "scipy", "pandas")
    return {
        "results_version": RESULTS_VERSION,
        "commit": _git("rev-parse", "HEAD"),
        "dirty": bool(_git("status", "--porcelain", "--untracked-files=no")),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in names},
        "device": jax.devices()[0].device_kind,
        "processor": platform.machine(),
        "place": place,
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
