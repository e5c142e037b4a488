# From the recipe to the lock.
#
# in:  local folders named by the recipe
# out: archive/ (source `simulated` only), lock.json, plan/


rule simulate:
    input:
        due=due("simulate"),
    output:
        R.catalog,
        R.stamp("simulate"),
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
        due=due("plan"),
        archive=[ancient(R.catalog)] if recipe.catalog.source == "simulated" else [],
    output:
        R.lock,
        directory(R.slices),
        R.stamp("plan"),
    log:
        R.log("plan"),
    conda:
        "../../envs/terrapatch.yaml"
    params:
        root=results_folder,
    shell:
        "terrapatch plan --results {params.root:q} > {log:q} 2>&1"


# Made where something is due, so that what waits for it runs: see `due`.
rule changed:
    output:
        temp(R.due("{run}")),
    log:
        R.due("{run}.log"),
    conda:
        "../../envs/terrapatch.yaml"
    shell:
        "touch -- {output:q} 2> {log:q}"
