"""The output folder: names, ids and seals of runs, and what is finished in it."""
