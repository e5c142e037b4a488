# From the recipe to the lock.
#
# in:  settings/simulate.json, settings/plan.json, local folders named by the recipe
# out: archive/ (source `simulated` only), lock.json


rule simulate:
    input:
        settings=R.settings("simulate"),
    output:
        R.catalog,
    log:
        R.log("simulate"),
    conda:
        "../../envs/terrapatch.yaml"
    threads: 2
    resources:
        mem_mb=3000,
    params:
        root=results_folder,
    shell:
        "terrapatch simulate {params.root:q} --threads {threads} 2> {log:q}"


checkpoint plan:
    input:
        settings=R.settings("plan"),
        archive=R.catalog if recipe.catalog.source == "simulated" else [],
    output:
        R.lock,
    log:
        R.log("plan"),
    conda:
        "../../envs/terrapatch.yaml"
    params:
        root=results_folder,
    shell:
        "terrapatch plan --results {params.root:q} > {log:q} 2>&1"
