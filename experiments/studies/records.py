"""The records of a study: arrays and a header, laid out as those of every grid."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray

from experiments.folders import RESULTS_VERSION, check_version
from research.config import Config
from research.files import read_arrays, write_arrays
from research.types import InputError

__all__ = ["load_study", "records_path", "save_study"]

HEADER = "rows"  # as in the records of grids, so that read_header opens both


def records_path(out: Path, dataset: str, name: str) -> Path:
    """Where a study's records lie under an output folder."""
    return out / "records" / dataset / f"{name}.npz"


def save_study(
    path: Path,
    arrays: Mapping[str, ndarray],
    dataset: str,
    quick: bool,
    digest: str = "",
    **more: Any,
) -> Path:
    """Writes the arrays and a header; the file's name is the study's.

    Args:
      path: from ``records_path``.
      arrays: what was measured.
      dataset: where it was measured.
      quick: whether it was a quick run.
      digest: of the data, where there are any.
      more: further entries of the header.
    """
    header = {
        "results_version": RESULTS_VERSION,
        "grid": path.stem,
        "dataset": dataset,
        "split": Config().split,
        "quick": quick,
        "data_digest": digest,
        **more,
    }
    text = json.dumps({"layout": 1, "header": header}).encode()
    return write_arrays(path, {HEADER: np.frombuffer(text, np.uint8), **arrays})


def load_study(path: Path) -> tuple[dict[str, Any], dict[str, ndarray]]:
    """The header and the arrays.

    Raises:
      InputError: no such file, not a study's, or of another RESULTS_VERSION.
    """
    arrays = read_arrays(path)
    try:
        header = dict(json.loads(arrays.pop(HEADER).tobytes().decode())["header"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: not the records of a study ({error!r})") from error
    check_version(path, header)
    return header, arrays
