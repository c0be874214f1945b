"""MovieLens 100K from a wheel on the package index, for where only an index is reached.

The wheel is fetched as a file by pip's own download, and read as the zip it is: it is
never installed or imported.
"""

import subprocess
import sys
from pathlib import Path

from research.data.download import Unavailable
from research.data.notices import say
from research.data.places import Place

__all__ = ["fetch_wheel", "place_in"]

REQUIREMENT = "recbole==1.2.1"
INSIDE = "recbole/dataset_example/ml-100k/"
SECONDS = 300  # the wheel has 2 MiB
RETRIES = 2  # pip's own 5 take half a minute where there is no network


def fetch_wheel(folder: Path) -> Path:
    """Fetches the wheel into a folder.

    Raises:
      Unavailable: pip isn't there, finds no index, or takes too long.
    """
    say(f"downloading {REQUIREMENT} for its copy of ml-100k ...")
    command = [sys.executable, "-m", "pip", "download", REQUIREMENT]
    command += ["--no-deps", "--only-binary", ":all:", "--dest", str(folder)]
    command += ["--quiet", "--retries", str(RETRIES), "--disable-pip-version-check"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"pip download {REQUIREMENT}: {error}") from None
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode or not wheels:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        reason = lines[-1].strip() if lines else f"exit status {done.returncode}"
        raise Unavailable(f"pip download {REQUIREMENT}: {reason}")
    return wheels[0]


def place_in(wheel: Path) -> Place:
    """Where in the wheel the data set's files lie."""
    return Place(wheel, INSIDE)
