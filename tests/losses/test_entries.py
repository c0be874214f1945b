"""Names, values and needs of the entries, and configs that a loss cannot use."""

import pytest

from research.config import Config, swept_fields
from research.losses import (
    LOSSES,
    MASK,
    ORDER,
    SHIFT,
    UNIFORM_Q,
    check_loss,
    hyper_values,
    start_values,
)
from research.losses.entry import (
    CONTEXT,
    DENSE,
    NEGATIVES,
    ONE_TEMPERATURE,
    SQUARE,
    Loss,
)
from research.types import InputError


def test_names_in_the_registry_are_free_and_needs_are_known():
    for name, entry in LOSSES.items():
        own = {*entry.hyper, *entry.trainable}
        assert not own & {*swept_fields(), "epochs", "items"}, name
        assert not entry.hyper.keys() & entry.trainable.keys(), name
        assert entry.needs <= CONTEXT | {
            *(NEGATIVES, DENSE, SQUARE, ONE_TEMPERATURE)
        }, name
        assert entry.laws <= {SHIFT, ORDER, MASK, UNIFORM_Q}, name


def test_values_are_read_from_the_loss():
    config = Config(loss="hard-negative,hardness=0.5")
    assert hyper_values(config) == {"positive_share": 0.1, "hardness": 0.5}


def test_they_also_set_where_what_is_learned_starts():
    config = Config(loss="gbce,bias=-7.3,calibration=0.5")
    assert start_values(config) == {"bias": -7.3}
    assert hyper_values(config) == {"calibration": 0.5}
    assert start_values(Config(loss="siglip")) == {"log_scale": 0.0, "bias": -10.0}
    assert start_values(Config(loss="bpr")) == {}


# What is said, then the config that it is said of, in place of hinge's.
BAD = """
unknown value of hinge 'margn' (nearest: margin) | loss=hinge,margn=1
hinge's margin is inf: it must be finite | loss=hinge,margin=inf
hinge's margin is nan: it must be finite | loss=hinge,margin=nan
margin has no value | loss=hinge,margin
hinge's margin is 'x': it must be a number | loss=hinge,margin=x
unknown value of gbce 'bia' (nearest: bias): choose | loss=gbce,bia=1
sigmoid's bias is inf | loss=sigmoid,bias=inf
bias is given twice | loss=gbce,bias=1,bias=2
margin is given twice | loss=hinge,margin=1,margin=2
sampled-softmax takes no values | loss=sampled-softmax,margin=1
unknown loss 'bpt' (nearest: bpr) | loss=bpt
bpr needs a negative: in-batch with batch 1 | loss=bpr batch=1
bpr needs a negative: name a source | loss=bpr negatives=
siglip judges all pairs of a batch: it | loss=siglip negatives=in-batch,fifo-cache:1024
siglip judges all pairs of a batch: hardest | loss=siglip hardest=5
logq 1 with siglip | loss=siglip logq=1
align-uniform uses no negatives | loss=align-uniform negatives=uniform:8
align-uniform sees vectors | loss=align-uniform logq=1
align-uniform compares the rows | loss=align-uniform batch=1
logq 1 with lambda-rank | loss=lambda-rank logq=1
hardest 5 with adv-info-nce | loss=adv-info-nce hardest=5
sl-at-k's cutoff is 0: it must be at least 1 | loss=sl-at-k,cutoff=0
sl-at-k's cutoff is 20.5: it must be a whole number | loss=sl-at-k,cutoff=20.5
adv-info-nce's every is 0.5 | loss=adv-info-nce,every=0.5
adv-info-nce's every is 1: it would | loss=adv-info-nce,every=1
sl-at-k's width is 0: it must be above 0 | loss=sl-at-k,width=0
sl-at-k's weight_gradient is 2: it must be in [0, 1] | loss=sl-at-k,weight_gradient=2
gbce's calibration is 5: it must be in [0, 1] | loss=gbce,calibration=5
debiased's positive_share is 1: it must be in [0, 1) | loss=debiased,positive_share=1
llpauc's fpr is 2: it must be in (0, 1] | loss=llpauc,fpr=2
sl-at-k with positives item-item | loss=sl-at-k positives=item-item
psl-relu needs one temperature for all rows | loss=psl-relu temperature_kind=per-user
not those of temperature_kind by-pop | loss=debiased temperature_kind=by-popularity
"""
READ = {"batch": int, "hardest": int, "logq": float}


@pytest.mark.parametrize("case", BAD.strip().split("\n"))
def test_what_a_loss_cannot_use_is_refused(case):
    line, changes = case.split(" | ")
    config: dict = {"loss": "hinge"}
    for change in changes.split():
        name, _, text = change.partition("=")
        several = tuple(filter(None, text.split(",")))
        config[name] = several if name == "negatives" else (
            READ.get(name, str)(text)
        )  # fmt: skip
    with pytest.raises(InputError) as error:
        check_loss(Config(**config))
    assert line in str(error.value)
    assert "\n" not in str(error.value)


def test_scores_of_too_many_items_at_once_are_refused():
    config = Config(loss="lambda-rank", batch=1024)
    check_loss(config, 500_000)
    with pytest.raises(InputError, match="1024 rows with all 600000 items at once"):
        check_loss(config, 600_000)


@pytest.mark.parametrize("taken", ["logq", "temperature", "epochs", "items"])
@pytest.mark.parametrize("field", ["hyper", "trainable"])
def test_a_loss_of_ones_own_cannot_take_the_place_of_a_runs_value(
    taken, field, monkeypatch
):
    own = {taken: (5.0, "mine") if field == "hyper" else 5.0}
    monkeypatch.setitem(LOSSES, "mine", Loss(lambda p, z, h: p, **{field: own}))
    with pytest.raises(InputError, match=f"loss mine: its value '{taken}'"):
        check_loss(Config(loss="mine"))


def test_a_value_of_ones_own_is_set_or_learned_but_not_both(monkeypatch):
    both = Loss(lambda p, z, h: p, {"width": (1.0, "mine")}, {"width": 1.0})
    monkeypatch.setitem(LOSSES, "mine", both)
    with pytest.raises(InputError, match="its value 'width'"):
        check_loss(Config(loss="mine"))
