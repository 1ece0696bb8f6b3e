"""What would be executed on a cluster: every run once, by commands that the program accepts, again when lost."""

import importlib.util
import os
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from tiny_study import write_config

from bench_shadows import main
from bench_shadows.config_file import load
from bench_shadows.errors import ConfigError

CHECKOUT = Path(__file__).parents[2]
CONFIG = "configs/paper.py"
TARGETS = {
    "slurm": ["--nodes=8", "--gpus=4"],
    "hosts": ["--hosts=gpu-1,gpu-2"],
    "tpu": ["--topology=v5p:4x4x4", "--image=img", "--share=10.0.0.2:/study", "--project=p", "--zone=z", "--spot"],
    "gke": ["--topology=v5e:16x16", "--image=img", "--claim=study"],
}
RUNS = {(condition, str(seed)) for condition in "ABCD" for seed in (0, 1)}


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("launch", CHECKOUT / "scripts" / "launch.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


LAUNCH = script()


def rendered(target: str, capsys: pytest.CaptureFixture[str], *more: str) -> dict[str, str]:
    """The files of a dry run, by name."""
    LAUNCH.main([target, f"--config={CONFIG}", "--config.conditions.seeds=0,1", *TARGETS[target], *more])
    parts = re.split(r"^# ==== \S+/(\S+)\n", capsys.readouterr().out, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def commands(text: str) -> Iterator[list[str]]:
    """The words after `bench-shadows` (or the image's name) of every command of a shell script."""
    joined = text.replace("\\\n", " ").replace("&&\n", "&&\n ")
    for line in joined.splitlines():
        for command in re.findall(r"(?:bench-shadows|\bimg) +([a-z]+ --config=[^&|'\"]*)", line):
            yield shlex.split(command)


@pytest.mark.parametrize("target", TARGETS)
def test_the_program_accepts_every_command(target: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = []
    for text in rendered(target, capsys).values():
        found += commands(text)
        for document in yaml.safe_load_all(text) if text.startswith("apiVersion") else ():
            if document["kind"] == "JobSet":
                found.append(container(document)["args"])
    for words in found:
        _, call = main.read([word for word in words if "$" not in word])
        assert call.options.config == Path(CONFIG)
        load(CHECKOUT / call.options.config, call.overrides)
    assert {words[0] for words in found} == {"prepare", "train", "diagnose", "evaluate", "report"}


@pytest.mark.parametrize("target", TARGETS)
def test_what_is_rendered_is_a_shell_script(target: str, capsys: pytest.CaptureFixture[str]) -> None:
    for name, text in rendered(target, capsys).items():
        if text.startswith("#!"):
            assert subprocess.run(["bash", "-n"], input=text, text=True).returncode == 0, name
        assert "{{" not in text


def container(job_set: dict[str, Any]) -> dict[str, Any]:
    """Of the pods of a JobSet."""
    return workers(job_set)["template"]["spec"]["containers"][0]


def workers(job_set: dict[str, Any]) -> dict[str, Any]:
    (job,) = job_set["spec"]["replicatedJobs"]
    return job["template"]["spec"]


def test_a_job_set_for_each_run_has_all_hosts_and_chips_of_the_slice(capsys: pytest.CaptureFixture[str]) -> None:
    job_sets = list(yaml.safe_load_all(rendered("gke", capsys)["train.yaml"]))
    arguments = [dict(word.lstrip("-").split("=") for word in container(one)["args"][1:]) for one in job_sets]
    assert {(of["condition"], of["seed"]) for of in arguments} == RUNS
    assert len({one["metadata"]["name"] for one in job_sets}) == len(job_sets) == len(RUNS)
    for one in job_sets:
        assert workers(one)["parallelism"] == workers(one)["completions"] == 64
        assert container(one)["resources"]["limits"] == {"google.com/tpu": 4}
        labels = workers(one)["template"]["spec"]["nodeSelector"]
        assert labels["cloud.google.com/gke-tpu-topology"] == "16x16"
        assert not re.search(r"[^a-z0-9-]", one["metadata"]["name"]), "a DNS label"


def test_a_queued_resource_for_each_run_is_of_the_slices_type(capsys: pytest.CaptureFixture[str]) -> None:
    files = rendered("tpu", capsys)
    listed = re.search(r"runs=\((.*)\)", files["launch.sh"])
    assert listed
    names = shlex.split(listed[1])
    assert {f"{name}.sh" for name in names} == set(files) - {"launch.sh"}
    assert {next(commands(files[f"{name}.sh"]))[-2:][0] for name in names} == {
        f"--condition={condition}" for condition in "ABCD"
    }
    assert "--accelerator-type=v5p-128 " in files["launch.sh"]  # 64 chips of two cores
    assert " --spot " in files["launch.sh"]


def stand_in(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.write_text(f"#!/usr/bin/env bash\n{text}\n")
    path.chmod(0o755)


def slurm_task(folder: Path, task: int, capsys: pytest.CaptureFixture[str], code: int) -> tuple[str, str]:
    """What srun was given and which job was queued again, when a run ends with an exit code."""
    text = rendered("slurm", capsys, f"--work={folder}")["train.sbatch"]
    stand_in(folder, "srun", f'echo "$@" >{folder}/ran; exit {code}')
    stand_in(folder, "scontrol", f'echo "$@" >>{folder}/queued')
    (folder / "queued").write_text("")
    environment = {
        "PATH": f"{folder}:{os.environ['PATH']}",
        "SLURM_ARRAY_TASK_ID": str(task),
        "SLURM_JOB_ID": "77",
    }
    done = subprocess.run(["bash"], input=text, text=True, env=os.environ | environment)
    assert done.returncode == code
    return (folder / "ran").read_text(), (folder / "queued").read_text()


def test_the_array_has_every_run_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    array = re.search(r"--array=0-(\d+)", rendered("slurm", capsys)["train.sbatch"])
    assert array
    assert int(array[1]) == len(RUNS) - 1
    ran = [slurm_task(tmp_path, task, capsys, code=0)[0] for task in range(len(RUNS))]
    found = {re.search(r"--condition=(\w) --seed=(\d)", line) for line in ran}
    assert {match.groups() for match in found if match} == RUNS


def test_a_run_that_was_asked_to_leave_is_queued_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert slurm_task(tmp_path, 0, capsys, code=0)[1] == ""
    assert slurm_task(tmp_path, 0, capsys, code=2)[1] == "", "what cannot be started is no help to start again"
    for _ in range(10):
        assert slurm_task(tmp_path, 0, capsys, code=143)[1] == "requeue 77\n"


def test_a_run_that_fails_five_times_in_a_row_is_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    queued = [bool(slurm_task(tmp_path, 0, capsys, code=1)[1]) for _ in range(4)]
    queued += [bool(slurm_task(tmp_path, 0, capsys, code=143)[1])]  # it came on in between
    queued += [bool(slurm_task(tmp_path, 0, capsys, code=1)[1]) for _ in range(5)]
    assert queued == [True] * 9 + [False]


def cloud(folder: Path, states: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What gcloud is asked for one run, when its queued resource is in these states one after the other."""
    (folder / "states").write_text(states.replace(" ", "\n") + "\n")
    answer = f"head -n 1 {folder}/states; sed -i 1d {folder}/states"
    stand_in(
        folder,
        "gcloud",
        f'words="$*"; case $words in *describe*) {answer} ;; *" ssh "*) echo 0 ;; '
        f'*) echo "${{words%% --*}}" >>{folder}/asked ;; esac',
    )
    stand_in(folder, "sleep", ":")
    stand_in(folder, "program", f'echo "$1" >>{folder}/asked')
    words = ["--config.conditions.names=A", f"--work={folder}", f"--program={folder}/program"]
    LAUNCH.main(["tpu", f"--config={CONFIG}", *TARGETS["tpu"], *words])
    text = capsys.readouterr().out.rpartition("/launch.sh\n#!")[2].partition("# ====")[0]
    environment = os.environ | {"PATH": f"{folder}:{os.environ['PATH']}"}
    done = subprocess.run(["bash"], input=f"#!{text}", text=True, env=environment, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return (folder / "asked").read_text().splitlines()


def test_a_slice_that_is_taken_away_is_asked_for_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    create, delete = (f"compute tpus queued-resources {verb} paper-a-seed0" for verb in ("create", "delete"))
    asked = cloud(tmp_path, "NONE WAITING_FOR_RESOURCES SUSPENDED PROVISIONING ACTIVE", capsys)
    assert asked == ["prepare", create, delete, create, delete, "diagnose", "evaluate", "report"]


def test_nothing_is_run_or_written_without_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("something was run"))
    for target in TARGETS:
        rendered(target, capsys, f"--work={tmp_path / target}")
        assert not (tmp_path / target).exists()


def test_a_wrong_field_or_slice_is_said_before_anything_is_asked_for() -> None:
    with pytest.raises(ConfigError, match="train"):
        LAUNCH.main(["hosts", "--hosts=a", f"--config={CONFIG}", "--config.train.stepps=3"])
    with pytest.raises(ConfigError, match=r"v5e-16.*v5e:16x16"):
        LAUNCH.main(["gke", f"--config={CONFIG}", "--topology=v5e-16", "--image=i", "--claim=c"])


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_hosts_train_the_study_together(tmp_path: Path) -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
    stand_in(tmp_path, "ssh", 'exec bash -c "${@: -1}"')  # the hosts are this machine
    stand_in(tmp_path, "program", f'exec {sys.executable} -c "from bench_shadows.main import entry; entry()" "$@"')
    words = ["hosts", "--hosts=127.0.0.1,localhost", f"--port={port}", f"--program={tmp_path}/program", "--run"]
    config = [f"--config={write_config(tmp_path)}", "--config.conditions.names=A", f"--out={tmp_path / 'out'}"]
    launched = subprocess.run(
        [sys.executable, "scripts/launch.py", *words, *config, f"--work={tmp_path / 'work'}"],
        cwd=CHECKOUT,
        env=os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
    )
    assert launched.returncode == 0, launched.stdout + launched.stderr
    assert (tmp_path / "out" / "report" / "index.html").exists()
