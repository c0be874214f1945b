"""Grids of runs, the engine that finishes them, and the one command-line entry.

__main__, commands/    the command line, a file for each command
arms, registries       the named arms; what ``list`` knows
grid, grids/           what a grid is; a file for each question
study, studies/        likewise, of questions that aren't made of training runs
tuner, looks           values that validation chooses, and how it looks at a model
inputs, runs, engine/  a run from its config to its files, and what it runs on
finish, collect        a grid from what is missing to its records, tables, figures
output/                names, ids and seals in the output folder
pages/                 pages over many grids: results, claims, the page to explore
compare                runs in a notebook
bench/, concordance/   speed beside other frameworks; metrics beside other libraries
"""
