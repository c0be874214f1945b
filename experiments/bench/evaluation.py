"""The benchmark evaluation: every user's exact top 100, and the report's metrics."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray

from experiments.bench.asking import ours, peer
from experiments.bench.found import Found, Row, Target, ratio
from experiments.bench.setting import Setting
from experiments.bench.sides import Turns, take_turns
from experiments.bench.work import RANKING, Work

__all__ = ["run_evaluation"]

OURS = "this project, seen items removed"
STREAMING = "TensorFlow Recommenders, FactorizedTopK as by default (streaming)"
BRUTE = "TensorFlow Recommenders, FactorizedTopK over BruteForce"
LISTS, METRICS = "top 100 of every user", "every metric of a report, per user"
DIM = 64
REPEATS = 7


def run_evaluation(setting: Setting) -> Found:
    """The sides in turns, on the same made vectors."""
    work = setting.work("ml-1m", RANKING)
    path = _save_vectors(work, setting.scratch / "vectors.npz")
    told: dict[str, Any] = {"task": "rank", "work": str(path)}
    sides = {OURS: ours(setting, {**told, **work.told()})}
    if setting.peers is not None:
        for name, layer in ((STREAMING, "streaming"), (BRUTE, "brute-force")):
            sides[name] = peer(setting, "tfrs_peer", {**told, "layer": layer})
    found = take_turns(sides, 2 if setting.quick else REPEATS)
    rows = [_row(LISTS, name, turns, "rank") for name, turns in found.items()]
    rows.append(_row(METRICS, "this project", found[OURS], "metrics"))
    about = (
        f"{len(work.fold.evaluated):,} users by {work.fold.fitted.n_items:,} items, "
        f"vectors of {DIM}. FactorizedTopK removes no seen item; it looks up one "
        "held-out item a user, within the time."
    )
    targets = []
    if not setting.quick:
        for other, asked in ((STREAMING, 4.0), (BRUTE, 1.5)):
            seen = ratio(tuple(rows), LISTS, other, OURS)
            targets.append(Target(f"{other} over {OURS}", asked, True, seen))
        targets.append(Target(METRICS, 2.0, False, rows[-1].median, "s"))
    return Found("evaluation", about, tuple(rows), tuple(targets), setting.told(work))


def _save_vectors(work: Work, path: Path) -> Path:
    """users [v, d] and items [i, d] of length 1, and an item held out a user [v]."""
    draw, fold = np.random.default_rng(0), work.fold

    def made(rows: int) -> ndarray:
        vectors = draw.standard_normal((rows, DIM)).astype(np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    users, items = made(len(fold.evaluated)), made(fold.fitted.n_items)
    held = fold.held_item[np.searchsorted(fold.held_user, fold.evaluated)]
    np.savez(path, allow_pickle=False, users=users, items=items, held=held)
    return path


def _row(case: str, side: str, turns: Turns | str, what: str) -> Row:
    if isinstance(turns, str):
        return Row(case, side, note=f"failed: {turns}")
    return Row(case, side, "s", tuple(portion[what] for portion in turns.portions))
