"""Made records: what a run might leave behind, without training anything."""

import numpy as np

from research.contrast import Contrast
from research.report.contrasts import Paired, difference
from research.report.intervals import Interval, two_way
from research.report.records import RunResult
from research.report.tables import by_cell
from research.types import Record

KS = np.array([10, 20, 50, 100])


def made_record(
    seed: int,
    users: int = 40,
    items: int = 60,
    reach: float = 0.25,
    popularity: float = 0.5,
    world: int = 0,
) -> Record:
    """A record in which a positive is in the first 20 with probability about ``reach``.

    ``world`` fixes users, positives and item counts, which the arms of one table share;
    ``seed`` draws the rest. ``popularity`` in 0 to 1 steers what is recommended.
    """
    fixed, rng = np.random.default_rng(world), np.random.default_rng([seed, world])
    counts = np.sort(fixed.zipf(1.3, items).clip(0, 300))[::-1] - 1
    held = fixed.integers(1, 12, users)
    band = fixed.choice(3, held.sum(), p=[0.5, 0.3, 0.2])
    ease = fixed.normal(0, 0.5, held.sum())  # some positives are easy for every arm
    scale = 20 / -np.log1p(-reach)
    rank = rng.exponential(scale, held.sum()) * np.exp(ease)
    user = np.repeat(np.arange(users), held)
    order = np.lexsort((rank, user))
    rank, band = np.minimum(rank[order], 100), band[order]
    liking = (counts + 1.0) ** (4 * popularity - 2)
    exposure = np.stack(
        [rng.multinomial(users * k, liking / liking.sum()) for k in KS]
    ).clip(0, users)
    hits = np.bincount(user, rank < 20, users) / held
    shown = (exposure[1] @ counts) / exposure[1].sum()
    return Record(
        ks=KS,
        held=held,
        rank=rank.astype(np.uint8),
        band=band.astype(np.uint8),
        exposure=exposure,
        item_counts=counts,
        columns={
            "ild": half(rng.normal(0.9 - 0.3 * popularity, 0.03, users)),
            "novelty": half(rng.normal(11 - 4 * popularity, 0.3, users)),
            "train_count": half(shown * rng.uniform(0.8, 1.2, users)),
            "recall_item": half(hits * rng.uniform(0.2, 0.6, users)),
            "expansion": (fixed.random(held.sum()) < 0.1).astype(np.int64),
            "outside_genres": half(rng.uniform(0.1, 0.3, users)),
            "repulsion": half(rng.uniform(0.0, 0.4, users)),
            "distinct": rng.integers(1, users, len(KS)),
        },
    )


def half(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float16)


def without(results: list[RunResult], *columns: str) -> list[RunResult]:
    """The results with these columns taken from their records."""
    out = []
    for result in results:
        record = result.record
        others = {n: c for n, c in record.columns.items() if n not in columns}
        out.append(result._replace(record=record._replace(columns=others)))
    return out


def crossed(values: np.ndarray) -> Interval:
    """The mean over users and seeds [u, s] with its interval."""
    return two_way(values).interval()


def paired(arm: np.ndarray, other: np.ndarray) -> Interval:
    """The mean of arm - other [u, s] with its interval, paired by user and seed."""
    return crossed(arm - other)


def difference_of(
    results: list[RunResult], arm, against, metric="recall", k=20, at=None, other=None
) -> Paired:
    """The difference of one arm from another, paired by user and seed."""
    return difference(
        by_cell(results), Contrast(arm, against, metric, k, at or {}, other)
    )


def parsed(text: str) -> dict[str, dict[str, str]]:
    """The cells of a page's table, by arm and heading."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    cells = [
        [cell.strip() for cell in line.strip("|").replace("\\|", "/").split("|")]
        for line in lines
    ]
    assert len({len(line) for line in cells}) == 1
    return {line[0].strip("`"): dict(zip(cells[0], line)) for line in cells[2:]}


ARMS = {
    "in-batch": (0.12, 0.2),
    "in-batch+logq": (0.23, 0.6),
    "full-softmax": (0.24, 0.6),
    "popularity": (0.11, 1.0),
}


def made_rows(seeds: int = 3, **sizes: int) -> list[RunResult]:
    """A grid of four arms; popularity is deterministic, the same at each seed."""
    return [
        RunResult(
            arm,
            {},
            seed,
            made_record(
                0 if arm == "popularity" else 100 * n + seed,
                reach=reach,
                popularity=popularity,
                **sizes,
            ),
        )
        for n, (arm, (reach, popularity)) in enumerate(ARMS.items())
        for seed in range(seeds)
    ]


def swept_rows(
    temperatures: tuple[float, ...] = (0.05, 0.1, 0.2, 0.5),
    seeds: int = 3,
    **sizes: int,
) -> list[RunResult]:
    """A temperature grid of three arms, each best at 0.2."""
    rows = []
    for n, arm in enumerate(["in-batch", "in-batch+logq", "full-softmax"]):
        for t, temperature in enumerate(temperatures):
            off = np.log(temperature / 0.2)
            reach = (0.13 if n == 0 else 0.25) * np.exp(-0.06 * off**2)
            popular = (0.2 if n == 0 else 0.55) + 0.08 * (1 if n else 0.1) * off
            for seed in range(seeds):
                record = made_record(
                    1000 * n + 10 * t + seed,
                    reach=float(reach),
                    popularity=float(np.clip(popular, 0, 1)),
                    **sizes,
                )
                rows.append(RunResult(arm, {"temperature": temperature}, seed, record))
    return rows
