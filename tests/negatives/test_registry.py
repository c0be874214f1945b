"""The registry of sources: names, numbers of draws, and what is refused."""

import pytest

from research.config import Config
from research.negatives import SOURCES, make_sources
from research.types import InputError


@pytest.mark.parametrize(
    ("specs", "line"),
    [
        ((), "no source of negatives"),
        (("uniform",), "uniform needs a number of draws"),
        (("uniform:0",), "uniform needs a number of draws"),
        (("uniform:x",), "uniform needs a number of draws"),
        (("uniform:-3",), "uniform needs a number of draws"),
        (("in-batch:3",), "in-batch takes no number"),
        (("catalogue:3",), "catalogue takes no number"),
        (("in-bach",), "nearest: in-batch"),
    ],
)
def test_what_names_no_source_is_bad_input(specs, line):
    with pytest.raises(InputError, match=line) as raised:
        make_sources(specs)
    assert "\n" not in str(raised.value)


def spec_of(name: str) -> str:
    if name in ("in-batch", "catalogue"):
        return name
    return f"{name}:3" if name == "in-batch-part" else f"{name}:8"


def test_every_source_is_called_what_the_registry_calls_it():
    config = Config(batch=4)
    names = [make_sources((spec_of(name),), config)[0].name for name in SOURCES]
    assert names == list(SOURCES)
