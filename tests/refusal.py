"""What a call refuses, in the one line that a person sees."""

import pytest

from research.types import InputError


def refusal(call, *arguments, **options) -> str:
    """The line with which the call refuses; it must refuse, in one line."""
    with pytest.raises(InputError) as caught:
        call(*arguments, **options)
    line = str(caught.value)
    assert line.strip()
    assert "\n" not in line
    return line


def outcome(call, *arguments):
    """What the call gives, None where it refuses."""
    try:
        return call(*arguments)
    except InputError:
        return None
