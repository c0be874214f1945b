"""How much of the sampling bias does each correction leave, and what does it add?

No training run is judged here: a model is taken untrained and after 10 epochs of full
softmax, and each way to draw and to correct negatives is held against the exact
gradient at the same rows. Two questions, two columns: is the expected gradient zero at
the truth; is it faithful to the full softmax away from it.

    python -m experiments run probe                about 8 minutes on 2 cores
    python -m experiments run probe --quick        about 1 minute

Expect on MovieLens 100K at n = 1,024, gradient of the item vectors: uncorrected
in-batch above 50 % off and pushed towards what is unpopular, every estimator with its
right q below 6 %; at the truth Yi's estimator is at zero for every n.
"""
