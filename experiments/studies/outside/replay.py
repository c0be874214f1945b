"""Replays of published runs: training in PyTorch, from the random numbers of one seed.

The code behind the tables of IR-Benchmark [yang2025slatk, yang2024psl] fixes one seed.
The peer (experiments/bench/peers/irb/peer.py) trains from that seed's initial tables,
order of pairs and negatives; what is measured of its tables is what is measured of
every other run.
"""

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray

from experiments.bench.peers import irb
from experiments.bench.protocol import PEERS, Failed, Process
from experiments.output.code import stripped
from research.files import write_arrays
from research.losses import hyper_values
from research.prepare import Prepared
from research.types import InputError

PEER = "experiments.bench.peers.irb.peer"
# PyTorch asks for the same large arrays in each step. By default the GNU library gives
# them back to the system after use, which takes longer than computing with them.
_KEPT = {"mmap_threshold": 2**25, "trim_threshold": 2**33, "hugetlb": 1}
MEMORY = {"GLIBC_TUNABLES": ":".join(f"glibc.malloc.{k}={n}" for k, n in _KEPT.items())}


def replayed(
    run: Prepared, published: tuple[int, int], every: int, python: Path = PEERS
) -> Iterator[tuple[ndarray, ndarray]]:
    """The vectors of a published run, at each look.

    Args:
      run: on the fold that it is trained on. Its config's seed is the number of the
        repetition: from 1 on its initial tables differ by a part in ten million, which
        shows how far rounding alone carries the run.
      published: the seed of the published code, and at how many cut-offs it judges a
        look.
      every: epochs between two looks.
      python: the interpreter that has PyTorch.

    Yields:
      vectors of the evaluated users [v, d] and of the items [i, d].

    Raises:
      InputError: the peer failed.
    """
    fitted, cosine = run.fold.fitted, run.config.output == "cosine"
    users, items = (places(table.names) for table in (fitted.users, fitted.items))
    with tempfile.TemporaryDirectory() as folder:
        pairs = Path(folder) / "pairs.npz"
        columns = users[fitted.user], items[fitted.item]
        order = np.lexsort(columns[::-1])
        write_arrays(pairs, {"users": columns[0][order], "items": columns[1][order]})
        sizes = [fitted.n_users, fitted.n_items]
        asked = request(run, published, every) | {"pairs": str(pairs), "sizes": sizes}
        asked |= {"out": folder, "cosine": cosine}
        peer = Process(python, PEER, asked, env=os.environ | MEMORY)
        with contextlib.ExitStack() as stack:
            stack.callback(peer.kill)  # close() would wait for the next look
            for _ in range(run.config.epochs // every):
                try:
                    path = Path(peer.ask()["tables"])
                except Failed as error:
                    raise InputError(f"{python}: {error}") from None
                with np.load(path) as tables:
                    of_users, of_items = (tables[name] for name in tables.files)
                path.unlink()
                of_users = of_users[users[run.fold.evaluated]]
                of_items = of_items[items]
                if cosine:
                    yield _normalised(of_users), _normalised(of_items)
                else:
                    yield of_users, of_items


def peer_code() -> str:
    """The code of the peer, as a digest: a replay by other code is not used."""
    paths = sorted(Path(irb.__file__).parent.glob("*.py"))
    text = "\n".join(f"{path.name} {stripped(path.read_text())}" for path in paths)
    return hashlib.sha256(text.encode()).hexdigest()


def places(names: ndarray) -> ndarray:
    """The published number of each user or item: its place in the sorted ids."""
    place = np.empty(len(names), np.int64)
    place[np.argsort(names.astype(str), kind="stable")] = np.arange(len(names))
    return place


def request(run: Prepared, published: tuple[int, int], every: int) -> dict[str, Any]:
    """What the peer needs of a run's config.

    Raises:
      InputError: the run has no one source of each pair's own negatives.
    """
    config = run.config
    sources = " ".join(config.negatives)
    name, _, count = sources.partition(":")
    if name != "uniform-outside" or not count.isdigit():
        raise InputError(f"a replay needs uniform-outside:N negatives, not {sources}")
    return {
        "task": "replay",
        "loss": config.loss,
        "temperature": config.temperature,
        "hyper": hyper_values(config),
        "rate": config.learning_rate,
        "decay": config.weight_decay,
        "dim": config.dim,
        "batch": config.batch,
        "epochs": config.epochs,
        "negatives": int(count),
        "every": every,
        "seed": published[0],
        "cutoffs": published[1],
        "repetition": config.seed,
    }


def _normalised(vectors: ndarray) -> ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
