"""From vectors to logits: scores, their correction by log q, and their masks.

The one order of operations is: normalise (in the towers), divide by the temperature,
subtract strength * log q (correction.py), mask with where(keep, z, -inf) (masks.py);
then comes the loss.
"""
