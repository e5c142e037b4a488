# From the lock to aligned layers of each unit.
#
# in:  lock.json, scene files, reference maps
# out: footprints/, stacks/


rule sampling:
    input:
        lock=R.lock,
        settings=R.settings("sampling"),
    output:
        R.footprints("{unit}"),
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
        lock=R.lock,
        footprints=R.footprints("{unit}"),
        settings=R.stack_settings("{layer}"),
    output:
        f"{R.stack('{unit}', '{layer}')}/zarr.json",
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
