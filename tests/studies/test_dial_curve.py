"""The dial's curve: the numbers of the study, and where figures put their marks."""

import numpy as np
import pytest

from experiments.studies.dial import STRENGTHS, dial_curve, dial_figure, trained
from research.data.synthetic import make_synthetic
from research.types import InputError


@pytest.mark.slow
def test_a_curve_holds_what_the_study_measures():
    world = make_synthetic(40, 60, 8, quality=0.5, exposure=1.0, seed=1)
    frame = dial_curve(world, seed=3, epochs=1)
    recovered, clicked, rule = trained(world, 3, 1)
    assert (frame.rule == rule).all()
    for n, (_, line) in enumerate(frame.groupby("arm", sort=False)):
        np.testing.assert_allclose(line.strength, STRENGTHS)
        np.testing.assert_allclose(line.recovered, recovered[n, :-1])
        np.testing.assert_allclose(line.clicked, clicked[n, :-1])
    drawing = dial_figure(frame)
    panel = drawing.figure.axes[0]
    lines = {line.get_label(): line for line in panel.lines}
    assert set(lines) >= {"in-batch", "in-batch+logq", "rule"}
    assert lines["rule"].get_xdata()[0] == pytest.approx(rule)
    marks = [line for line in panel.lines if len(line.get_xdata()) == 1]
    first = frame[frame.arm == "in-batch"]
    assert marks[0].get_ydata()[0] == first.recovered.max()


def test_no_epoch_and_too_few_items_are_refused():
    world = make_synthetic(40, 60, 8, seed=1)
    with pytest.raises(InputError, match="epochs is 0"):
        dial_curve(world, epochs=0)
    with pytest.raises(InputError, match="10 items: the best 20 need as many"):
        dial_curve(make_synthetic(40, 10, 8, seed=1), epochs=1)
