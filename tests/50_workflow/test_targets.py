# SPDX-License-Identifier: Apache-2.0
"""What stands where results go: nothing of a person's is deleted, nothing foreign is blessed."""

import hashlib
import json
import os
from pathlib import Path

import pytest

from made.results import Tree, make_tree
from terrapatch.cli import main
from terrapatch.errors import InputError, StorageError
from terrapatch.files import RECORD, atomic, files_below, read_record, recorded, write_record
from terrapatch.layouts import layouts
from terrapatch.paths import Results, remedy
from terrapatch.publish import publish
from terrapatch.stacks import create_stack, open_stack


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return make_tree(tmp_path_factory.mktemp("tree") / "results" / "tiny", size_px=16)


def write(tree: Tree, folder: Path) -> None:
    """The layout alone, without Snakemake."""
    layouts(tree.built(), tree.settings("layouts"), folder, threads=2)


def publish_at(tree: Tree, folder: Path) -> None:
    built = tree.built(
        dataset=folder, statistics=folder / "statistics.json",
        deviations=folder.parent / "deviations.json",
    )  # fmt: skip
    publish(built, tree.settings("publish"))


def content(folder: Path) -> dict[str, str]:
    return {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name in files_below(folder)
    }


# --- nothing of a person's is deleted ------------------------------------------------------------


def test_a_folder_of_somebody_is_refused_and_stays(tree, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "README.md").write_text("my thesis")  # a name of ours, too
    before = content(tmp_path / "mine")
    with pytest.raises(InputError, match=r"mine: holds files .* such as README\.md"):
        write(tree, tmp_path / "mine")
    assert content(tmp_path / "mine") == before
    assert os.listdir(tmp_path) == ["mine"]


@pytest.mark.parametrize("part", ["stacks", "settings", "."])
def test_other_results_are_no_dataset(tree, part):
    folder = Path(tree.results.root, part)
    before = content(folder)
    with pytest.raises(InputError, match="holds files that terrapatch has no record"):
        write(tree, folder)
    assert content(folder) == before


def test_a_dataset_of_another_is_no_dataset_of_ours(tree, tmp_path):
    folder = tmp_path / "theirs"
    folder.mkdir()
    (folder / "a.tif").write_bytes(b"1")
    (folder / "SHA256SUMS").write_text(f"{hashlib.sha256(b'1').hexdigest()}  a.tif\n")
    with pytest.raises(InputError, match="holds files"):
        write(tree, folder)
    assert (folder / "a.tif").read_bytes() == b"1"


def test_a_file_in_the_way_is_refused(tree, tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(InputError, match="out: is a file"):
        write(tree, tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"


def test_a_dataset_of_ours_is_replaced_and_what_lies_in_it_stays(tree, tmp_path):
    folder = tmp_path / "out"
    (folder / "empty").mkdir(parents=True)  # an empty folder is nobody's
    write(tree, folder)
    publish_at(tree, folder)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "x").write_text("x")
    (folder / "notes").mkdir()
    (folder / "notes" / "mine.txt").write_text("mine")
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    (folder / "splits" / "train.txt").write_text("changed")
    (folder / ".layout.json").unlink()  # as Snakemake does before it runs the rule again
    write(tree, folder)
    assert (folder / "notes" / "mine.txt").read_text() == "mine"
    assert (folder / "link" / "x").read_text() == "x"
    assert (folder / "splits" / "train.txt").read_text() != "changed"
    assert not (folder / "SHA256SUMS").exists()
    assert sorted(os.listdir(tmp_path)) == ["deviations.json", "elsewhere", "out"]


def test_a_file_of_somebody_under_a_name_that_we_need_is_not_overwritten(tree, tmp_path):
    write(tree, tmp_path / "out")
    lines = [(h, n) for n, h in read_record(tmp_path / "out").items() if n != "classes.csv"]
    write_record(tmp_path / "out", lines)
    (tmp_path / "out" / "classes.csv").write_text("mine")
    before = content(tmp_path / "out")
    with pytest.raises(InputError, match=r"out/classes\.csv: terrapatch has no record"):
        write(tree, tmp_path / "out")
    assert content(tmp_path / "out") == before
    assert os.listdir(tmp_path) == ["out"]


def test_a_dataset_of_a_version_without_record_is_known_by_its_checksums(tree, tmp_path):
    write(tree, tmp_path / "out")
    publish_at(tree, tmp_path / "out")
    (tmp_path / "out" / RECORD).unlink()
    write(tree, tmp_path / "out")


def test_a_linked_dataset_folder_stays_a_link(tree, tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "disk")
    for _ in range(2):
        write(tree, tmp_path / "out")
    assert (tmp_path / "out").is_symlink()
    assert (tmp_path / "disk" / "classes.csv").is_file()


def test_a_stack_does_not_replace_what_is_none(tree, tmp_path):
    info = open_stack(tree.results.stack("b000_000", "sentinel2")).info
    (tmp_path / "s.zarr").mkdir()
    (tmp_path / "s.zarr" / "thesis.docx").write_text("mine")
    with (
        pytest.raises(InputError, match=r"such as thesis\.docx"),
        create_stack(tmp_path / "s.zarr", info),
    ):
        pass
    assert (tmp_path / "s.zarr" / "thesis.docx").read_text() == "mine"
    for _ in range(2):  # and a stack of ours is replaced, with or without its head
        with create_stack(tmp_path / "t.zarr", info):
            pass
        (tmp_path / "t.zarr" / "zarr.json").unlink()


def test_a_result_does_not_replace_a_folder(tmp_path):
    (tmp_path / "lock.json").mkdir()
    (tmp_path / "lock.json" / "x").write_text("mine")
    with (
        pytest.raises(InputError, match=r"lock\.json: is a folder"),
        atomic(tmp_path / "lock.json"),
    ):
        pass
    assert (tmp_path / "lock.json" / "x").is_file()


def test_an_archive_keeps_what_was_put_into_it(tmp_path):
    for number in range(2):
        with atomic(tmp_path / "archive", ours=recorded) as folder:
            (folder / "scenes").mkdir(parents=True)
            (folder / "scenes" / f"{number}.tif").write_text("simulated")
            write_record(folder, (("-", name) for name in files_below(folder)))
        (tmp_path / "archive" / "scenes" / "mine.tif").write_text("mine")
    assert files_below(tmp_path / "archive") == [RECORD, "scenes/1.tif", "scenes/mine.tif"]
    (tmp_path / "archive" / RECORD).unlink()
    with (
        pytest.raises(InputError, match=r"such as scenes/1\.tif"),
        atomic(tmp_path / "archive", ours=recorded),
    ):
        pass


@pytest.mark.parametrize("verb", ["settings", "plan", "build"])
def test_a_folder_of_somebody_does_not_become_results(tmp_path, monkeypatch, capsys, verb):
    monkeypatch.chdir(tmp_path)
    Path("home/demo/report").mkdir(parents=True)
    Path("home/demo/report/index.html").write_text("mine")
    assert main([verb, "demo", "--output", "home"]) == 2
    told = capsys.readouterr().err
    assert "home/demo: holds report, which is no result of terrapatch" in told
    assert content(Path("home")) == {"demo/report/index.html": hashlib.sha256(b"mine").hexdigest()}
    Path("file").write_text("mine")
    assert main([verb, "demo", "--output", "file"]) == 2
    assert "file: is a file" in capsys.readouterr().err
    assert Path("file").read_text() == "mine"


def test_results_of_ours_are_taken_up_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["settings", "demo"]) == 0
    Path("results/demo/notes.txt").write_text("mine")
    assert main(["settings", "demo"]) == 0


# --- publish blesses nothing that is not as it was written ---------------------------------------


@pytest.mark.parametrize("how", ["cut", "missing", "flipped", "stray", "table"])
def test_publish_tells_what_is_not_as_it_was_written(tree, tmp_path, how):
    folder = tmp_path / "my results" / "dataset"
    write(tree, folder)
    name = next(n for n in files_below(folder) if n.endswith(".tif"))
    name = "patches.parquet" if how == "table" else "sub/mine.tif" if how == "stray" else name
    path = folder / name
    if how == "stray":
        path.parent.mkdir()
        path.write_bytes(b"mine")
    elif how == "missing":
        path.unlink()
    else:
        data = path.read_bytes()
        flipped = data[:90] + bytes([data[90] ^ 1]) + data[91:]
        path.write_bytes(data[:-1] if how in ("cut", "table") else flipped)
    with pytest.raises(StorageError) as caught:
        publish_at(tree, folder)
    told = str(caught.value)
    assert str(path) in told
    assert not (folder / "SHA256SUMS").exists()
    if how == "stray":
        assert "not a file of ours" in told
        assert "move what is not ours" in told
        assert "terrapatch layouts" not in told
        path.unlink()
    else:
        assert f"run `terrapatch layouts '{folder.parent}'` and build again" in told
        write(tree, folder)
    publish_at(tree, folder)
    assert (folder / "SHA256SUMS").is_file()


def test_all_damage_is_told_at_once_and_long_lists_are_cut(tree, tmp_path):
    folder = tmp_path / "dataset"
    write(tree, folder)
    for path in sorted((folder / "sar_images").iterdir()):
        path.unlink()
    (folder / "mine.txt").write_text("mine")
    with pytest.raises(StorageError) as caught:
        publish_at(tree, folder)
    lines = str(caught.value).splitlines()
    assert len(lines) == 5 + 1 + 1 + 2
    assert lines[5] == f"… and {len(tree.kept) - 5} more"


def test_the_record_is_the_same_on_any_number_of_threads(tree, tmp_path):
    layouts(tree.built(), tree.settings("layouts"), tmp_path / "a", threads=1)
    layouts(tree.built(), tree.settings("layouts"), tmp_path / "b", threads=3)
    assert (tmp_path / "a" / RECORD).read_bytes() == (tmp_path / "b" / RECORD).read_bytes()
    listed = read_record(tmp_path / "a")
    assert {n: h for n, h in content(tmp_path / "a").items() if n != RECORD} == listed


# --- the command that makes a result again -------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "command"),
    [
        ("results/demo/lock.json", "plan --results results/demo"),
        ("results/my demo/lock.json", "plan --results 'results/my demo'"),
        ("-r/demo/stacks/b000_000/sentinel2.zarr", "stack ./-r/demo b000_000 sentinel2"),
        ("results/demo/stacks/31TCJ/sentinel1.zarr/data/c/0", "stack results/demo 31TCJ sentinel1"),
        ("/abs/demo/stacks/b000_000/label.zarr", "stack /abs/demo b000_000 label"),
        ("results/demo/dates/u.parquet", "patches results/demo u"),
        ("results/demo/dates.parquet", "splits results/demo"),
        ("results/demo/dataset/statistics.json", "publish results/demo"),
        ("results/demo/dataset/.layout.json", "layouts results/demo"),
        ("results/demo/dataset/msi_images/x.tif", "layouts results/demo"),
        ("results/demo/validation/metrics.json", "training results/demo"),
        ("results/demo/settings/stack/sentinel2.json", "settings demo --output results"),
        ("lock.json", "plan --results ."),
    ],
)
def test_the_command_of_a_result(path, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where no demo was built
    assert remedy(path) == f"run `terrapatch {command}`"


def test_what_is_no_result_has_no_command():
    assert remedy("/data/x.zarr") == "build it again"


def test_settings_that_a_build_kept_are_named(tmp_path):
    kept = tmp_path / "tiny" / "settings" / "recipe.yaml"
    kept.parent.mkdir(parents=True)
    kept.write_text(json.dumps({}))
    command = f"terrapatch settings {kept} --output {tmp_path}"
    assert command in remedy(Results(str(tmp_path / "tiny")).settings("plan"))
