"""Compiled epochs kept on disk, so that a later process needn't compile them again."""

from pathlib import Path

import jax

from research.data.notices import say

__all__ = ["keep_compiled"]


def keep_compiled(root: Path) -> None:
    """Whatever takes over a second to compile is kept in root/compiled.

    A folder that jax is told of otherwise (JAX_COMPILATION_CACHE_DIR) is used instead.
    What is read back is the program that was compiled: results are the same. A folder
    that can't be made costs only a line. Nothing there is needed: delete it freely.
    """
    if getattr(jax.config, "jax_compilation_cache_dir", None):
        return
    folder = root / "compiled"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        say(f"compiled programs aren't kept: {folder}: {error.strerror}")
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
