"""Lines on stderr, and the names that they begin with."""

import pytest

from experiments.engine import local
from experiments.output.plan import Run
from research.config import Config
from research.notices import named, say
from research.serving import AS_TRAINED


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


def test_what_one_of_several_runs_says_names_the_run(monkeypatch, capsys, tmp_path):
    def execute(*words):
        say("collapsed: after epoch 1")
        return "R@20 0.1"

    monkeypatch.setattr(local, "execute", execute)
    runs = [
        Run(Config(seed=n), (AS_TRAINED,), tmp_path / str(n), f"in-batch seed {n}")
        for n in range(2)
    ]
    done = []
    for chosen in (runs, runs[:1]):
        local.run_here(chosen, None, done.append, lambda line: None)
    assert not any(status.failed for status in done)
    assert capsys.readouterr().err.splitlines() == [
        "in-batch seed 0: collapsed: after epoch 1",
        "in-batch seed 1: collapsed: after epoch 1",
        "collapsed: after epoch 1",
    ]
