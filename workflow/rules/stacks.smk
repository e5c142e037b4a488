# From the lock to aligned layers of each unit.
#
# in:  plan/, scene files, reference maps
# out: footprints/, stacks/


rule sampling:
    input:
        due=due("sampling"),
        slice=slice_of,
    output:
        R.footprints("{unit}"),
        R.stamp("sampling", "{unit}"),
    log:
        R.log("sampling", "{unit}"),
    conda:
        "../../envs/terrapatch.yaml"
    params:
        root=results_folder,
    shell:
        "terrapatch sampling {params.root:q} {wildcards.unit:q} 2> {log:q}"


rule stack:
    input:
        due=due("stack"),
        slice=slice_of,
        footprints=ancient(R.footprints("{unit}")),
    output:
        f"{R.stack('{unit}', '{layer}')}/zarr.json",
        R.stamp("stack", "{unit}/{layer}"),
    log:
        R.log("stack", "{unit}/{layer}"),
    conda:
        "../../envs/terrapatch.yaml"
    threads: 2
    resources:
        mem_mb=2500,
    params:
        root=results_folder,
    shell:
        "terrapatch stack {params.root:q} {wildcards.unit:q} {wildcards.layer:q} "
        "--threads {threads} 2> {log:q}"
