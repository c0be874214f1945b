"""The exact top 100 by FAISS: an index of the vectors as they are, searched in batches.

It reads the file of vectors alone: users [v, d] and items [i, d].
"""

from typing import Any

import faiss
import numpy as np

from experiments.bench.protocol import Answers, serve, timed_lists


def lists(request: dict[str, Any]) -> Answers:
    """Seconds of the top 100 by inner product of a part of the users."""
    vectors = dict(np.load(request["work"]))
    index = faiss.IndexFlatIP(vectors["items"].shape[1])
    index.add(vectors["items"])

    def rank(part: np.ndarray) -> np.ndarray:
        return index.search(part, 100)[1]

    answers = timed_lists(vectors["users"], request["portion"], rank)
    yield {**next(answers), "versions": {"faiss-cpu": faiss.__version__}}
    yield from answers


if __name__ == "__main__":
    serve({"lists": lists})
