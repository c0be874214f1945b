"""Lines on stderr, and the names that they begin with."""

import pytest

from research.notices import named, say
from research.registry import Registry


def test_a_line_begins_with_the_name_it_is_about(capsys):
    with named("a seed 0"):
        say("collapsed")
    say("done")
    printed = capsys.readouterr()
    assert printed.err == "a seed 0: collapsed\ndone\n"
    assert printed.out == ""


def test_a_failure_ends_the_name(capsys):
    with pytest.raises(OSError, match="full"), named("a seed 0"):
        raise OSError("full")
    say("done")
    assert capsys.readouterr().err == "done\n"


def test_an_entry_in_the_place_of_the_projects_own_is_said(capsys):
    registry = Registry("cut", {"last": 1.5})
    own = registry["last"]
    registry["mine"] = 2.5
    registry["mine"] = 3.5
    registry["last"] = own
    assert capsys.readouterr().err == ""

    registry["last"] = 4.5
    assert registry["last"] == 4.5
    assert capsys.readouterr().err == (
        "warning: cut 'last' of this project is replaced\n"
    )
