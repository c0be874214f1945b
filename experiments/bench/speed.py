"""Speed on the same work: this project, PyTorch, TensorFlow Recommenders.

The benchmarks train (steps per second), loss, evaluation, top-k, and sweep: 12
temperatures by 3 seeds, from start-up to the last run.
"""

import statistics
from collections.abc import Callable
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray

from experiments.bench.protocol import Answers, Failed, Turns, take_turns
from experiments.bench.results import BenchmarkResult, Row, Target, ratio, side_row
from experiments.bench.setting import Setting, machine, ours, peer
from experiments.bench.work import RANKING, Work, save_arrays
from research.compiler import THREADS
from research.files import write_arrays

STEPS = {1024: 120, 4096: 16}
REPEATS = 5


class Player(NamedTuple):
    """A side: its name, its module (None: this project), its part of the request.

    same is whether it has the optimiser of the first side of its table, so that their
    losses can be compared.
    """

    name: str
    module: str | None
    request: dict[str, Any]
    same: bool = True


OURS = Player("this project", None, {})
EAGER = Player("PyTorch, eager", "torch_peer", {})
COMPILED = Player("PyTorch, compiled", "torch_peer", {"compiled": True})
TFRS = Player("TensorFlow Recommenders", "tfrs_peer", {})
LAZY, ROWWISE = (
    Player(f"this project, {name}", None, {"changes": {"optimiser": name}}, same)
    for name, same in (("lazy-adam", True), ("rowwise-adagrad", False))
)
SPARSE_ADAM = Player("PyTorch, SparseAdam", "torch_peer", {"sparse": True})
ADAGRAD = Player(
    "TensorFlow Recommenders, Adagrad", "tfrs_peer", {"sparse": True}, False
)
DENSE, SPARSE = "dense Adam", "rows touched"
PLAYERS = {
    DENSE: (OURS, EAGER, COMPILED, TFRS),
    SPARSE: (LAZY, ROWWISE, SPARSE_ADAM, ADAGRAD),
}
# Targets by case: a side, another one, and the ratio of speeds at each batch.
ASKED = {
    DENSE: ((OURS, EAGER, (3.5, 5.0)), (OURS, TFRS, (2.5, 2.5))),
    SPARSE: ((LAZY, SPARSE_ADAM, (3.5, 5.0)), (ROWWISE, ADAGRAD, (2.5, 2.5))),
}


def run_training(setting: Setting) -> BenchmarkResult:
    """Measures Adam over everything, then each side's own optimiser of touched rows."""
    work = setting.work("ml-1m")
    steps = {64: 4} if setting.quick else STEPS
    path = save_arrays(work, tuple(steps), setting.scratch / "work.npz")
    rows: list[Row] = []
    targets: list[Target] = []
    summary = setting.summary(work)
    for at, (batch, n) in enumerate(steps.items()):
        request = {"task": "train", "work": str(path), "batch": batch, "steps": n}
        for kind in (DENSE,) if setting.quick else (DENSE, SPARSE):
            case = f"batch {batch:,}, {kind}"
            players = {
                player.name: player
                for player in PLAYERS[kind]
                if player.module is None or setting.peers is not None
            }
            sides = {n: _start(setting, work, p, request) for n, p in players.items()}
            answers = take_turns(sides, 2 if setting.quick else REPEATS)
            first = answers[PLAYERS[kind][0].name]
            for name, turns in answers.items():
                reference = first.ready if players[name].same else {}
                rows.append(_training_row(case, name, turns, reference))
                summary["packages"] |= turns.ready.get("versions", {})
            for side, other, asked in ASKED[kind]:
                times = ratio(rows, case, side.name, other.name)
                what = f"{case}: {side.name} over {other.name}"
                targets.append(Target(what, asked[at], True, times))
            setting.say(f"train: {case} measured")
    about = (
        "In-batch softmax with log q and the row's own item masked; user tower of an "
        "id and the mean of 20 clicks, item tower of an id, 128 and 64 wide. Every "
        "side starts from the same parameters and sees the same batches: loss apart is "
        "by how much the losses of the first 5 steps differ at most."
    )
    return BenchmarkResult("train", about, tuple(rows), tuple(targets), summary)


def _start(
    setting: Setting, work: Work, player: Player, request: dict[str, Any]
) -> Answers:
    if player.module is not None:
        return peer(setting, player.module, {**request, **player.request})
    return ours(setting, {"changes": {}, **request, **work.request(), **player.request})


def _training_row(case: str, side: str, turns: Turns, reference: dict[str, Any]) -> Row:
    """A side's row: steps per second, what getting ready took, memory.

    loss apart is by how much the losses of its first steps differ from the reference's.
    """
    row = side_row(case, side, "steps/s", turns, lambda p: p["steps"] / p["seconds"])
    if turns.failed:
        return row
    more = {"ready s": turns.ready["compile_seconds"]}
    if "peak_bytes" in turns.portions[-1]:
        more["peak MiB"] = turns.portions[-1]["peak_bytes"] / 2**20
    if reference:
        losses = turns.ready["losses"], reference["losses"]
        more["loss apart"] = max(abs(a - b) for a, b in zip(*losses))
    return row._replace(more=more)


BATCHES = (1024, 4096, 8192)
LOSSES_ASKED = {4096: 2.0, 8192: 2.0}
LOSSES_REPEATS = 7
FULL, AS_IS = "its three products, at full speed", "its three products, as they are"


def run_losses(setting: Setting) -> BenchmarkResult:
    """Measures each way to compute the loss at each batch."""
    work = setting.work("ml-1m")
    request: dict[str, Any] = {"task": "loss", **work.request()}
    rows: list[Row] = []
    targets: list[Target] = []
    for batch in (32,) if setting.quick else BATCHES:
        case = f"batch {batch:,}"
        side = {OURS.name: ours(setting, {**request, "batch": batch})}
        turns = take_turns(side, 2 if setting.quick else LOSSES_REPEATS)[OURS.name]
        if turns.failed:
            rows.append(Row(case, OURS.name, note=f"failed: {turns.failed}"))
            continue
        way = turns.ready["chosen"]
        chosen = f"{way} (what training takes at this size)"
        scale = {"large": turns.ready["full_speed"]}
        for key, name in (
            *(("dense", "dense"), ("blocked", "blocked")),
            *(("products", AS_IS), ("large", FULL)),
        ):
            factor = 1e3 * scale.get(key, 1.0)
            values = tuple(portion[key] * factor for portion in turns.portions)
            rows.append(Row(case, chosen if name == way else name, "ms", values))
        if batch in LOSSES_ASKED:
            times = ratio(rows, case, chosen, FULL)
            what = f"{case}: {way} loss over {FULL}"
            targets.append(Target(what, LOSSES_ASKED[batch], False, times))
        setting.say(f"loss: {case} measured")
    about = (
        "In-batch softmax with log q and the row's own item masked, forward and "
        "backward to both sides' vectors of 64, without towers. Full speed is that of "
        "a product of two matrices of 2,048 rows and columns, measured in between."
    )
    summary = setting.summary(work)
    return BenchmarkResult("loss", about, tuple(rows), tuple(targets), summary)


EVALUATION_OURS = "this project, seen items removed"
STREAMING = "TensorFlow Recommenders, FactorizedTopK as by default (streaming)"
BRUTE = "TensorFlow Recommenders, FactorizedTopK over BruteForce"
LAYERS = {STREAMING: ("streaming", 4.0), BRUTE: ("brute-force", 1.5)}  # what is asked
LISTS, METRICS = "top 100 of every user", "every metric of a report, per user"
DIM = 64
EVALUATION_REPEATS = 7


def run_evaluation(setting: Setting) -> BenchmarkResult:
    """Measures the sides in turns, on the same random vectors."""
    work = setting.work("ml-1m", RANKING)
    path = _save_vectors(work, setting.scratch / "vectors.npz")
    request: dict[str, Any] = {"task": "rank", "work": str(path)}
    sides = {EVALUATION_OURS: ours(setting, {**request, **work.request()})}
    if setting.peers is not None:
        for name, (layer, _) in LAYERS.items():
            sides[name] = peer(setting, "tfrs_peer", {**request, "layer": layer})
    answers = take_turns(sides, 2 if setting.quick else EVALUATION_REPEATS)
    rank, metrics = itemgetter("rank"), itemgetter("metrics")
    rows = [side_row(LISTS, name, "s", each, rank) for name, each in answers.items()]
    rows.append(side_row(METRICS, OURS.name, "s", answers[EVALUATION_OURS], metrics))
    about = (
        f"{len(work.fold.evaluated):,} users by {work.fold.fitted.n_items:,} items, "
        f"vectors of {DIM}. FactorizedTopK removes no seen item; it looks up one "
        "held-out item a user, within the time."
    )
    targets = []
    for other, (_, asked) in LAYERS.items():
        times = ratio(rows, LISTS, other, EVALUATION_OURS)
        targets.append(Target(f"{other} over {EVALUATION_OURS}", asked, True, times))
    targets.append(Target(METRICS, 2.0, False, rows[-1].median, "s"))
    summary = setting.summary(work)
    return BenchmarkResult("evaluation", about, tuple(rows), tuple(targets), summary)


def _save_vectors(work: Work, path: Path) -> Path:
    """users [v, d] and items [i, d] of length 1, and an item held out per user [v]."""
    draw, fold = np.random.default_rng(0), work.fold

    def unit_vectors(rows: int) -> ndarray:
        vectors = draw.standard_normal((rows, DIM)).astype(np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    users, items = unit_vectors(len(fold.evaluated)), unit_vectors(fold.fitted.n_items)
    held = fold.held_item[np.searchsorted(fold.held_user, fold.evaluated)]
    arrays = {"users": users, "items": items, "held": held}
    return write_arrays(path, arrays, level=0)


USERS, ITEMS, TURNS = 10_000, 1_000_000, 5
FAISS, FAISS_ASKED = "FAISS, IndexFlatIP", 1.3


def run_top_k(setting: Setting) -> BenchmarkResult:
    """Exact lists over a million items beside FAISS, a fifth of the users a turn.

    All cores that this process may use are both sides' (on a shared machine one:
    taskset -c 0 python -m experiments bench).
    """
    users, items = (500, 3000) if setting.quick else (USERS, ITEMS)
    draw = np.random.default_rng(0)
    vectors = {
        name: draw.standard_normal((rows, DIM), dtype=np.float32)
        for name, rows in (("users", users), ("items", items))
    }
    path = write_arrays(setting.scratch / "lists.npz", vectors, level=0)
    request = {"task": "lists", "work": str(path), "portion": users // TURNS}
    # XLA has one thread, as in run and train: the tiles of users share the cores.
    sides = {OURS.name: ours(setting, request, **{THREADS: "1"})}
    if setting.peers is not None:
        sides[FAISS] = peer(setting, "faiss_peer", request)
    answers = take_turns(sides, TURNS)
    case = f"top 100 of {users // TURNS:,} users"
    rows, summary = [], setting.summary()
    for name, turns in answers.items():
        row = side_row(case, name, "s", turns, itemgetter("seconds"))
        more = {f"{users:,} users s": sum(row.values)} if row.values else {}
        if name != OURS.name:
            more |= ids_apart(answers[OURS.name], turns)
        summary["packages"] |= turns.ready.get("versions", {})
        rows.append(row._replace(more=more))
    what = f"{case}: time of {OURS.name} over that of {FAISS}"
    times = ratio(rows, case, OURS.name, FAISS)
    targets = (Target(what, FAISS_ASKED, False, times),)
    cores = machine()["cores"]
    about = (
        f"{users:,} users by {items:,} items, normal vectors of {DIM}, exact, no item "
        f"removed; {TURNS} turns of other users each, both sides on the same {cores} "
        f"core{'' if cores == 1 else 's'}, this project with one thread of XLA as in "
        "run and train. Ids apart: items of the first lists that "
        "are not in this project's, in percent."
    )
    return BenchmarkResult("top-k", about, tuple(rows), targets, summary)


def ids_apart(own: Turns, other: Turns) -> dict[str, float]:
    """How many percent of the other side's first lists are not in this project's."""
    if own.failed or other.failed:
        return {}
    pairs = list(zip(own.ready["lists"], other.ready["lists"]))
    missing = sum(len(set(theirs) - set(mine)) for mine, theirs in pairs)
    return {"ids apart %": 100 * missing / sum(len(theirs) for _, theirs in pairs)}


TEMPERATURES = tuple(np.geomspace(0.05, 1.0, 12).round(3).tolist())
SEEDS, EPOCHS, BATCH = 3, 20, 512
RUNS = len(TEMPERATURES) * SEEDS
SWEEP_ASKED = 2.5
MEASURED = 4  # runs of a side that runs them one after the other
ONE_PROCESS, ENGINE = "this project, one process", "this project, a worker a core"
AT_ONCE = "this project, a seed's runs in one program"
FITS = "TensorFlow Recommenders, a fit a run"
Measured = tuple[float, dict[str, float], str]  # seconds, further numbers, a note


def run_sweep(setting: Setting) -> BenchmarkResult:
    """Measures a few runs of sides that do one at a time, and all of the engine."""
    work, quick = setting.work("ml-100k", RANKING), setting.quick
    epochs, batch, runs = (1, 64, 2) if quick else (EPOCHS, BATCH, MEASURED)
    asked = {"temperatures": TEMPERATURES, "seeds": SEEDS, "batch": batch}
    request = {**work.request(), **asked, "epochs": epochs}
    in_turn = ours(setting, {**request, "task": "runs"})
    measured: dict[str, Callable[[], Measured]] = {
        ONE_PROCESS: lambda: _one_by_one(in_turn, runs),
        AT_ONCE: lambda: _at_once(setting, request),
    }
    if not quick:
        measured[ENGINE] = lambda: _engine(setting, work, request)
        if setting.peers is not None:
            path = save_arrays(work, (BATCH,), setting.scratch / "sweep.npz")
            fits = {**request, "task": "fits", "work": str(path)}
            side = peer(setting, "tfrs_peer", fits)
            measured[FITS] = lambda: _one_by_one(side, runs)
    case, rows = f"{RUNS} runs of {epochs} epochs", []
    for name, measure in measured.items():
        try:
            seconds, more, note = measure()
            rows.append(Row(case, name, "s", (seconds,), more, note))
        except Failed as error:
            rows.append(Row(case, name, note=f"failed: {error}"))
        setting.say(f"sweep: {name}: {'measured' if rows[-1].values else 'failed'}")
    targets = []
    for name in (ONE_PROCESS, ENGINE):
        times = ratio(rows, case, FITS, name)
        targets.append(Target(f"{case}: {FITS} over {name}", SWEEP_ASKED, True, times))
    about = (
        f"In-batch softmax with log q, {len(TEMPERATURES)} temperatures by {SEEDS} "
        f"seeds, batch {batch}, the towers of the benchmark train; wall "
        f"time with start-up. Sides that go one by one did {runs} runs: start-up, "
        f"plus the first run, plus {RUNS - 1} times the median of the others."
    )
    summary = setting.summary(work)
    return BenchmarkResult("sweep", about, tuple(rows), tuple(targets), summary)


def _turns(side: Answers, repeats: int) -> Turns:
    turns = take_turns({"": side}, repeats)[""]
    if turns.failed:
        raise Failed(turns.failed)
    return turns


def _whole(turns: Turns, runs: int) -> float:
    """Seconds of so many runs, if all after the first take the median of those."""
    ready, first, *later = turns.seconds
    return ready + first + (runs - 1) * statistics.median(later)


def _one_by_one(side: Answers, measured: int) -> Measured:
    """A side that does one run after the other."""
    turns = _turns(side, measured)
    ready, first, *later = turns.seconds
    more = {"start-up s": ready, "first run s": first}
    more["later run s"] = statistics.median(later)
    if "compiled" in turns.portions[0]:
        compiled = sum(portion["compiled"] for portion in turns.portions[1:])
        more["compilations after the first run"] = compiled
    return _whole(turns, RUNS), more, f"from {measured} runs"


def _at_once(setting: Setting, request: dict[str, Any]) -> Measured:
    """All temperatures of a seed mapped over in one program (jax.vmap)."""
    epochs = 2 if setting.quick else 3
    side = ours(setting, {**request, "epochs": epochs, "task": "at once"})
    turns = _turns(side, epochs)
    note = f"from {epochs} epochs of {len(TEMPERATURES)} runs"
    whole = _whole(turns, SEEDS * request["epochs"])
    return whole, {"start-up s": turns.seconds[0]}, note


def _engine(setting: Setting, work: Work, request: dict[str, Any]) -> Measured:
    """The default engine, which does everything, evaluation included.

    Raises:
      Failed: a run failed, or the data set isn't available.
    """
    if work.synthetic:
        raise Failed("ml-100k isn't at hand")
    turns = _turns(ours(setting, {**request, "task": "engine"}), 1)
    (answer,) = turns.portions
    if answer["failed"]:
        raise Failed(answer["failed"][0])
    note = f"all runs, {answer['workers']} workers; evaluated and written too"
    return sum(turns.seconds), {"start-up s": turns.seconds[0]}, note
