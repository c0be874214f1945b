"""Runs of the ledger that were added later, and what was expected of each.

Each expectation was committed before its run, but for what says otherwise.
"""

from typing import Any

__all__ = [
    "AS_CORNAC",
    "AS_SKIPPED",
    "BPR_OF_CORNAC",
    "OF_ADVERSARIAL",
    "OF_BPR",
    "OF_LAMBDA_LOSS",
    "OF_LLPAUC",
    "OF_SL",
    "OTHER_NEGATIVES",
    "OTHER_SETS",
    "OWN_NEGATIVES",
    "REPEATED",
    "SHARED",
    "SKIPPED",
    "WITH_A_TENTH",
    "WORKERS",
]

# Instead of each pair's own 1,000 negatives outside the user's items, which take seven
# times as long: 1,024 that a batch shares, the user's items masked.
SHARED: dict[str, Any] = {"negatives": ("uniform:1024",), "mask_user_positives": True}

# BPR as Cornac trains it: 10 factors and item biases, one pair at a time at the rate
# 0.001, with 0.01 of each row that a pair touches as its decay. Here 50 pairs at a time
# make a step; a loss that is a mean takes 50 times the rate, and decay a 50th.
AS_CORNAC: dict[str, Any] = {
    "layers": "bias",
    "dim": 11,
    "table_scale": 0.0289,  # of even values over a tenth
    "optimiser": "sgd",
    "batch": 50,
    "learning_rate": 0.05,
    "weight_decay": 2e-4,
    "epochs": 200,
}
BPR_OF_CORNAC = (
    "The printed row is at the level of popularity, 0.1445 in NDCG@10. All three cells "
    "agree, and NDCG@10 is within 0.01 of popularity's."
)
# It skips a pair whose negative is one of the user's, where another is drawn here.
SKIPPED: dict[str, Any] = {
    "negatives": ("uniform-per-row:1",),
    "mask_user_positives": True,
}
AS_SKIPPED = (
    "(Added when the other had 0.1135 in precision@10, with the other two met.) Of a "
    "user with many items more pairs are skipped, and such users make precision: it "
    "is within 0.001 of the printed 0.1110, and the other two cells still agree."
)

# As 16 loader workers draw them in the first release of the published code, which seeds
# one generator and draws from another: all have the same negatives, in every epoch.
WORKERS: dict[str, Any] = {"mask_user_positives": True, "loader_workers": 16}

# Variants of BPR on Electronics; a public rerun has 0.0379 / 0.0218 for its row.
OF_BPR: dict[str, tuple[dict[str, Any], str]] = {
    "negatives that workers repeat": (
        {**WORKERS, "negatives": ("uniform-per-row:1",)},
        "An epoch then has 10,240 draws for 8,360 items, the same in all epochs: 29 % "
        "of the items are no negative at any time, and lists fill with them. NDCG@20 "
        "is below half of the printed 0.0527, and within 0.008 of the rerun's 0.0218.",
    ),
    "cosine": (
        {"output": "cosine"},
        "The published command's example makes vectors of length 1, which for BPR "
        "holds in training too, at the temperature 1: NDCG@20 is below 0.035.",
    ),
    "cosine, negatives that workers repeat": (
        {**WORKERS, "negatives": ("uniform-per-row:1",), "output": "cosine"},
        "(Added when the other two had been seen, 0.0378 and 0.0268.) As that command "
        "with its 16 workers trains: NDCG@20 within 0.003 of the rerun's 0.0218.",
    ),
}

# Losses with one negative on MovieLens 100K, with the same repetition.
REPEATED: dict[str, str] = {
    "lambda-loss": "An epoch has 4,096 draws, the same in all epochs; 3 in 100 items "
    "are never a negative, and others twice as often as the mean. Both numbers are "
    "lower than without repetition, recall@20 by 0.01 or more: no reason for the row.",
    "lambda-loss-at-k": "As lambda-loss.",
}

# The one other loss of these tables that has an arm here. The second run, with the
# published negatives, was added when the first had 0.0815 and 0.0513.
OF_ADVERSARIAL: dict[str, tuple[dict[str, Any], int, str]] = {
    "": (
        SHARED,
        3,
        "Cosines of the opponent's tables, which move in 40 of 200 epochs at a rate of "
        "5e-5, stay where they start, so that this is SL at the rate 0.1 with "
        "negatives of fixed random weights: NDCG@20 within 0.0007 of SL's 0.0515, and "
        "below the printed 0.0527.",
    ),
    " (own negatives)": (
        {"negatives": ("uniform-outside:1000",), "mask_user_positives": False},
        2,
        "As published, where the other shares negatives; the row is compared with this "
        "run. SL at this rate gained 0.0009 in recall@20 and 0.0002 in NDCG@20 by its "
        "own: recall@20 and NDCG at 5, 75 and 100 agree, at 10, 20 and 50 they do not.",
    ),
}

# Variants of LambdaLoss, by what is other than in its run, with what was expected.
OF_LAMBDA_LOSS: dict[str, tuple[dict[str, Any], str]] = {
    "cosine": (
        {"output": "cosine"},
        "Whether vectors have length 1 is an option of the published code, and no page "
        "says what it was here. Under a cosine no item is first for its length, so "
        "that the order of the first 20 says less than which they are: both cells of "
        "each of the three losses agree.",
    ),
    "small initial tables": (
        {"table_scale": 0.0},
        "The published code starts BPR's tables at Xavier's small values, and the "
        "others' at N(0, 1), from which this loss needs 100 epochs to get away. From "
        "small values it is ahead: both numbers as after 400 epochs, 0.347 and 0.358, "
        "so that NDCG@20 is no longer met.",
    ),
    "any other item as negative": (
        {"negatives": ("uniform-per-row:1",)},
        "The published README calls negatives uniform but for the positive itself, the "
        "code leaves out all of the user's training items. A user has 6 % of the "
        "items: recall@20 rises by less than 0.003.",
    ),
    "57 steps an epoch": (
        {"batch": 1016},
        "The published epoch has 57 steps, the last one smaller, where 56 of 1,024 are "
        "made here. With 57 of 1,016 the training is 4 epochs ahead: recall@20 rises "
        "by less than 0.002.",
    ),
    "weight decay 1e-6": (
        {"weight_decay": 1e-6},
        "The search had 0, 1e-6, 1e-5 and 1e-4, and was told NDCG@20 of the test part; "
        "with the 1e-6 that is printed for LambdaRank lists follow popularity less, "
        "which lowers NDCG more than recall: both cells of LambdaLoss agree.",
    ),
    "weight decay 1e-4": (
        {"weight_decay": 1e-4},
        "The largest decay of the search leaves nothing of the initial tables, which "
        "hold 1e-5 back, and then shrinks vectors: recall@20 within 0.003 of the "
        "printed value, NDCG@20 below that of 1e-5.",
    ),
    "rate 0.01": (
        {"learning_rate": 0.01},
        "LambdaRank and two variants of LambdaLoss are printed with 0.01. Training has "
        "then ended by epoch 200: both numbers as after 400 epochs or above, so that "
        "NDCG@20 is not met.",
    ),
    "rate 0.01 and weight decay 1e-4": (
        {"learning_rate": 0.01, "weight_decay": 1e-4},
        "As printed for one variant of LambdaLoss: both numbers below the printed.",
    ),
}

# SL on Electronics with 1,000 negatives of each pair's own, by its rate.
OWN_NEGATIVES: dict[str, tuple[float, int, str]] = {
    "own negatives": (
        0.01,
        1,
        "With negatives of each pair's own the gradient of an item is less noisy, and "
        "Adam's steps are longer: all seven cells of SL agree.",
    ),
    "own negatives and rate 0.1": (
        0.1,
        3,
        "A program apart from this one, in which 64 pairs share 1,000 negatives, had "
        "0.0815 and 0.0517 at its best epoch on validation and 0.0822 and 0.0520 40 "
        "epochs later. The larger the rate, the more the noise of shared negatives "
        "costs: NDCG@20 is 0.0517 to 0.0522, above that with shared ones, 0.0515, and "
        "not enough for BSL's 0.0530. (Added when one seed had 0.0825 and 0.0517, "
        "before two more:) As BSL's settings are these, its row is compared with this "
        "run. Recall@20 and NDCG at 5, 50, 75 and 100 agree, at 10 and 20 they do not.",
    ),
}

# Variants of SL on Electronics, likewise.
OF_SL: dict[str, tuple[str, dict[str, Any], str]] = {
    "rate 0.1": (
        "validated",
        {"learning_rate": 0.1, "temperature": 0.2},
        "SL has 0.01 here alone; on the other sets, and BSL on this one, 0.1 is "
        "printed. At 0.01 the training has not ended at epoch 200; at 0.1 all seven "
        "cells agree.",
    ),
    "rate 0.1, ranked by dot products": (
        "validated",
        {"learning_rate": 0.1, "temperature": 0.2, "served": "dot"},
        "The published command ranks by dot products unless a flag is given. A program "
        "apart, with 1,000 negatives for each 64 pairs, had 0.0815 and 0.0517 by "
        "cosines and 0.0819 and 0.0520 by dot products at one epoch: NDCG@20 is 0.0515 "
        "to 0.0522, above that by cosines, and not all seven cells agree.",
    ),
    "temperature 0.1": (
        "validated",
        {"temperature": 0.1},
        "PSL's paper prints 0.1 where that of SL@K prints 0.2 for the same row, which "
        "was read as two scales. If 0.1 of the cosine was meant, all seven cells "
        "agree; lists are then sharper, with more NDCG for their recall.",
    ),
    "temperature 0.1 and rate 0.1": (
        "validated",
        {"temperature": 0.1, "learning_rate": 0.1},
        "The same at the rate of most rows of both tables: NDCG@20 within 0.0005 of "
        "that at 0.01.",
    ),
    "rate 0.1 and no early end": (
        "validated, no early end",
        {"learning_rate": 0.1, "temperature": 0.2},
        "At 0.1 training ended after 50 epochs without a gain; with all 200 epochs "
        "NDCG@20 rises by less than 0.0005, which is not enough.",
    ),
    "small initial tables": (
        "validated",
        {"temperature": 0.2, "table_scale": 0.0},
        "The published code starts BPR's tables at Xavier's small values; those of SL "
        "were taken to start at N(0, 1). Under a cosine the length of a vector says "
        "how far a step turns it: from a length of 0.1 instead of 8 the first steps "
        "turn it wholly and later ones less and less, as under a falling rate. The "
        "training then ends before epoch 200, and all seven cells agree.",
    ),
    "small initial tables and rate 0.1": (
        "validated",
        {"temperature": 0.2, "table_scale": 0.0, "learning_rate": 0.1},
        "From small values lengths are soon those of the steps, so that the rate "
        "cancels: NDCG@20 within 0.0005 of that at 0.01.",
    ),
    "weight decay 1e-6": (
        "validated",
        {"temperature": 0.2, "weight_decay": 1e-6},
        "None is printed, but it was searched. It keeps vectors from growing, so that "
        "steps turn them further, like a larger rate: NDCG@20 is above that without "
        "it, and below 0.0519.",
    ),
    "temperature 0.15 and rate 0.1": (
        "validated",
        {"temperature": 0.15, "learning_rate": 0.1},
        "Between two printed values: NDCG@20 lies between those of 0.1 and 0.2.",
    ),
    "temperature 0.25 and rate 0.1": (
        "validated",
        {"temperature": 0.25, "learning_rate": 0.1},
        "Above both: NDCG@20 is below that of 0.2.",
    ),
    "the user's items among the negatives, rate 0.1": (
        "validated",
        {"temperature": 0.2, "learning_rate": 0.1, "mask_user_positives": False},
        "The paper sums over all items, the published code leaves the user's out. Of "
        "1,024 negatives two are the user's: NDCG@20 within 0.0005 of that with the "
        "mask.",
    ),
    "own negatives that workers repeat, rate 0.1": (
        "validated",
        {
            **WORKERS,
            "temperature": 0.2,
            "learning_rate": 0.1,
            "negatives": ("uniform-per-row:1000",),
        },
        "An epoch has ten million draws, 1,225 of an item, give or take 3 %: with so "
        "many, repetition changes nothing. NDCG@20 within 0.0007 of that with fresh "
        "ones, 0.0517, and below the printed 0.0529.",
    ),
    "200 negatives of each pair's own, rate 0.1": (
        "validated",
        {
            "temperature": 0.2,
            "learning_rate": 0.1,
            "negatives": ("uniform-outside:200",),
            "mask_user_positives": False,
        },
        "As many as on MovieLens 100K. BPR has one negative and agrees; the fewer "
        "there are, the less the highest of them is a popular item, and the less "
        "popular items are pushed: NDCG@20 rises by 0.0005 or more from that with "
        "1,024, 0.0515.",
    ),
}

# Two more random splits of IR-Benchmark, to see whether what is missing on Electronics
# is missing there.
_AS_THERE = (
    "On Electronics SL has 3 % less NDCG@20 than printed and BPR 1 %. If the cause is "
    "in the softmax of cosines and not in that set, "
)
OTHER_SETS: dict[str, dict[str, str]] = {
    "movie": {
        "sl": _AS_THERE + "NDCG@20 is 1 to 4 % below the printed 0.0929. (Added while "
        "it trained:) Served with a popularity prior of 0.5 it loses more than 0.005.",
        "psl-relu": _AS_THERE + "NDCG@20 is 1 to 5 % below the printed 0.0945.",
        "bpr": "As on Electronics: both cells agree. (Added before a second seed:) "
        "They still do.",
    },
    "gowalla": {
        "sl": _AS_THERE + "NDCG@20 is 1 to 4 % below the printed 0.1624. (Added while "
        "it trained:) Served with a popularity prior of 0.5 it loses more than 0.005, "
        "unlike on Electronics. (Added before a second seed:) Both seeds served so are "
        "within 0.001 of SL@20 without a prior.",
        "psl-relu": _AS_THERE + "NDCG@20 is 1 to 5 % below the printed 0.1647.",
        "sl-at-20": "On Electronics it has 3 % less than printed: so here, below the "
        "printed 0.1709 and above SL. Served with a popularity prior of 0.5 it loses "
        "more than SL does. (Added before a second seed:) It is within 0.001 of the "
        "first, and the mean of both below 0.1699.",
    },
}

# LLPAUC on Electronics; the variant was added when the first had 0.0174.
OF_LLPAUC: dict[str, tuple[dict[str, Any], str]] = {
    "": (
        {},
        "BPR agrees here and the softmax losses of cosines fall short. This one has as "
        "many negatives, but dot products and no softmax: all seven cells agree, so "
        "that what is missing has to do with the cosine or the softmax, and not with "
        "the data or the protocol.",
    ),
    " (cosine)": (
        {"output": "cosine"},
        "An option of the published command, which its example sets, makes vectors of "
        "length 1; this loss then takes the sigmoid of a cosine. Of dot products the "
        "sigmoid is soon 0 or 1 at the rate 0.1. With cosines all seven cells agree.",
    ),
}

# SL@20 and SL on MovieLens 100K with other negatives than the published 200 of each
# pair's own: the study at-k has 1,024 that a batch shares, and there SL@20 is below SL
# by 0.009, where it is 0.002 above with the published ones. The last two, which
# separate the number from the sharing, were added when the first had been seen.
OTHER_NEGATIVES: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "1,024 shared negatives": (
        SHARED,
        {
            "sl-at-20": "The gradient through the weight grows with a pair's loss, to "
            "which five times as many negatives add 1.6: NDCG@20 is 0.003 or more "
            "below that with 200 of each pair's own, 0.3678.",
            "sl": "A softmax has no such weight: NDCG@20 within 0.003 of that with 200 "
            "of each pair's own, 0.3662, and above that of SL@20 with 1,024.",
        },
    ),
    "200 shared negatives": (
        {"negatives": ("uniform:200",), "mask_user_positives": True},
        {
            "sl-at-20": "It is the number that counts: NDCG@20 within 0.002 of that "
            "with 200 of each pair's own, 0.3678, and above that with 1,024 shared, "
            "0.3636.",
            "sl": "NDCG@20 within 0.003 of that with 200 of each pair's own, 0.3662.",
        },
    ),
    "1,024 negatives of each pair's own": (
        {"negatives": ("uniform-outside:1024",)},
        {
            "sl-at-20": "It is the number that counts: NDCG@20 within 0.002 of that "
            "with 1,024 shared, 0.3636, and below that with 200, 0.3678.",
            "sl": "NDCG@20 within 0.003 of that with 200 of each pair's own, 0.3662.",
        },
    ),
}

# SL@20 with a tenth of the printed rate. In an earlier release of the published code
# its optimiser is made anew in the first epoch, with a tenth of the rate that was asked
# for, and the rate stays there: what is printed as 0.01 may have been 0.001.
WITH_A_TENTH: dict[str, str] = {
    "electronic": "If so, all seven cells of SL@20 agree.",
    "ml-100k-irb": "Both cells agree at 0.01 already; if so, they agree here too.",
}
