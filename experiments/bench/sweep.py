"""The benchmark sweep: 12 temperatures by 3 seeds, from start-up to the last run."""

import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from experiments.bench.found import Found, Row, Target, ratio
from experiments.bench.setting import Setting, ours, peer
from experiments.bench.sides import Failed, Side
from experiments.bench.work import RANKING, Work, save_arrays

TEMPERATURES = tuple(np.geomspace(0.05, 1.0, 12).round(3).tolist())
SEEDS, EPOCHS, BATCH = 3, 20, 512
ASKED = 2.5
MEASURED = 4  # runs of a side that runs them one after the other
OURS, ENGINE = "this project, one process", "this project, a worker a core"
AT_ONCE = "this project, a seed's runs in one program"
TFRS = "TensorFlow Recommenders, a fit a run"


class Timed(NamedTuple):
    """Seconds until a side was ready, and of each thing that it was asked."""

    ready: float
    runs: list[float]
    answers: list[dict[str, Any]]


def run_sweep(setting: Setting) -> Found:
    """A few runs of each side that goes one by one, all runs of the engine."""
    work = setting.work("ml-100k", RANKING)
    quick = setting.quick
    told = {
        **work.told(),
        **{"temperatures": TEMPERATURES, "seeds": SEEDS, "epochs": EPOCHS},
        **({"batch": BATCH} if not quick else {"batch": 64, "epochs": 1}),
    }
    runs, measured = len(TEMPERATURES) * SEEDS, 2 if quick else MEASURED
    case = f"{runs} runs of {told['epochs']} epochs"
    start = ours(setting, {**told, "task": "runs"})
    rows = [_extrapolated(case, OURS, start, runs, measured)]
    setting.say(f"sweep: {OURS} measured")
    rows.append(_at_once(setting, told, case))
    if not quick:
        rows += [_engine(setting, work, told, case), *_peers(setting, work, told, case)]
    targets = [
        Target(
            f"{case}: {TFRS} over {side}",
            *(ASKED, True, ratio(tuple(rows), case, TFRS, side)),
        )
        for side in (OURS, ENGINE)
    ]
    about = (
        f"In-batch softmax with log q, {len(TEMPERATURES)} temperatures by {SEEDS} "
        f"seeds, batch {told['batch']}, the towers of the benchmark train; wall time "
        f"with start-up. Sides that go one by one did {measured} runs: start-up, plus "
        f"the first run, plus {runs - 1} times the median of the others."
    )
    targets = [] if quick else targets
    return Found("sweep", about, tuple(rows), tuple(targets), setting.told(work))


def _extrapolated(
    case: str, side: str, start: Callable[[], Side], runs: int, measured: int
) -> Row:
    """The row of a side that does one run after the other."""
    try:
        ready, seconds, answers = _timed(start, measured)
    except Failed as error:
        return Row(case, side, note=f"failed: {error}")
    later = statistics.median(seconds[1:])
    more = {"start-up s": ready, "first run s": seconds[0], "later run s": later}
    if "compiled" in answers[0]:
        more["compilations after the first run"] = sum(
            answer["compiled"] for answer in answers[1:]
        )
    whole = ready + seconds[0] + (runs - 1) * later
    return Row(case, side, "s", (whole,), more, f"from {measured} runs")


def _at_once(setting: Setting, told: dict[str, Any], case: str) -> Row:
    """The row of all temperatures of a seed mapped over in one program (jax.vmap)."""
    epochs = 2 if setting.quick else 3
    try:
        given = {**told, "epochs": epochs, "task": "at once"}
        ready, seconds, _ = _timed(ours(setting, given), epochs)
    except Failed as error:
        return Row(case, AT_ONCE, note=f"failed: {error}")
    later = statistics.median(seconds[1:])
    whole = ready + seconds[0] + (SEEDS * told["epochs"] - 1) * later
    setting.say(f"sweep: {AT_ONCE} measured")
    note = f"from {epochs} epochs of {len(TEMPERATURES)} runs"
    return Row(case, AT_ONCE, "s", (whole,), {"start-up s": ready}, note)


def _engine(setting: Setting, work: Work, told: dict[str, Any], case: str) -> Row:
    """The row of the default engine, which does everything, evaluation included."""
    if work.made:
        return Row(case, ENGINE, note="not measured: ml-100k isn't at hand")
    try:
        found = _timed(ours(setting, {**told, "task": "engine"}), 1)
    except Failed as error:
        return Row(case, ENGINE, note=f"failed: {error}")
    (answer,) = found.answers
    if answer["failed"]:
        return Row(case, ENGINE, note=answer["failed"][0])
    note = f"all runs, {answer['workers']} workers; evaluated and written too"
    setting.say(f"sweep: {ENGINE} measured")
    whole = found.ready + found.runs[0]
    return Row(case, ENGINE, "s", (whole,), {"start-up s": found.ready}, note)


def _peers(setting: Setting, work: Work, told: dict[str, Any], case: str) -> list[Row]:
    if setting.peers is None:
        return []
    path = save_arrays(work, (BATCH,), setting.scratch / "sweep.npz")
    given = {**told, "task": "fits", "work": str(path)}
    start = peer(setting, "tfrs_peer", given)
    row = _extrapolated(case, TFRS, start, len(TEMPERATURES) * SEEDS, MEASURED)
    setting.say(f"sweep: {TFRS} measured")
    return [row]


def _timed(start: Callable[[], Side], times: int) -> Timed:
    clock = time.perf_counter()
    side = start()
    try:
        side.ask()
        ready = time.perf_counter() - clock
        runs, answers = [], []
        for _ in range(times):
            clock = time.perf_counter()
            answers.append(side.ask())
            runs.append(time.perf_counter() - clock)
    finally:
        side.close()
    return Timed(ready, runs, answers)
