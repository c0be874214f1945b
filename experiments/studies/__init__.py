"""The registry of studies: questions that a grid of training runs can't answer.

Each is a module or a package of its own, named as the study, whose docstring says the
question, the command and what to expect. It is imported only when the study runs.
"""

from pathlib import Path

from experiments.study import SIMULATED, Study
from research.registry import Registry, deferred

__all__ = ["STUDIES"]

PREDICTIONS = Path(__file__).with_name("predictions")
_POLICIES = (
    *("never", "half", "full", "rule", "shown", "rate", "ips", "ips-half"),
    *("calibrated", "calibrated-rule", "calibrated-rate"),
)


def _predicted(name: str) -> str:
    """A study's prediction (predictions/NAME.md), each paragraph on a line."""
    paragraphs = (PREDICTIONS / f"{name}.md").read_text("utf-8").split("\n\n")
    return "\n\n".join(" ".join(lines.split()) for lines in paragraphs)


STUDIES: Registry[Study] = Registry(
    "study",
    {
        study.name: study
        for study in (
            Study(
                name="frequency",
                question="How fast does the streaming estimate follow a shift, at what "
                "error?",
                minutes="3",
                run=deferred("experiments.studies.frequency:run_frequency"),
                report=deferred("experiments.studies.frequency:report_frequency"),
                seeds=5,
                place=SIMULATED,
            ),
            Study(
                name="probe",
                question="How much of the sampling bias does each correction leave?",
                minutes="8",
                run=deferred("experiments.studies.probe:run_probe"),
                report=deferred("experiments.studies.probe:report_probe"),
            ),
            Study(
                name="exposure",
                question="When does the log q correction recover what users would "
                "choose?",
                minutes="6",
                run=deferred("experiments.studies.exposure:run_exposure"),
                report=deferred("experiments.studies.exposure:report_exposure"),
                seeds=3,
                place=SIMULATED,
            ),
            Study(
                name="dial",
                question="How much of log q should be corrected, where part of "
                "popularity is exposure?",
                minutes="25",
                run=deferred("experiments.studies.dial:run_dial"),
                report=deferred("experiments.studies.dial.report:report_dial"),
                seeds=5,
                place=SIMULATED,
                prediction=_predicted("dial"),
            ),
            Study(
                name="strength",
                question="Do log q in the loss and a popularity prior when serving do "
                "the same?",
                minutes="25",
                run=deferred("experiments.studies.strength:run_strength"),
                report=deferred("experiments.studies.strength.report:report_strength"),
                seeds=3,
                prediction=_predicted("strength"),
            ),
            Study(
                name="span",
                question="From which temperature on can cosines not hold both taste "
                "and log q?",
                minutes="25",
                run=deferred("experiments.studies.span:run_span"),
                report=deferred("experiments.studies.span.report:report_span"),
                seeds=3,
                prediction=_predicted("span"),
            ),
            Study(
                name="length",
                question="Does a longer training lose less of log q, where cosines "
                "cannot hold all of it?",
                minutes="40",
                run=deferred("experiments.studies.length:run_length"),
                report=deferred("experiments.studies.length:report_length"),
                seeds=5,
                prediction=_predicted("length"),
            ),
            Study(
                name="semisynthetic",
                question="Does the rule of the correction's strength hold for tastes "
                "learned from real clicks?",
                minutes="10",
                run=deferred("experiments.studies.semisynthetic:run_semisynthetic"),
                report=deferred(
                    "experiments.studies.semisynthetic.report:report_semisynthetic"
                ),
                seeds=3,
                prediction=_predicted("semisynthetic"),
            ),
            Study(
                name="clicks",
                question="Do more clicks bring the best strength of the correction to "
                "the rule's?",
                minutes="50",
                run=deferred("experiments.studies.clicks:run_clicks"),
                report=deferred("experiments.studies.clicks.report:report_clicks"),
                seeds=5,
                prediction=_predicted("clicks"),
            ),
            Study(
                name="impressions",
                question="With impressions of each item, how much of log q and of log "
                "impressions to serve with?",
                minutes="30",
                run=deferred("experiments.studies.impressions:run_impressions"),
                report=deferred(
                    "experiments.studies.impressions.report:report_impressions"
                ),
                seeds=5,
                arms=("in-batch", "in-batch+logq", "in-batch+ips", "in-batch+logq+ips"),
                prediction=_predicted("impressions"),
            ),
            Study(
                name="calibration",
                question="Do held-out clicks say how far the best strength lies from "
                "the rule's?",
                minutes="20",
                run=deferred("experiments.studies.calibration:run_calibration"),
                report=deferred(
                    "experiments.studies.calibration.report:report_calibration"
                ),
                seeds=5,
                arms=("in-batch", "in-batch+logq"),
                prediction=_predicted("calibration"),
            ),
            Study(
                name="stopping",
                question="Does the epoch that held-out clicks choose bring the best "
                "strength to the rule's?",
                minutes="10",
                run=deferred("experiments.studies.stopping:run_stopping"),
                report=deferred("experiments.studies.stopping:report_stopping"),
                seeds=5,
                prediction=_predicted("stopping"),
            ),
            Study(
                name="faithful",
                question="Does a more faithful gradient train a model nearer to the "
                "full softmax?",
                minutes="10",
                run=deferred("experiments.studies.faithful:run_faithful"),
                report=deferred("experiments.studies.faithful.report:report_faithful"),
                seeds=3,
                prediction=_predicted("faithful"),
            ),
            Study(
                name="collapse",
                question="How long does a model last once a cache of past vectors "
                "joins its negatives?",
                minutes="30",
                run=deferred("experiments.studies.collapse:run_collapse"),
                report=deferred("experiments.studies.collapse.report:report_collapse"),
                seeds=5,
                prediction=_predicted("collapse"),
            ),
            Study(
                name="budget",
                question="Which loss ranks best where each is tuned with the same "
                "budget?",
                minutes="30",
                run=deferred("experiments.studies.budget:run_budget"),
                report=deferred("experiments.studies.budget.report:report_budget"),
                seeds=10,
                prediction=_predicted("budget"),
            ),
            Study(
                name="totals",
                question="At which total strength is held-out recall highest, by "
                "epoch?",
                minutes="5",
                run=deferred("experiments.studies.totals:run_totals"),
                report=deferred("experiments.studies.totals.report:report_totals"),
                seeds=5,
                prediction=_predicted("totals"),
            ),
            Study(
                name="scale",
                question="At which temperature should a model be served that was "
                "trained at another?",
                minutes="5",
                run=deferred("experiments.studies.scale:run_scale"),
                report=deferred("experiments.studies.scale:report_scale"),
                seeds=5,
                prediction=_predicted("scale"),
            ),
            Study(
                name="carry-over",
                question="Does the strength that validation clicks give suit a model "
                "trained on them, too?",
                minutes="10",
                run=deferred("experiments.studies.carry_over:run_carry_over"),
                report=deferred("experiments.studies.carry_over:report_carry_over"),
                seeds=5,
                prediction=_predicted("carry-over"),
            ),
            Study(
                name="trade-off",
                question="Does the temperature trade precision against diversity, or "
                "the popularity prior?",
                minutes="12",
                run=deferred("experiments.studies.trade_off:run_trade_off"),
                report=deferred("experiments.studies.trade_off:report_trade_off"),
                seeds=5,
                arms=("in-batch", "in-batch+logq"),
                prediction=_predicted("trade-off"),
            ),
            Study(
                name="feedback",
                question="How much to correct where recommendations make the exposure?",
                minutes="70",
                run=deferred("experiments.studies.feedback:run_feedback"),
                report=deferred("experiments.studies.feedback.report:report_feedback"),
                seeds=5,
                place=SIMULATED,
                arms=_POLICIES,
                prediction=_predicted("feedback"),
            ),
            Study(
                name="pace",
                question="How much training does each loss need, in examples and in "
                "seconds?",
                minutes="5",
                run=deferred("experiments.studies.pace:run_pace"),
                report=deferred("experiments.studies.pace.report:report_pace"),
                seeds=3,
                prediction=_predicted("pace"),
            ),
            Study(
                name="pace-simulated",
                question="How much training does each loss need with 50,000 items?",
                minutes="40",
                run=deferred("experiments.studies.pace:run_pace_simulated"),
                report=deferred("experiments.studies.pace.report:report_pace"),
                seeds=3,
                place=SIMULATED,
                prediction=_predicted("pace"),
            ),
            Study(
                name="outside",
                question="Does this code reproduce published numbers?",
                minutes="900",
                run=deferred("experiments.studies.outside:run_outside"),
                report=deferred("experiments.studies.outside.report:report_outside"),
                seeds=5,
                place="outside",
                prediction=_predicted("outside"),
            ),
            Study(
                name="shift",
                question="Should log q be corrected if test items are drawn evenly "
                "from the catalogue?",
                minutes="180",
                run=deferred("experiments.studies.shift:run_shift"),
                report=deferred("experiments.studies.shift.report:report_shift"),
                seeds=3,
                arms=(
                    "in-batch",
                    "in-batch+logq",
                    "mixed",
                    "mixed+logq",
                    "full-softmax",
                ),
                prediction=_predicted("shift"),
            ),
            Study(
                name="calibrated-shift",
                question="Do clicks drawn as at serving time set the strength, and how "
                "many does it take?",
                minutes="60",
                run=deferred(
                    "experiments.studies.calibrated_shift:run_calibrated_shift"
                ),
                report=deferred(
                    "experiments.studies.calibrated_shift.report:report_calibrated_shift"
                ),
                seeds=5,
                arms=("in-batch", "in-batch+logq"),
                prediction=_predicted("calibrated-shift"),
            ),
            Study(
                name="unclicked",
                question="Why is a model with log q in the loss hard to serve without "
                "popularity?",
                minutes="40",
                run=deferred("experiments.studies.unclicked:run_unclicked"),
                report=deferred(
                    "experiments.studies.unclicked.report:report_unclicked"
                ),
                seeds=3,
                arms=("in-batch", "in-batch+logq", "mixed+logq"),
                prediction=_predicted("unclicked"),
            ),
            Study(
                name="at-k",
                question="Is popularity what a loss at K gains over the softmax?",
                minutes="120",
                run=deferred("experiments.studies.at_k:run_at_k"),
                report=deferred("experiments.studies.at_k.report:report_at_k"),
                seeds=3,
                prediction=_predicted("at-k"),
            ),
            Study(
                name="magnifier",
                question="Which negatives receive the gradient, by temperature?",
                minutes="2",
                run=deferred("experiments.studies.magnifier:run_magnifier"),
                report=deferred("experiments.studies.magnifier:report_magnifier"),
                seeds=5,
            ),
            Study(
                name="coverage",
                question="Do 95 % intervals cover the truth, for nearly tied arms too?",
                minutes="3",
                run=deferred("experiments.studies.coverage:run_coverage"),
                report=deferred("experiments.studies.coverage:report_coverage"),
            ),
        )
    },
)
