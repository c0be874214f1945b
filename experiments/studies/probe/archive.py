"""What the probe measured, as plain arrays: tables and figures are made of it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from experiments.studies.probe.bias import Probe
from experiments.studies.probe.estimates import Estimate, Products
from experiments.studies.probe.negatives import Seen
from experiments.studies.probe.points import TARGETS
from experiments.studies.probe.runner import Measured, Measurement
from research.report.records import load_stored, save_stored
from research.types import InputError

__all__ = ["Archive", "load_archive", "save_archive"]


class Archive(NamedTuple):
    """Everything a run of the probe found.

    seen is by model, then by source; counts [i] are the fitted clicks; drifts is by lag
    in steps, at the steps of the same length.
    """

    header: dict[str, Any]
    measured: list[Measured]
    enumerated: list[tuple[Measurement, Estimate]]
    seen: dict[str, dict[str, Seen]]
    counts: Int[ndarray, " i"]
    drifts: dict[int, tuple[Int[ndarray, " s"], Float[ndarray, " s"]]]


def save_archive(path: Path, archive: Archive) -> Path:
    """Writes an archive as one file, whole or not at all, the same bytes each time."""
    probes = [probe for _, probe in archive.measured]
    by_target = [[p.products[t] for t in TARGETS] for p in probes]
    arrays = {
        "own": _stack([[k.own for k in row] for row in by_target]),
        "all": _stack([[k.all for k in row] for row in by_target]),
        "along": _stack([[k.along for k in row] for row in by_target]),
        "norm": np.array([[k.norm for k in row] for row in by_target], "<f8"),
        "signed": np.array([p.signed for p in probes], "<f2"),
        "enumerated": np.array([tuple(e) for _, e in archive.enumerated], "<f8"),
        "counts": archive.counts.astype("<i4"),
    }
    lines: list[list[Any]] = []
    content: dict[str, Any] = {
        "cells": [
            [*cell, probe.products[TARGETS[0]].repeats]
            for cell, probe in archive.measured
        ],
        "enumerated": [list(cell) for cell, _ in archive.enumerated],
        "seen": lines,
        "lags": sorted(archive.drifts),
    }
    for model, sources in archive.seen.items():
        for source, found in sources.items():
            name = f"seen{len(lines)}"
            arrays[name] = found.counts.astype("<i4")
            numbers = [found.score, found.positive_score, found.above]
            lines.append([model, source, name, *numbers])
    for lag, (steps, drift) in archive.drifts.items():
        arrays[f"steps{lag}"] = np.asarray(steps, "<i4")
        arrays[f"drift{lag}"] = np.asarray(drift, "<f4")
    return save_stored(path, archive.header, arrays, **content)


def load_archive(path: Path) -> Archive:
    """Returns the archive in a file that save_archive wrote.

    Raises:
      InputError: see ``load_stored``; or the file is not one of the probe's.
    """
    header, content, arrays = load_stored(path, "cells")
    try:
        return Archive(
            header=header,
            measured=[_measured(arrays, n, c) for n, c in enumerate(content["cells"])],
            enumerated=[
                (Measurement(*cell), Estimate(*(float(x) for x in row)))
                for cell, row in zip(
                    content["enumerated"], arrays["enumerated"], strict=True
                )
            ],
            seen=_seen(arrays, content["seen"]),
            counts=arrays["counts"].astype(np.int64),
            drifts={
                lag: (arrays[f"steps{lag}"], arrays[f"drift{lag}"])
                for lag in content["lags"]
            },
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: not a file of records ({error!r})") from error


def _measured(arrays: Mapping[str, ndarray], n: int, line: list[Any]) -> Measured:
    *cell, repeats = line
    kept = {
        target: Products(
            own=arrays["own"][n, t].astype(np.float64),
            all=arrays["all"][n, t].astype(np.float64),
            along=arrays["along"][n, t].astype(np.float64),
            norm=float(arrays["norm"][n, t]),
            repeats=int(repeats),
        )
        for t, target in enumerate(TARGETS)
    }
    return Measurement(*cell), Probe(kept, arrays["signed"][n].astype(np.float64))


def _seen(
    arrays: Mapping[str, ndarray], lines: Sequence[list[Any]]
) -> dict[str, dict[str, Seen]]:
    out: dict[str, dict[str, Seen]] = {}
    for model, source, name, *numbers in lines:
        counts = arrays[name].astype(np.int64)
        out.setdefault(model, {})[source] = Seen(counts, *numbers)
    return out


def _stack(parts: Sequence[Any]) -> ndarray:
    return np.array(parts, dtype="<f4")
