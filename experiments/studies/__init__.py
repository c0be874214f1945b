"""The registry of studies: questions that a grid of training runs can't answer.

Each is a module or a package of its own, named as the study, whose docstring says the
question, the command and what to expect. It is imported only when the study runs.
"""

from experiments.study import SIMULATED, Study
from research.registry import Registry, deferred

__all__ = ["STUDIES"]

_PACE = (
    "In-batch negatives with log q reach 95 % of the full softmax's best NDCG@20 with "
    "at most 1.1 times as many examples, as do both mixtures and uniform negatives; "
    "without log q they never reach it. In time in-batch+logq needs at most 0.8 of "
    "the full softmax's at 1,447 items, 0.5 at 3,533 and 0.05 at 50,000. A statement "
    "holds if its 95 % interval lies below the number, fails if it lies above, and is "
    "undecided else."
)

_POLICIES = ("never", "half", "full", "rule", "shown", "rate", "ips", "ips-half")

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
                prediction="The best strength is 1 - cov(log q, log e) / var(log q), "
                "e the exposure: within 0.1 in the limit of endless clicks, in every "
                "data set; within 0.2 for the trained models in at least 90 % of the "
                "data sets. The mean regret of the rule, the share of recovered "
                "items below the best strength, is below 0.03, its interval "
                "included, and lower than that of never, half and always "
                "correcting. A choice on clicks picks 0.9 to 1.1 in at least 90 % "
                "of the data sets, whatever the exposure.",
            ),
            Study(
                name="strength",
                question="Log q in the loss and a popularity prior when serving: one "
                "knob in two places?",
                minutes="25",
                run=deferred("experiments.studies.strength:run_strength"),
                report=deferred("experiments.studies.strength.report:report_strength"),
                seeds=3,
                prediction="With lambda the strength in the loss and alpha that of the "
                "prior when serving, recall@20 depends on lambda + alpha alone: at the "
                "totals 0.25 to 1 the means of the five lambdas lie within 0.006 of"
                " each other, for cosine at temperatures up to 0.15 and for dot at "
                "every one. For cosine at 0.2 and above, lambda 0 with alpha 1 is "
                "at least 0.01 above lambda 1 with alpha 0. Recall@20 peaks at a "
                "total of 0.75 to 1.25, item-averaged recall@20 at 0.5 to 0.75. "
                "Among held-out rated items the area under the ROC curve of ratings"
                " from 4 over ratings up to 3 peaks at a total of at most 0.3, "
                "while recall@20 peaks near 1.",
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
                prediction="At every exposure, for the models trained without and "
                "with log q, the strength that recovers most in the mean over the "
                "seeds lies within 0.15 of the rule's, and the rule recovers at most "
                "0.03 less than that strength. Added for a prior of the log of clicks "
                "per impression (rate), before it was measured: exposure is a power "
                "of popularity here, so that it is within 0.02 of the rule in the "
                "mean over the seeds, and recovers more than the full correction "
                "where exposure goes against popularity and less where it goes with "
                "it. So what it gains in the study feedback is not seen here.",
            ),
            Study(
                name="clicks",
                question="Do more clicks bring the best strength of the correction to "
                "the rule's?",
                minutes="50",
                run=deferred("experiments.studies.clicks:run_clicks"),
                report=deferred("experiments.studies.clicks.report:report_clicks"),
                seeds=5,
                prediction="With four times as many users the best strength falls by "
                "at least 0.3 at gamma 0 and by at least 0.1 at gamma 1, and so it "
                "does with four times as many clicks of each user; with a quarter of "
                "either it rises by at least 0.1; both also where the epochs change "
                "the other way, so that there are as many steps. Epochs alone, a "
                "quarter or four times as many, change it by at most 0.3. In "
                "every condition the fit lies within 0.3 of the best strength: what "
                "the model does not know of the tastes sets the distance from the "
                "rule's. A statement holds if its 95 % interval over seeds lies "
                "inside, fails if it lies beyond, and is undecided else.",
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
                prediction="In each kind of exposure that varies, for models trained "
                "without and with log q, exposure known exactly: clicks per impression "
                "(a = b = 1) recover more than the best strength of log q alone. What "
                "a model needs beyond the rule is log q, not impressions: the best "
                "pair has b from 0.75 to 1.25, and a within 0.3 of the best strength "
                "with even exposure. So with that a, b = 1 recovers more than a = b = "
                "1, and more than b = a. Counted, 100 impressions of an item cost "
                "clicks per impression at most 0.01; with 1 they recover less than "
                "the rule, which averages over the items, and the best pair has b of "
                "0.75 or less. Held-out clicks, each weighted by 1 / e, choose a pair "
                "that recovers more than the one that clicks alone choose, and at "
                "most 0.02 less than the best. A statement holds if its 95 % interval "
                "over seeds lies inside, fails if it lies beyond, and is undecided "
                "else. (Written before any run; a quick one, seen before this was "
                "committed, of two epochs, one seed and independent exposure, has 0.49 "
                "by clicks per impression and 0.22 at the best strength. Added when "
                "the other arms had been seen on MovieLens 100K, before any run of "
                "those with weights: inverse propensity weights in training aim at "
                "what b = 1 gives when serving, with fewer clicks that count. So with "
                "the a of even exposure b = 1 recovers more when serving than by "
                "weights, and by at most 0.05. Added when that had been seen, and a "
                "quick run of Amazon Electronics, before its whole one: there, too, "
                "the best pair is above the best strength and b above 1.25, and "
                "weights are within 0.02 of serving.)",
            ),
            Study(
                name="stopping",
                question="Does the epoch that held-out clicks choose bring the best "
                "strength to the rule's?",
                minutes="10",
                run=deferred("experiments.studies.stopping:run_stopping"),
                report=deferred("experiments.studies.stopping:report_stopping"),
                seeds=5,
                prediction="The epoch of the highest held-out recall is the 10th or "
                "an earlier one of 20. There the best strength is nearer to the "
                "rule's than after the last epoch, by at least 0.3. At gamma 0 it "
                "lies within 0.5 of the rule's, and the rule recovers at most 0.02 "
                "less than it. A statement holds if its 95 % interval over seeds "
                "lies inside, fails if it lies beyond, and is undecided else. "
                "(Committed after the study clicks, before any run of this one.)",
            ),
            Study(
                name="faithful",
                question="Does a more faithful gradient train a model nearer to the "
                "full softmax?",
                minutes="10",
                run=deferred("experiments.studies.faithful:run_faithful"),
                report=deferred("experiments.studies.faithful.report:report_faithful"),
                seeds=3,
                prediction="The estimators part at few negatives only: at n = 3 the "
                "divergence of some estimator from the full softmax differs from that "
                "of logq, and at n = 63 and 255 every estimator's lies within 10 % of "
                "it. leave-own-out, whose gradient has about a sixth of logq's bias at "
                "n = 63, is no nearer to the full softmax there. A statement within a "
                "margin holds if the 95 % interval lies inside it, fails if it lies "
                "beyond, and is undecided else.",
            ),
            Study(
                name="collapse",
                question="How long does a model last once a cache of past vectors "
                "joins its negatives?",
                minutes="30",
                run=deferred("experiments.studies.collapse:run_collapse"),
                report=deferred("experiments.studies.collapse.report:report_collapse"),
                seeds=5,
                prediction="Steps until half of recall@20 is gone. As first expected, "
                "they fall as B / M: the slope of their logarithm over that of M / B "
                "lies within 0.25 of -1. Against it: of all negatives M / (M + B) "
                "lack the gradient that pushes items away, so that the steps fall as "
                "1 + B / M, and at M / B = 1 are 1.6 to 2.2 times those at 16 (as "
                "B / M: 16 times). At every M / B they are within two epochs. Fresh "
                "columns with a stopped gradient take longer than the cache. With the "
                "gradient restored, at least 95 % of the recall without a cache is "
                "left after the last step. A statement holds if its 95 % interval "
                "over seeds lies inside, fails if it lies beyond, and is undecided "
                "else. (Written before any run; a quick run, seen before this was "
                "committed, has stopped columns losing recall faster than the cache. A "
                "first run, stopped in its first seed, followed 320 steps, in which "
                "the two smallest caches left more than half. So 960 are followed. "
                "Where half is not reached in them, they are the least that it "
                "takes.)",
            ),
            Study(
                name="budget",
                question="Which loss ranks best where each is tuned with the same "
                "budget?",
                minutes="30",
                run=deferred("experiments.studies.budget:run_budget"),
                report=deferred("experiments.studies.budget.report:report_budget"),
                seeds=10,
                prediction="The gap of a loss is what sampled-softmax has more than "
                "it. In recall@20 that of binary-nce falls from 0.038 to below 0.010, "
                "and that of gbce from 0.013 to below 0.006. In recall@100 neither has "
                "a gap: neither differs significantly from sampled-softmax, after Holm "
                "over all contrasts of the study. A gap is below its bound if its "
                "95 % interval is; it isn't if the interval lies above, and is "
                "undecided else. The same is expected on MovieLens 1M, where the four "
                "losses that validated best on 100K are tried, and binary-nce.",
            ),
            Study(
                name="totals",
                question="At which total strength is held-out recall highest, by "
                "epoch?",
                minutes="5",
                run=deferred("experiments.studies.totals:run_totals"),
                report=deferred("experiments.studies.totals:report_totals"),
                seeds=5,
                prediction="At the epoch that validation chooses, the total of highest "
                "recall@20 is lower than after the last one by 0.2 or more, and lies "
                "between 0.8 and 1.3; that of highest item-averaged recall@20 is lower "
                "than it by 0.2 or more. A statement holds if its 95 % interval lies "
                "in the range, fails if it lies outside, and is undecided else.",
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
                prediction="After six rounds the full correction recovers more than "
                "the rule, which takes for exposure what quality brought into the "
                "lists and is then below 0.5; half of the correction recovers more "
                "than none; lists are narrower with the full correction than with the "
                "rule; and where all rounds were fully corrected the best strength is "
                "0.8 to 1.4. Each from both starts. A statement holds if its 95 % "
                "interval lies in the range, fails if it lies outside, and is "
                "undecided else. Added for three more kinds of loop, before they ran "
                "(5 % and 50 % of random places instead of 20 %; models that train on "
                "the clicks of all rounds so far): in each the full correction "
                "recovers more than the rule, half of it more than none, and lists "
                "are narrower with it than with the rule; the rule's strength is "
                "higher with 50 % of random places than with 5 %, and the full "
                "correction gains less over it; and trained on all rounds the full "
                "correction recovers more than trained on its own round's clicks. "
                "Added for negatives from what each user was shown (shown, served "
                "without a prior), before any loop of it ran: in every kind it "
                "recovers more than the full correction, lists are narrower with "
                "the full correction than with it, and its model needs no prior: the "
                "best strength is -0.3 to 0.3. Added when that had been seen, for a "
                "prior of the log of clicks per impression (rate), before any loop "
                "of it ran: in the first round, whose exposure is Zipf's and the same "
                "for all users, it recovers 0.1 or more above the rule, within 0.03 "
                "of shown; after six rounds less than the full correction, in every "
                "kind, since lists make the impressions. Added before any loop with "
                "weights (ips, ips-half): in the first round ips is within 0.03 of "
                "rate; after six it recovers less than the full correction in every "
                "kind, since the few clicks outside the lists weigh up to 80 times as "
                "much, and less than ips-half.",
            ),
            Study(
                name="pace",
                question="How much training does each loss need, in examples and in "
                "seconds?",
                minutes="5",
                run=deferred("experiments.studies.pace:run_pace"),
                report=deferred("experiments.studies.pace.report:report_pace"),
                seeds=3,
                prediction=_PACE,
            ),
            Study(
                name="pace-simulated",
                question="How much training does each loss need with 50,000 items?",
                minutes="40",
                run=deferred("experiments.studies.pace:run_pace_simulated"),
                report=deferred("experiments.studies.pace.report:report_pace"),
                seeds=3,
                place=SIMULATED,
                prediction=_PACE,
            ),
            Study(
                name="outside",
                question="Does this code reproduce published numbers?",
                minutes="900",
                run=deferred("experiments.studies.outside:run_outside"),
                report=deferred("experiments.studies.outside.report:report_outside"),
                seeds=5,
                place="outside",
                prediction="A cell agrees if the published value lies within what is "
                "allowed of the mean here. Where the published split is not known, "
                "that is two standard errors: the root of the sum of squares of the "
                "standard error of that mean over splits and of the standard error "
                "over users. On the published split it is two standard deviations "
                "over seeds, or 0.001 where that is more. Else a cell differs because "
                "of a named run if that run agrees by the same rule, and else it is "
                "unexplained. All cells of MovieLens 1M agree. (Written before the "
                "first run, committed while it ran; what follows was committed before "
                "the first run of the other tables.) All cells of BPR on MovieLens "
                "100K agree, as do those of BPR, SL and PSL on the splits of "
                "IR-Benchmark; those of SL@20 and of the three Lambda losses lie "
                "within 0.01. (Added after the look at one model, before any run that "
                "measures it.) Served with a popularity prior of 0.5, SL on "
                "Electronics gains 0.006 to 0.008 in NDCG@20 and is then within 0.001 "
                "of SL@20 without one, which gains less than 0.003 by it.",
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
                prediction="In NDCG@20 the models with log q are better than those "
                "without on the random split and worse on the shifted one; the model "
                "of in-batch negatives without log q gains by a popularity prior of 1 "
                "on the random split, where its best prior is 0.5 to 1, and loses by "
                "it on the shifted one, where its best prior is 0 or below. A "
                "statement holds if its 95 % interval lies on the predicted side of "
                "0, and fails if it lies on the other.",
            ),
            Study(
                name="at-k",
                question="Is what a loss at K gains over the softmax popularity?",
                minutes="120",
                run=deferred("experiments.studies.at_k:run_at_k"),
                report=deferred("experiments.studies.at_k.report:report_at_k"),
                seeds=3,
                prediction="On the random split of each data set, in NDCG@20: SL@20 is "
                "above SL; its lead is smaller when each is served with the prior that "
                "validation prefers, and then at most 0.001; SL prefers a higher prior "
                "than SL@20; the lists of SL@20 are more popular than those of SL in "
                "every seed, without priors; more than half of the lead is lost if "
                "the weight has no gradient. Where test items are drawn evenly, SL@20 "
                "is below SL without priors. Added after the trials, before the tests: "
                "bilateral softmax, which pulls every positive less, is above SL on "
                "the random split, and SL@20 is at most 0.001 above it. A statement on "
                "a difference holds if its 95 % interval lies on the predicted side, "
                "and fails if it lies on the other.",
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
