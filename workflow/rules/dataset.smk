# From aligned layers to the files of the dataset.
#
# in:  footprints/, stacks/
# out: patches/, dates/, manifest.parquet, dates.parquet, splits.json, dataset/ (images and labels)


rule patches:
    input:
        lock=R.lock,
        footprints=R.footprints("{unit}"),
        stacks=[f"{R.stack('{unit}', layer)}/zarr.json" for layer in recipe.layers],
        settings=R.settings("patches"),
    output:
        R.patches("{unit}"),
        R.dates_of("{unit}"),
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
        patches=all_patches,
        dates=all_dates,
        settings=R.settings("splits"),
    output:
        R.manifest,
        R.dates,
        R.splits,
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
        lock=R.lock,
        manifest=R.manifest,
        dates=R.dates,
        stacks=all_stacks,
        settings=R.settings("layouts"),
    output:
        R.layout,
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
