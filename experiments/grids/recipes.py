"""What do incorrect corrections in public code cost?

Corrections as they stand in public code and tutorials, most of them with one mistake:
a sign, log q divided by the temperature, a mixture without a correction, a cosine
without a temperature, an index of vectors that are not normalised. Each is one config
here; everything else is the reference recipe.

    python -m experiments run recipes              about 10 minutes on 2 cores, 5 seeds
    python -m experiments run recipes --quick      about 1 minute

Expect on MovieLens 100K: R@20 below 0.06 where log q is added or divided by the
temperature, 0.24 for in-batch+logq.
"""

from experiments.arms import RECIPES
from experiments.grid import Grid, Prediction
from experiments.recipe import FIRST
from research.contrast import BETTER, HIGHER, NOT_WORSE, WORSE, Contrast
from research.registry import deferred

_RIGHT = ("recipe-leave-one-out", "recipe-inclusion", "recipe-uniform")

RECIPES_GRID = Grid(
    name="recipes",
    question="What do incorrect corrections in public code cost?",
    topic="corrections",
    arms=(
        "random",
        "popularity",
        "in-batch",
        "in-batch+logq",
        "full-softmax",
        *RECIPES,
    ),
    reference="in-batch+logq",
    seeds=5,
    changes=FIRST,
    minutes="10",
    contrasts=tuple(
        Contrast(
            *(name, "in-batch+logq"), expected=NOT_WORSE if name in _RIGHT else WORSE
        )
        for name in RECIPES
    ),
    tables=(deferred("experiments.studies.probe.recipes:write_recipe_bias"),),
    prediction=Prediction(
        text="Worse than in-batch+logq in recall@20, after Holm: recipe-added, "
        "recipe-divided, recipe-divided-power, recipe-no-temperature, "
        "recipe-dot, recipe-bare-sigmoid and recipe-mixture. Not worse: "
        "recipe-leave-one-out, recipe-inclusion and recipe-uniform, whose q is "
        "right or constant. recipe-power and recipe-tutorial are worse, by less "
        "than recipe-mixture. A statement holds if the verdict of each of its "
        "contrasts is as said. (Added later, before its run:) recipe-index is "
        "worse, by less than recipe-mixture: items with many clicks have longer "
        "vectors, so that it lists more popular ones.",
        on=("ml-100k",),
        contrasts=(
            *(
                Contrast(name, "recipe-mixture", expected=BETTER)
                for name in ("recipe-power", "recipe-tutorial", "recipe-index")
            ),
            Contrast("recipe-index", "in-batch+logq", "train_count", expected=HIGHER),
        ),
        not_judged=(
            "that items with many clicks have longer vectors (records hold no vectors)",
        ),
    ),
)
