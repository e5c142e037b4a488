# From aligned layers to the files of the dataset.
#
# in:  plan/, footprints/, stacks/
# out: patches/, dates/, manifest.parquet, dates.parquet, splits.json, dataset/ (images and labels)


rule patches:
    input:
        due=due("patches"),
        slices=all_slices,
        footprints=ancient(R.footprints("{unit}")),
        stacks=[
            ancient(f"{R.stack('{unit}', layer)}/zarr.json") for layer in recipe.layers
        ],
    output:
        R.patches("{unit}"),
        R.dates_of("{unit}"),
        R.stamp("patches", "{unit}"),
    log:
        R.log("patches", "{unit}"),
    conda:
        "../../envs/terrapatch.yaml"
    resources:
        mem_mb=1000,
    params:
        root=results_folder,
    shell:
        "terrapatch patches {params.root:q} {wildcards.unit:q} 2> {log:q}"


rule splits:
    input:
        due=due("splits"),
        patches=all_patches,
        dates=all_dates,
        places=planned_places,
    output:
        R.manifest,
        R.dates,
        R.splits,
        R.stamp("splits"),
    log:
        R.log("splits"),
    conda:
        "../../envs/terrapatch.yaml"
    params:
        root=results_folder,
    shell:
        "terrapatch splits {params.root:q} 2> {log:q}"


rule layouts:
    input:
        due=due("layouts"),
        lock=ancient(R.lock),
        manifest=ancient(R.manifest),
        dates=ancient(R.dates),
        stacks=all_stacks,
    output:
        R.layout,
        R.stamp("layouts"),
    log:
        R.log("layouts"),
    conda:
        "../../envs/terrapatch.yaml"
    threads: 2
    resources:
        mem_mb=1500,
    params:
        root=results_folder,
    shell:
        "terrapatch layouts {params.root:q} --threads {threads} 2> {log:q}"
