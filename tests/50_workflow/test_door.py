# SPDX-License-Identifier: Apache-2.0
"""The door: folders of any name, faults that were not foreseen, what a build says."""

import errno
import io
import json
import os
import re
import shlex
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from made.door import TERRAPATCH, UGLY, small_recipe, terrapatch
from terrapatch import cli, progress
from terrapatch.build import workflow_recipe
from terrapatch.errors import RecipeError
from terrapatch.faults import verdict
from terrapatch.paths import Results
from terrapatch.screen import Screen

ROOT = Path(__file__).parents[2]


def shell_commands(text):
    return [
        line.split(": ", 1)[1] for line in text.splitlines() if line.startswith("Shell command: t")
    ]


def test_nothing_in_the_rules_reaches_a_shell_unquoted():
    for file in (ROOT / "workflow" / "rules").glob("*.smk"):
        for command in re.findall(r"shell:\s+\"(.*)\"", file.read_text()):
            fields = re.findall(r"{([^}]*)}", command)
            assert fields
            assert all(f.endswith(":q") or f == "threads" for f in fields), command


@pytest.mark.parametrize("output", [UGLY, "-x", "1e3", ""])
def test_a_folder_of_any_name_reaches_the_verbs_as_it_is(output, tmp_path):
    small_recipe(tmp_path)
    done = terrapatch(
        "build", "small.yaml", f"--output={output}", "--cores", "1", "--", "--dry-run", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    commands = shell_commands(done.stdout + done.stderr)
    commands = [command for command in commands if not command.startswith("touch -- ")]
    assert len(commands) > 5
    for command in commands:
        words = shlex.split(command)
        folder = words[words.index("--results") + 1] if words[1] == "plan" else words[2]
        assert not folder.startswith("-")
        assert (tmp_path / folder).resolve() == (tmp_path / output / "small").resolve()
    assert not (tmp_path / output / "small").exists()  # looking leaves no trace
    assert not (tmp_path / "pwned").exists()


def test_stages_write_under_a_folder_of_any_name(tmp_path):
    small_recipe(tmp_path)
    done = terrapatch(
        "build", "small.yaml", f"--output={UGLY}", "--cores", "1", "--", "--until", "plan",
        cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    root = tmp_path / UGLY / "small"
    assert (root / "lock.json").is_file()
    assert "s2" in (root / "logs" / "plan" / "all.log").read_text()
    assert {p.name for p in tmp_path.iterdir()} - {".snakemake"} == {
        "small.yaml", "s1.tif", "s2.tif", "map.tif", "out put",
    }  # fmt: skip


@pytest.mark.parametrize("output", ["a{b}c", "{unit}", "a\nb", "a\udcffb"])
def test_a_folder_that_snakemake_would_misread_is_refused(output, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small_recipe(tmp_path)
    for verb in ("build", "plan", "settings"):
        assert cli.main([verb, "small.yaml", f"--output={output}"]) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        assert "give another one" in said
    assert len(list(tmp_path.iterdir())) == 4


@pytest.mark.parametrize(
    ("output", "root"), [("a//b/", "a/b/x"), ("./c", "c/x"), (".", "x"), ("", "x"), ("-d", "-d/x")]
)
def test_names_are_those_that_snakemake_wants(output, root):
    assert Results.of(output, "x").root == root
    assert Path(Results.of(output, "x").argument) == Path(root)


def test_home_is_found_in_an_option_too(monkeypatch):
    monkeypatch.setenv("HOME", "/somewhere")
    assert Results.of("~/sets", "x").root == "/somewhere/sets/x"


@pytest.mark.parametrize("output", [7, 1e3, True, None])
def test_an_output_that_snakemake_took_for_a_number_is_refused(output):
    with pytest.raises(RecipeError, match=r"output=\./NAME"):
        workflow_recipe({"recipe": "demo", "output": output}, [])


def test_plain_snakemake_writes_under_a_folder_of_any_name(tmp_path):
    small_recipe(tmp_path)
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"),
               "--configfile", "small.yaml", "--config", "output=$(touch pwned) x;",
               "--cores", "1", "--dry-run"]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "terrapatch plan --results '$(touch pwned) x;/small'" in done.stdout + done.stderr


# Faults that were not foreseen


@pytest.fixture
def broken(monkeypatch):
    """A stage that raises what it is told."""

    def put(error):
        def stage(*_, **__):
            raise error

        monkeypatch.setattr("terrapatch.sampling.sampling", stage)

    return put


def test_a_fault_is_one_line_with_a_file_that_says_where_it_arose(broken, tmp_path, capsys):
    broken(ZeroDivisionError("division\nby zero"))
    (tmp_path / "r").mkdir()
    assert cli.main(["sampling", str(tmp_path / "r"), "b000_000"]) == 1
    said = capsys.readouterr().err
    file = tmp_path / "r" / "logs" / "sampling" / "b000_000.traceback.txt"
    assert said.count("\n") == 1
    assert "terrapatch sampling: a fault of terrapatch that was not foreseen" in said
    assert "ZeroDivisionError: division by zero" in said
    assert str(file) in said
    assert "report" in said
    kept = file.read_text()
    assert "Traceback" in kept
    assert "in stage" in kept
    assert "Python 3" in kept


def test_a_fault_without_results_is_kept_among_temporary_files(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("terrapatch.legend.legends", lambda: 1 / 0)
    assert cli.main(["legends"]) == 1
    (file,) = tmp_path.iterdir()
    assert str(file) in capsys.readouterr().err
    assert "ZeroDivisionError" in file.read_text()


def test_the_traceback_is_shown_where_it_is_asked_for(broken, tmp_path, capsys):
    broken(KeyError("unit"))
    assert cli.main(["--traceback", "sampling", str(tmp_path), "u"]) == 1
    said = capsys.readouterr().err
    assert "Traceback (most recent call last)" in said
    assert "KeyError: 'unit'" in said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "x.tif"), 4, "x.tif: the disk is full"),
        (
            PermissionError(errno.EACCES, "Permission denied", "a"),
            4,
            "a: you may not read or write",
        ),
        (IsADirectoryError(errno.EISDIR, "Is a directory", "d"), 4, "d: it is a folder"),
        (OSError(errno.ENAMETOOLONG, "File name too long", "n"), 4, "n: the name is too long"),
        (OSError(errno.EMFILE, "Too many open files", "e"), 4, "ulimit -n"),
        (OSError(errno.EROFS, "Read-only file system", "e"), 4, "read-only"),
        (MemoryError("Unable to allocate 3. GiB"), 4, "3. GiB"),
        (OSError("a library's own"), 1, "not foreseen"),
        (RecursionError("maximum recursion depth exceeded"), 1, "not foreseen"),
    ],
)
def test_errors_of_the_system_are_one_line_that_says_what_to_do(
    error, code, words, broken, tmp_path, capsys
):
    broken(error)
    assert cli.main(["sampling", str(tmp_path), "u"]) == code
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1
    assert "Traceback" not in said


def test_ctrl_c_is_quiet_and_ends_with_130(broken, tmp_path, capsys):
    broken(KeyboardInterrupt())
    assert cli.main(["sampling", str(tmp_path), "u"]) == 130
    assert capsys.readouterr() == ("", "")


def test_a_full_disk_is_told_by_the_stage_that_meets_it(tmp_path):
    """/dev/full has no space, genuinely."""
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with pytest.raises(OSError) as caught:
        Path("/dev/full").write_text("x")
    code, said = verdict(caught.value, "plan", "", None, False)
    assert code == 4
    assert "disk is full" in said


# Readers that go away


@pytest.mark.parametrize("verb", [["plan", "small.yaml"], ["settings", "small.yaml"], ["legends"]])
def test_a_reader_that_goes_away_stops_no_work(verb, tmp_path):
    small_recipe(tmp_path)
    command = f"{shlex.join([*TERRAPATCH, *verb])} | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("0\n", "")
    root = tmp_path / "results" / "small"
    assert (root / "lock.json").is_file() == (verb[0] == "plan")
    assert (root / "settings" / "training.json").is_file() == (verb[0] != "legends")


def test_plan_check_keeps_its_exit_code_where_nobody_reads(tmp_path):
    small_recipe(tmp_path)
    command = f"{shlex.join([*TERRAPATCH, 'plan', 'small.yaml', '--check'])} | true; " \
        "echo ${PIPESTATUS[0]}"  # fmt: skip
    done = subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("10\n", "")


def test_a_terminal_that_has_no_such_letters_gets_others(tmp_path):
    done = terrapatch("legends", cwd=tmp_path, PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert "? level l2" in done.stdout


# Places that cannot be written


@pytest.mark.parametrize("verb", ["build", "plan", "settings"])
@pytest.mark.parametrize("output", ["small.yaml", "small.yaml/inside", "/proc/x", "n" * 300])
def test_an_output_that_cannot_be_written_is_one_line(verb, output, tmp_path, capsys, monkeypatch):
    small_recipe(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert cli.main([verb, "small.yaml", "--output", output]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "give another one with --output" in said
    assert output in said


def test_layouts_into_a_file_is_one_line(tmp_path):
    from terrapatch.errors import StorageError
    from terrapatch.files import write_text

    (tmp_path / "file").write_text("mine")
    with pytest.raises(StorageError, match="cannot be written"):
        write_text(tmp_path / "file" / "x" / "y.json", "{}")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("words", [["--threads", "0"], ["--threads", "-2"], ["--threads", "two"]])
def test_numbers_of_threads_are_checked(words, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["simulate", "results/x", *words])
    assert stopped.value.code == 2
    assert "whole number of 1 or more" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main(["build", "demo", "--cores", words[1]])


# What a build says


def test_options_that_are_not_snakemakes_are_refused(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for word in ("--config", "--configfile=x.yaml", "--configfiles"):
        assert cli.main(["build", "demo", "--", word, "mode=published"]) == 2
        assert "change settings with --set" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_what_a_killed_build_has_locked_is_freed(tmp_path):
    small_recipe(tmp_path)
    locks = tmp_path / ".snakemake" / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    for kind in ("input", "output"):
        (locks / f"0.{kind}.lock").write_text("results/small/dataset/SHA256SUMS\n")
    done = terrapatch("build", "small.yaml", "--cores", "1", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.endswith("terrapatch build small.yaml --unlock\n")
    assert terrapatch("build", "small.yaml", "--unlock", cwd=tmp_path).returncode == 0
    assert not list(locks.glob("*"))


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


def test_a_terminal_is_drawn_anew_and_finished_stages_stay(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "60")
    stream = Terminal()
    screen = Screen(stream)
    screen.expect("sentinel2", 4)
    screen.hear("sentinel2", "a", "begun")
    screen.hear("sentinel2", "a", "going", share=0.5)
    screen.last = 0
    screen.draw()
    assert "sentinel2  ███" in stream.getvalue()
    assert "0 of 4" in stream.getvalue()
    assert " 12%" in stream.getvalue()
    for unit in "abcd":
        screen.hear("sentinel2", unit, "begun")
        screen.hear("sentinel2", unit, "done")
    screen.draw()
    last = stream.getvalue().rsplit("\x1b[J", 1)[1]
    assert "\x1b[1A" in stream.getvalue()  # over the line that was drawn before
    assert "█" * 24 in last
    assert "4 of 4" in last
    assert all(len(line) < 60 for line in last.splitlines())
    screen.end()
    assert not stream.getvalue().rsplit("\x1b[J", 1)[1]


def test_stages_that_do_fewer_jobs_than_units_end_with_what_they_did():
    stream = io.StringIO()
    screen = Screen(stream)
    screen.expect("reference", 9)
    for unit in "ab":
        screen.hear("reference", unit, "begun")
        screen.hear("reference", unit, "done")
    screen.hear("patches", "a", "begun")
    screen.draw()
    assert stream.getvalue() == ""
    assert screen.silent() == [("patches", "a")]
    screen.end()
    assert re.match(r"reference +2 of 2 +0:00\n", stream.getvalue())


def test_bars_inside_bars_are_parts_of_a_step(monkeypatch, tmp_path):
    monkeypatch.setenv(progress.EVENTS, str(tmp_path / "events"))
    monkeypatch.setattr(progress, "_EVERY_S", 0)
    progress.begin("training", "")
    with progress.bar("outer", 2) as advance:
        assert list(progress.track("abcd", "inner", 4)) == list("abcd")
        advance(1)
        list(progress.track("ab", "inner", 2))
    shares = [
        json.loads(line).get("share") for line in (tmp_path / "events").read_text().splitlines()
    ]
    assert shares == [None, 0.125, 0.25, 0.375, 0.5, 0.5, 0.75, 1.0]


def test_two_stages_that_tell_at_once_write_whole_lines(monkeypatch, tmp_path):
    monkeypatch.setenv(progress.EVENTS, str(tmp_path / "events"))
    threads = [
        threading.Thread(target=lambda: [progress.tell("going", share=0.5) for _ in range(200)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = (tmp_path / "events").read_text().splitlines()
    assert len(lines) == 800
    assert all(json.loads(line)["share"] == 0.5 for line in lines)


def test_nobody_needs_to_listen(monkeypatch, tmp_path):
    monkeypatch.setenv(progress.EVENTS, str(tmp_path / "gone" / "events"))
    progress.begin("plan", "")
    assert os.listdir(tmp_path) == []
