"""Python in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def python(*words: object, **options: Any) -> str:
    """What Python prints of these words; the test fails where the process does.

    Args:
      words: of the command line, after the interpreter.
      options: of subprocess.run.
    """
    command = [sys.executable, *map(str, words)]
    options = {"cwd": ROOT, "capture_output": True, "text": True, **options}
    done = subprocess.run(command, check=False, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def started(code: tuple[object, ...], *words: object, **options: Any):
    """A process of Python that has begun: its interpreter's words, then its own."""
    return subprocess.Popen(
        [sys.executable, *map(str, code), *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)},
        **options,
    )
