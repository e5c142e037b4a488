# The recipe behind this run, the names of its results, and the units of its plan.
from pathlib import Path

from terrapatch.build import workflow_recipe
from terrapatch.recipe import write_settings
from terrapatch.results import Results

recipe, output_folder = workflow_recipe(config, workflow.configfiles)
R = Results.of(output_folder, recipe.name)
write_settings(recipe, Path(R.root) / "settings")


wildcard_constraints:
    unit=r"[A-Za-z0-9_]+",
    layer="|".join(recipe.layers),


def results_folder(wildcards):
    """What every verb is told: where this recipe's results lie."""
    return R.argument


def planned_units(wildcards):
    """Unit ids of the lock; the plan runs first where there is none."""
    from terrapatch.tables import read_lock

    return [unit.id for unit in read_lock(checkpoints.plan.get().output[0]).units]


def all_stacks(wildcards):
    """Stacks of all units and layers."""
    return [
        f"{R.stack(unit, layer)}/zarr.json"
        for unit in planned_units(wildcards)
        for layer in recipe.layers
    ]


def all_patches(wildcards):
    """Unit manifests."""
    return [R.patches(unit) for unit in planned_units(wildcards)]


def all_dates(wildcards):
    """Dates of all units."""
    return [R.dates_of(unit) for unit in planned_units(wildcards)]
