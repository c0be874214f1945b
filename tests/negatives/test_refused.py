"""What sources, switches and sizes can't be combined with: one clear line each."""

import dataclasses
from typing import Any

import pytest

from research.config import Config
from research.negatives import Size
from research.negatives.checks import check_negatives
from research.prepare import check_config
from research.types import InputError

SIZE = Size(items=1000, clicked=900, pairs=40_000)
Changes = dict[str, Any]


def sources(*names: str, **others: Any) -> Changes:
    return {"negatives": names, **others}


def inclusion(*names: str, **others: Any) -> Changes:
    return sources(*(names or ("in-batch",)), duplicates="inclusion", **others)


OUTSIDE, MANY = "uniform-outside:8", "uniform:2000000"
AT_ONCE = "needs all 512 x 2000000 logits at once, 3.8 GiB"
REFUSED: list[tuple[Changes, str]] = [
    (sources("fifo-cache:511"), r"smaller than a batch \(512\)"),
    (sources("vector-cache:901"), "more than it can hold"),
    (sources("fifo-cache:900000", epochs=20), "never full"),
    (sources("in-batch", "fifo-cache:512,warmup=9999"), "draws nothing"),
    (sources("in-batch", batch=1), "draws none"),
    (sources("in-batch-part:512"), "a row has only 511 others"),
    (sources("uniform:8", "fifo-cache-stored:512", logq=1.0), "form a mixture"),
    (sources(*2 * ("fifo-cache-stored:512",), logq=1.0), "in a union with itself"),
    (sources("popularity:4,alpha=0", "popularity:4"), "popularity twice"),
    (inclusion(expected_count=True), "counts draws already"),
    (inclusion(leave_own_out=True), "counts draws already"),
    (inclusion("uniform-per-row:4"), "differ by row"),
    (inclusion("in-batch", "catalogue", logq=1.0), "every item once, without draws"),
    (
        inclusion("in-batch", "fifo-cache:600", item_gradient="balanced", logq=1.0),
        "item_gradient balanced with duplicates incl",
    ),
    (sources("uniform:8", item_gradient="batch"), "without in-batch negatives"),
    (
        sources("in-batch", "rank-band:8", item_gradient="balanced"),
        "its q is unknown, and so its share",
    ),
    ({"frequency": "streaming,hashes=9,buckets=8"}, "need one each"),
    # Hard negatives
    (sources("rank-band:4,low=9,high=8"), "high is 8"),
    (sources("rank-band:10,high=1001"), "there are 1000 items"),
    (sources("uniform:100", "rank-band:10", logq=1.0), "unknown"),
    ({"hardest": 10, "logq": 0.5}, "unknown"),
    (sources("uniform:8", hardest=9), "only 8 negatives"),
    (sources(MANY, hardest=9), f"hardest 9 {AT_ONCE}"),
    (sources(MANY, loss="adv-info-nce"), f"loss adv-info-nce {AT_ONCE}"),
    (sources(MANY, loss="sl-at-k"), f"loss sl-at-k {AT_ONCE}"),
    # Negatives outside the user's items
    (sources("in-batch", OUTSIDE, logq=1.0), "its q differs by user"),
    (sources(OUTSIDE, leave_own_out=True), "leave_own_out with uniform-outside"),
    (sources(OUTSIDE, positives="item-item"), "the query is not a user"),
    (
        sources("in-batch", OUTSIDE, item_gradient="balanced"),
        "share of the repulsive gradient",
    ),
    (inclusion(OUTSIDE), "its columns differ by row"),
    # Names
    (sources("uniform"), "uniform needs a number of draws"),
    (sources("uniform:0"), "uniform needs a number of draws"),
    (sources("uniform:x"), "uniform needs a number of draws"),
    (sources("uniform:-3"), "uniform needs a number of draws"),
    (sources("uniform-outside"), "uniform-outside needs a number of draws"),
    (sources("in-batch:3"), "in-batch takes no number"),
    (sources("catalogue:3"), "catalogue takes no number"),
    (sources("in-bach"), "nearest: in-batch"),
]


@pytest.mark.parametrize(("changes", "line"), REFUSED, ids=str)
def test_what_can_not_be_meant_is_refused_in_one_line(changes, line):
    config = Config(**changes)

    def check() -> None:
        check_config(config)
        check_negatives(config, SIZE)

    with pytest.raises(InputError, match=line) as error:
        check()
    assert "\n" not in str(error.value)


SMALL = Size(items=1000, clicked=620, pairs=640)
FEW = Size(items=30, clicked=30, pairs=40)
ONE_EPOCH = {"batch": 64, "epochs": 1}  # of ten steps
TWO_EPOCHS = {"batch": 4, "epochs": 2, "frequency": "periodic"}  # of ten steps each
BOUNDS = [
    *(
        (SMALL, ONE_EPOCH, sources(f"{name}:576"), sources(f"{name}:577"), "never full")
        for name in ("fifo-cache", "vector-cache")
    ),
    *(
        (FEW, TWO_EPOCHS, {"frequency": allowed}, refused, "periodic's window is")
        for allowed, refused in (
            ("periodic,window=19", {"frequency": "periodic,window=20"}),
            ("exact", {"frequency": "periodic,window=1000000"}),
            ("exact", {"epochs": 1}),
        )
    ),
]


@pytest.mark.parametrize(("size", "changes", "allowed", "refused", "line"), BOUNDS)
def test_what_no_step_of_a_run_would_use_is_refused(
    size, changes, allowed, refused, line
):
    check_negatives(dataclasses.replace(Config(**changes), **allowed), size)
    with pytest.raises(InputError, match=line) as error:
        check_negatives(dataclasses.replace(Config(**changes), **refused), size)
    assert "\n" not in str(error.value)


def test_a_user_who_has_everything_is_refused():
    config, size = Config(negatives=(OUTSIDE,)), Size(130, 130, 1000, 129)
    check_negatives(config, size)
    with pytest.raises(InputError, match="a user has all 130 items"):
        check_negatives(config, size._replace(most=130))
