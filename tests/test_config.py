"""One config: what is refused, and which fields make a compilation of their own."""

import dataclasses
import math
import re

import pytest

from research.config import (
    REFERENCE,
    Config,
    compile_key,
    swept_fields,
    swept_values,
    training_fields,
    with_values,
)
from research.entries import Named
from research.marks import SERVING, marked, marks_of
from research.prepare import check_config
from research.types import InputError, choose

SWEPT, SERVED = set(swept_fields()), set(marked(Config, SERVING))
FIELDS = {field.name for field in dataclasses.fields(Config)}

REFUSED = {
    "temperature": (0.0, -0.1, math.nan, math.inf),
    "learning_rate": (0.0, -1.0, math.nan, math.inf),
    "logq": (math.nan, math.inf, -math.inf),
    "prior": (math.nan, math.inf),
    "threshold": (math.nan, math.inf),
    "dropout": (-0.1, 1.0, math.nan),
    "weight_decay": (-1e-9, math.inf),
    "batch": (0, -1),
    "epochs": (0,),
    "dim": (0,),
    "history": (-1,),
    "evaluate_every": (-1,),
    "seed": (-1,),
    "tie_seed": (-1,),
    "user_hidden": ((0,), (16, 0)),
    "item_hidden": ((-4,),),
    "output": ("cosin", ""),
    "serve_norm": ("cosine", ""),
    "history_order": ("random",),
    "layers": ("lin", ""),
    "table_scale": (-0.1, math.nan),
}


@pytest.mark.parametrize(
    ("field", "value"), [(f, v) for f, values in REFUSED.items() for v in values]
)
def test_what_cannot_be_meant_is_refused_in_one_line(field, value):
    with pytest.raises(InputError) as raised:
        check_config(dataclasses.replace(REFERENCE, **{field: value}))
    line = str(raised.value)
    assert "\n" not in line
    assert (field if not field.endswith("hidden") else "hidden") in line


OF_ENTRIES = {
    ("batch_order", "by-time"): "unknown batch order 'by-time'",
    ("batch_order", "time,days=0"): "time's days is 0: it must be above 0",
    ("batch_order", "time,days=nan"): "time's days is nan: it must be finite",
    ("batch_order", "shuffled,days=1"): "shuffled takes no values",
    ("search", "simulated,noise=1.1"): "simulated's noise is 1.1: it must be in",
    ("search", "simulated,words=0"): "simulated's words is 0: it must be in",
    ("search", "s.csv"): "unknown search 's.csv'",
}


@pytest.mark.parametrize(("given", "line"), OF_ENTRIES.items(), ids=str)
def test_what_an_entry_does_not_take_is_refused(given, line):
    with pytest.raises(InputError, match=re.escape(line)):
        dataclasses.replace(REFERENCE, **dict([given])).check()


ACCEPTED = [
    {},
    {"temperature": 1e-3},
    {"dropout": 0.0},
    {"negatives": ("popularity:8,alpha=0",)},
    {"negatives": ("popularity:8,alpha=2",)},
    {"weight_decay": 0.0},
    {"history": 0},
    {"user_hidden": (), "item_hidden": ()},
    {"output": "dot"},
    {"logq": -1.0},
    {"fit_on": "train", "evaluate_every": 1},
]


@pytest.mark.parametrize("changes", ACCEPTED, ids=str)
def test_what_can_be_meant_is_not_refused(changes):
    check_config(dataclasses.replace(REFERENCE, **changes))


def changed(name: str) -> Config:
    """The reference with another value of one field, not necessarily a sane one."""
    value = getattr(REFERENCE, name)
    if isinstance(value, bool):
        other: object = not value
    elif isinstance(value, (int, float)):
        other = value + 1
    elif mark := dict(marks_of(Config, Named)).get(name):
        other = next(entry for entry in mark.registry if entry not in value)
        other = (other,) if mark.drawn else other
    elif isinstance(value, str):
        other = value + "x"
    elif value is None:
        other = ("id",)
    else:
        other = (*value, *value) or ("name=1",)
    return dataclasses.replace(REFERENCE, **{name: other})


OUTSIDE = {
    *("dataset", "split", "fit_on", "threshold", "tie_seed", "catalogue"),
    *("columns", "core", "left_out", "judged_from"),
    *("epochs", "evaluate_every", "evaluate_prior", "seed"),
    *("item_array", "batch_order", "search"),
    *("table_scale", "ips", "patience"),
}


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_a_compilation_is_shared_exactly_where_the_structure_is(name):
    shared = name in SWEPT | SERVED or name in OUTSIDE
    assert (compile_key(changed(name)) == compile_key(REFERENCE)) is shared


@pytest.mark.parametrize("name", ["dropout", "click_dropout"])
def test_a_dropout_of_0_is_a_structure_of_its_own(name):
    none, some = ({name: share} for share in (0.0, 0.3))
    keys = [compile_key(Config(**fields)) for fields in ({}, some, none)]
    assert keys[0] == keys[1] != keys[2]


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_a_field_trains_another_run_unless_it_only_serves(name):
    one, other = training_fields(REFERENCE), training_fields(changed(name))
    assert (one == other) is (name in SERVED)


def test_temperature_strength_rate_and_alpha_are_swept_not_structure():
    assert {"temperature", "logq", "learning_rate", "dropout"} <= SWEPT
    config = Config(negatives=("popularity:8,alpha=0.5",))
    assert swept_values(config) == {"popularity.alpha": 0.5}
    assert compile_key(config) == compile_key(Config(negatives=("popularity:8",)))
    assert SWEPT | SERVED <= FIELDS


def test_values_of_entries_are_set_by_their_full_names():
    config = Config(negatives=("in-batch", "extra:8"), loss="hinge")
    found = with_values(config, {"extra.mix": 0.5, "hinge.margin": 2})
    assert (found.negatives, found.loss) == (
        ("in-batch", "extra:8,mix=0.5"),
        "hinge,margin=2",
    )
    for name, line in (("popularity.alpha", "nothing of the run"), ("extra.mx", "mix")):
        with pytest.raises(InputError, match=line):
            with_values(config, {name: 0.5})


def test_a_config_cannot_be_written_to():
    with pytest.raises(dataclasses.FrozenInstanceError):
        REFERENCE.temperature = 0.2  # type: ignore[misc]


def test_choose_names_the_choices_and_the_nearest():
    registry = {"ratio": 1, "last": 2, "time": 3}
    assert choose("last", registry, "split") == 2
    with pytest.raises(InputError) as raised:
        choose("ration", registry, "split")
    line = "unknown split 'ration' (nearest: ratio): choose last, ratio, time"
    assert str(raised.value) == line
    with pytest.raises(InputError, match="unknown split 'zzzzz': choose"):
        choose("zzzzz", registry, "split")


def with_any(**changes):
    """A config as a notebook may make it: here types are checked, there they aren't."""
    config = Config()
    for name, value in changes.items():
        object.__setattr__(config, name, value)
    return config


OF_ANOTHER_KIND = [
    ("mask_user_positives", ("no", 0, 1, None), "True or False"),  # any text is true
    ("batch", (64.0, "64", True, None), "a whole number"),
    ("epochs", (1.5, True), "a whole number"),
    ("temperature", ("0.1", True, None), "a number"),
    ("negatives", ("uniform:8",), "a tup"),  # not a list of its letters
]


@pytest.mark.parametrize(("field", "values", "expected"), OF_ANOTHER_KIND)
def test_a_value_is_of_the_fields_kind(field, values, expected):
    for value in values:
        with pytest.raises(InputError, match=f"^{field} is .*: it must be {expected}"):
            with_any(**{field: value}).check()


def test_a_whole_number_makes_the_run_of_the_real_one():
    """On the command line 3 is 3.0, and a notebook looks for that run with 3."""
    whole, real = with_any(threshold=3, logq=1), Config(threshold=3.0, logq=1.0)
    assert str(training_fields(whole)) == str(training_fields(real))
    assert str(training_fields(whole)["epochs"]) == "40"
