# From the lock to aligned layers of each unit.
#
# in:  lock.json, scene files
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


rule sentinel2:
    input:
        lock=R.lock,
        footprints=R.footprints("{unit}"),
        settings=R.settings("sentinel2"),
    output:
        f"{R.stack('{unit}', 'sentinel2')}/zarr.json",
    log:
        R.log("sentinel2", "{unit}"),
    conda:
        "../../envs/terrapatch.yaml"
    threads: 2
    resources:
        mem_mb=2500,
    params:
        root=results_folder,
    shell:
        "terrapatch sentinel2 {params.root:q} {wildcards.unit:q} --threads {threads} 2> {log:q}"


rule sentinel1:
    input:
        lock=R.lock,
        footprints=R.footprints("{unit}"),
        settings=R.settings("sentinel1"),
    output:
        f"{R.stack('{unit}', 'sentinel1')}/zarr.json",
    log:
        R.log("sentinel1", "{unit}"),
    conda:
        "../../envs/terrapatch.yaml"
    threads: 2
    resources:
        mem_mb=2500,
    params:
        root=results_folder,
    shell:
        "terrapatch sentinel1 {params.root:q} {wildcards.unit:q} --threads {threads} 2> {log:q}"


rule reference:
    input:
        lock=R.lock,
        footprints=R.footprints("{unit}"),
        settings=R.settings("reference"),
    output:
        f"{R.stack('{unit}', LABEL)}/zarr.json",
    log:
        R.log("reference", "{unit}"),
    conda:
        "../../envs/terrapatch.yaml"
    resources:
        mem_mb=2000,
    params:
        root=results_folder,
    shell:
        "terrapatch reference {params.root:q} {wildcards.unit:q} 2> {log:q}"
