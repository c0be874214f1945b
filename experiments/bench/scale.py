"""Which negatives a catalogue of each size allows: the benchmark scale."""

from operator import itemgetter

from experiments.arms import ARMS
from experiments.bench.cost import LAZY, TINY, Case, case_rows
from experiments.bench.protocol import take_turns
from experiments.bench.results import BenchmarkResult, Row, side_row
from experiments.bench.setting import Setting, ours

CATALOGUES = (10_000, 100_000, 1_000_000)  # items, with equally many users
CLICKS = 20  # of each user
BATCHES = {512: 10, 4096: 4, 16384: 1}  # steps that a repeat times
SIDES: tuple[tuple[str, dict[str, str]], ...] = (
    *(("in-batch+logq", {}), ("in-batch+logq", LAZY)),
    *(("mixed+logq", LAZY), ("uniform-softmax", LAZY), ("full-softmax", {})),
)
USERS, REPEATS = 10_000, 3


def run_scale(setting: Setting) -> BenchmarkResult:
    """Measures a step of four losses, and an evaluation, by catalogue and batch."""
    rows: list[Row] = []
    for items in CATALOGUES[:1] if setting.quick else CATALOGUES:
        world = TINY if setting.quick else f"{items}x{items}x{CLICKS}"
        rows += case_rows(setting, world, True, _cases(items, setting.quick))
        rows.append(_evaluation(setting, world, items))
    about = (
        f"Synthetic data sets of as many users as items, {CLICKS} clicks a user; "
        "towers of the benchmark train. A step of training, with what the optimiser "
        "keeps (state) and what the compiler sets aside for a step (planned); then "
        f"lists and every metric of {USERS:,} users over the whole catalogue."
    )
    return BenchmarkResult("scale", about, tuple(rows), (), setting.summary())


def _cases(items: int, quick: bool) -> list[Case]:
    cases = []
    for arm, more in SIDES:
        optimiser = more.get("optimiser", "adamw")
        for batch, steps in {32: 2}.items() if quick else BATCHES.items():
            changes = {**ARMS[arm], **more, "batch": batch}
            group = f"{items:,} items, batch {batch:,}"
            cases.append(Case(group, f"{arm}, {optimiser}", changes, steps=steps))
    return cases


def _evaluation(setting: Setting, world: str, items: int) -> Row:
    request = {
        **{"task": "evaluate", "dataset": world, "synthetic": True, "data_dir": None},
        "users": 100 if setting.quick else USERS,
    }
    name = f"lists and metrics of {request['users']:,} users"
    side = {name: ours(setting, request)}
    turns = take_turns(side, 1 if setting.quick else REPEATS)[name]
    setting.say(f"{items:,} items: {name}")
    return side_row(f"{items:,} items", name, "s", turns, itemgetter("seconds"))
