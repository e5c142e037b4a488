# The recipe behind this run, the names of its results, and what they are to be made from.
import time
from pathlib import Path

from terrapatch.build import begin, workflow_recipe
from terrapatch.recipe import write_settings
from terrapatch.paths import Results
from terrapatch.stamps import EARLY, Job, Stamps

recipe, output_folder = workflow_recipe(config, workflow.configfiles)
R = Results.of(output_folder, recipe.name)
S = Stamps.of_recipe(recipe, R)
RUN = time.time_ns()

if (
    not workflow.is_main_process
):  # a job of its own, maybe where no file of the others lies
    write_settings(recipe, Path(R.root) / "settings")


onstart:
    begin(recipe, R)


wildcard_constraints:
    unit=r"[A-Za-z0-9_]+",
    layer="|".join(recipe.layers),
    run=r"(first|again)-[0-9]+",


def results_folder(wildcards):
    """What every verb is told: where this recipe's results lie."""
    return R.argument


def due(stage):
    """A file that is made in this run where a job's result has another stamp than it should have.

    All other inputs are `ancient`: times say nothing about what results were made from.
    """

    def changed(wildcards):
        job = Job(stage, wildcards.get("unit", ""), wildcards.get("layer", ""))
        planned = stage not in EARLY
        if planned:
            checkpoints.plan.get()
        if not workflow.is_main_process:
            return [path.as_posix() for path in Path(R.due("x")).parent.glob("*")]
        if not S.due(job):
            return []
        return [R.due(f"{'again' if planned else 'first'}-{RUN}")]

    return changed


def planned_units(wildcards):
    """Unit ids of the plan, which runs first where there is none."""
    checkpoints.plan.get()
    return S.units()


def slice_of(wildcards):
    """What a job reads of the plan; the plan runs first where there is none."""
    checkpoints.plan.get()
    return ancient(R.slice(wildcards.unit, wildcards.get("layer")))


def all_slices(wildcards):
    """Slices of all layers of a unit."""
    checkpoints.plan.get()
    return [ancient(R.slice(wildcards.unit, layer)) for layer in recipe.layers]


def planned_places(wildcards):
    """Columns of the table of points, where the sampling has one."""
    checkpoints.plan.get()
    return [ancient(R.places)] if recipe.sampling.path else []


def all_stacks(wildcards):
    """Stacks of all units and layers."""
    return [
        ancient(f"{R.stack(unit, layer)}/zarr.json")
        for unit in planned_units(wildcards)
        for layer in recipe.layers
    ]


def all_patches(wildcards):
    """Unit manifests."""
    return [ancient(R.patches(unit)) for unit in planned_units(wildcards)]


def all_dates(wildcards):
    """Dates of all units."""
    return [ancient(R.dates_of(unit)) for unit in planned_units(wildcards)]
