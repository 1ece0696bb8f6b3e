"""Launches a study on a cluster: prepare once, all conditions and seeds as an array of jobs, then the report.

    python scripts/launch.py slurm --config=configs/paper.py --nodes=8 --gpus=8
    python scripts/launch.py hosts --config=configs/paper.py --hosts=gpu-1,gpu-2
    python scripts/launch.py tpu --config=configs/paper.py --topology=v5e:16x16 --image=IMAGE \\
        --share=10.0.0.2:/study --project=PROJECT --zone=ZONE
    python scripts/launch.py gke --config=configs/paper.py --topology=v5e:16x16 --image=IMAGE --claim=study

prints the files and the command that would be run, and runs nothing; `--run` writes them to --work and runs them.
Every run resumes: one that was preempted or lost a host is started again, and goes on from its last checkpoint.
Given again, the same launch goes on, too. `--config.GROUP.FIELD=VALUE` and `--out` are passed on as they are.

Run it with the project's Python, in the checkout. No such cluster was at hand when this was written: the files are
tested as text and with stand-ins for the clusters' commands; JobSet's schema and gcloud's options were looked up.
"""

import argparse
import math
import shlex
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import jinja2
import yaml

from bench_shadows.config_file import load
from bench_shadows.errors import BenchShadowsError, ConfigError

CHECKOUT = Path(__file__).parents[1]
TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent / "launchers"),
    undefined=jinja2.StrictUndefined,
    comment_start_string="{##",  # `{#` stands in shell scripts
    comment_end_string="##}",
    keep_trailing_newline=True,
)
TPUS = {
    # accelerator type of so many chips, runtime of the machines, GKE's name
    "v4": ("v4-{cores}", "tpu-ubuntu2204-base", "tpu-v4-podslice"),
    "v5e": ("v5litepod-{chips}", "v2-alpha-tpuv5-lite", "tpu-v5-lite-podslice"),
    "v5p": ("v5p-{cores}", "v2-alpha-tpuv5", "tpu-v5p-slice"),
    "v6e": ("v6e-{chips}", "v2-alpha-tpuv6e", "tpu-v6e-slice"),
}
CHIPS_OF_A_HOST = 4
RESTARTS = 20
"""Of one run on GKE, by preemption or failure."""

Files = dict[str, str]


class Study:
    """What is launched: the words of its commands, and the runs that it has."""

    def __init__(self, options: argparse.Namespace, overrides: Sequence[str]):
        config = load(options.config, dict(word.removeprefix("--config.").split("=", 1) for word in overrides))
        self.name = options.config.stem.replace("_", "-")
        self.runs = [
            (condition, seed) for condition in config.conditions.names for seed in config.conditions.seeds
        ]
        self._given = [f"--config={options.config}", f"--out={options.out}", *overrides]
        self._program = shlex.split(options.program)

    def words(self, stage: str, *more: str) -> list[str]:
        """The words of one stage's command, after the program's name."""
        return [stage, *self._given, *more]

    def train(self, condition: str, seed: int) -> list[str]:
        """The words of one run's command."""
        return self.words("train", f"--condition={condition}", f"--seed={seed}")

    def line(self, *stages: str) -> str:
        """The commands of some stages, one after the other, for a shell."""
        return " &&\n  ".join(shlex.join([*self._program, *self.words(stage)]) for stage in stages)

    def run_name(self, condition: str, seed: int) -> str:
        """Such as `paper-a-seed0`."""
        return f"{self.name}-{condition.lower()}-seed{seed}"


FINISH = ("diagnose", "evaluate", "report")


def render(template: str, **values: Any) -> str:
    """A file of `launchers/` with its values filled in."""
    return TEMPLATES.get_template(template).render(checkout=shlex.quote(str(CHECKOUT)), **values)


def slurm(study: Study, options: argparse.Namespace) -> Files:
    """Three jobs, each after the one before; the second is an array."""
    common = {
        "folder": options.work.resolve(),
        "time": options.time,
        "more": "\n".join(f"#SBATCH {more}" for more in options.sbatch) or "# no other options",
    }

    def once(stage: str, gpus: int, *stages: str) -> str:
        return render(
            "once.sbatch", job=f"{study.name}-{stage}", gpus=gpus, commands=study.line(*stages), **common
        )

    train = {
        "job": f"{study.name}-train",
        "last": len(study.runs) - 1,
        "nodes": options.nodes,
        "gpus": options.gpus,
        "runs": _list(f"{condition} {seed}" for condition, seed in study.runs),
        "train": study.line("train"),
    }
    return {
        "prepare.sbatch": once("prepare", 0, "prepare"),
        "train.sbatch": render("train.sbatch", **train, **common),
        "finish.sbatch": once("finish", 1, *FINISH),
        "launch.sh": render("slurm.sh"),
    }


def hosts(study: Study, options: argparse.Namespace) -> Files:
    """One script that drives all hosts by ssh, run after run."""
    values = {
        "hosts": _list(options.hosts.split(",")),
        "port": options.port,
        "runs": _list(f"{condition} {seed}" for condition, seed in study.runs),
        "prepare": shlex.quote(study.line("prepare")),
        "train": shlex.quote(study.line("train")),
        "finish": shlex.quote(study.line(*FINISH)),
    }
    return {"launch.sh": render("hosts.sh", **values)}


def tpu(study: Study, options: argparse.Namespace) -> Files:
    """A queued resource for each run, and one script that keeps them alive until they are done."""
    name, chips = _slice(options.topology)
    accelerator, runtime, _ = TPUS[name]
    values = {
        "runs": _list(study.run_name(*run) for run in study.runs),
        "prepare": study.line("prepare"),
        "finish": study.line(*FINISH),
        "zone": shlex.quote(options.zone),
        "project": shlex.quote(options.project),
        "accelerator": accelerator.format(chips=chips, cores=2 * chips),
        "runtime": runtime,
        "spot": "--spot" if options.spot else "",
        "folder": shlex.quote(str(options.work.resolve())),
    }
    host = {"mount": options.mount, "share": shlex.quote(options.share), "image": shlex.quote(options.image)}
    files = {
        f"{study.run_name(*run)}.sh": render("tpu_host.sh", **host, train=shlex.join(study.train(*run)))
        for run in study.runs
    }
    return files | {"launch.sh": render("tpu.sh", **values)}


def gke(study: Study, options: argparse.Namespace) -> Files:
    """A JobSet for each run, between two Jobs; all of them mount one claim that many nodes can write to."""
    name, chips = _slice(options.topology)
    hosts = max(1, chips // CHIPS_OF_A_HOST)
    chips_of_a_host = min(chips, CHIPS_OF_A_HOST)
    node = {
        "cloud.google.com/gke-tpu-accelerator": TPUS[name][2],
        "cloud.google.com/gke-tpu-topology": options.topology.partition(":")[2],
    } | ({"cloud.google.com/gke-spot": "true"} if options.spot else {})

    def pod(container: dict[str, Any], **more: Any) -> dict[str, Any]:
        mounts = [{"name": "study", "mountPath": options.mount}]
        containers = [{"name": "bench-shadows", "image": options.image, "volumeMounts": mounts} | container]
        volume = {"name": "study", "persistentVolumeClaim": {"claimName": options.claim}}
        return {"restartPolicy": "Never", "containers": containers, "volumes": [volume]} | more

    def job(stage: str, *commands: list[str]) -> dict[str, Any]:
        script = " && ".join(shlex.join(["bench-shadows", *words]) for words in commands)
        container = {"command": ["sh", "-c", script], "env": [{"name": "JAX_PLATFORMS", "value": "cpu"}]}
        return {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": f"{study.name}-{stage}", "labels": {"study": study.name}},
            "spec": {"backoffLimit": 5, "template": {"spec": pod(container)}},
        }

    def job_set(condition: str, seed: int) -> dict[str, Any]:
        container = {
            "args": study.train(condition, seed),
            "resources": {"limits": {"google.com/tpu": chips_of_a_host}},
        }
        # Two minutes to save in; exit code 2 says that it cannot be started so, and ends the run.
        spec = pod(container, nodeSelector=node, terminationGracePeriodSeconds=120)
        refused = {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [2]}}
        workers = {
            "parallelism": hosts,
            "completions": hosts,
            "backoffLimit": 0,
            "podFailurePolicy": {"rules": [refused]},
            "template": {"spec": spec},
        }
        rule = {"name": "refused", "action": "FailJobSet", "onJobFailureReasons": ["PodFailurePolicy"]}
        return {
            "apiVersion": "jobset.x-k8s.io/v1alpha2",
            "kind": "JobSet",
            "metadata": {
                "name": study.run_name(condition, seed),
                "labels": {"study": study.name},
                # one job on each slice of nodes, and no two of them on one
                "annotations": {"alpha.jobset.sigs.k8s.io/exclusive-topology": "cloud.google.com/gke-nodepool"},
            },
            "spec": {
                "failurePolicy": {"maxRestarts": RESTARTS, "rules": [rule]},
                "replicatedJobs": [{"name": "slice", "replicas": 1, "template": {"spec": workers}}],
            },
        }

    return {
        "prepare.yaml": yaml.safe_dump(job("prepare", study.words("prepare")), sort_keys=False, width=1000),
        "train.yaml": yaml.safe_dump_all([job_set(*run) for run in study.runs], sort_keys=False, width=1000),
        "finish.yaml": yaml.safe_dump(job("finish", *map(study.words, FINISH)), sort_keys=False, width=1000),
        "launch.sh": render("gke.sh", name=study.name, namespace=shlex.quote(options.namespace)),
    }


def _list(words: Iterable[str]) -> str:
    """A list of a shell script."""
    return " ".join(f'"{word}"' for word in words)


def _slice(topology: str) -> tuple[str, int]:
    """`v5e:16x16` -> v5e, 256 chips."""
    name, _, bounds = topology.partition(":")
    sides = bounds.split("x")
    if name not in TPUS or not all(side.isdigit() for side in sides):
        raise ConfigError(f"--topology={topology}: expected a slice such as v5e:16x16 or v5p:4x4x4")
    return name, math.prod(map(int, sides))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--config", type=Path, required=True, help="as seen from the checkout")
    common.add_argument("--out", help="the study's folder, the same place on all machines")
    common.add_argument("--work", type=Path, help="where the files are written (default: launched/NAME)")
    common.add_argument("--program", default=".venv/bin/bench-shadows", help="outside of containers")
    common.add_argument("--run", action="store_true", help="write the files and run launch.sh")
    kinds = parser.add_subparsers(dest="kind", required=True)

    kind = kinds.add_parser("slurm", parents=[common], help="GPU nodes under Slurm")
    kind.add_argument("--nodes", type=int, default=1, help="of one run")
    kind.add_argument("--gpus", type=int, default=8, help="of one node")
    kind.add_argument("--time", default="24:00:00", help="of one job; a run takes as many as it needs")
    kind.add_argument("--sbatch", action="append", default=[], help="one more option: --sbatch=--partition=NAME")
    kind.set_defaults(files=slurm)

    kind = kinds.add_parser("hosts", parents=[common], help="GPU hosts by ssh")
    kind.add_argument("--hosts", required=True, help="HOST,HOST,...: all of them train one run")
    kind.add_argument("--port", type=int, default=12_355, help="of the first host, where they meet")
    kind.set_defaults(files=hosts)

    cloud = argparse.ArgumentParser(add_help=False)
    cloud.add_argument(
        "--topology", required=True, help="of one run, as `bench-shadows compile` has it: v5e:16x16"
    )
    cloud.add_argument("--image", required=True, help="built from scripts/Containerfile with EXTRA=tpu")
    cloud.add_argument("--mount", default="/mnt/study", help="where the share is on all machines")
    cloud.add_argument("--spot", action="store_true", help="cheaper, and taken away at any time")

    kind = kinds.add_parser("tpu", parents=[common, cloud], help="Cloud TPU by queued resources")
    kind.add_argument("--project", required=True)
    kind.add_argument("--zone", required=True)
    kind.add_argument("--share", required=True, help="an NFS export, HOST:/PATH; this machine mounts it, too")
    kind.set_defaults(files=tpu)

    kind = kinds.add_parser("gke", parents=[common, cloud], help="TPUs of GKE by JobSet")
    kind.add_argument("--claim", required=True, help="a persistent volume claim, ReadWriteMany")
    kind.add_argument("--namespace", default="default")
    kind.set_defaults(files=gke)
    return parser


def main(words: Sequence[str]) -> None:
    """Prints what would be run, or runs it."""
    parser = _parser()
    options, overrides = parser.parse_known_args(words)
    unknown = [word for word in overrides if not (word.startswith("--config.") and "=" in word)]
    if unknown:
        parser.error(f"{unknown[0]}: no such option; fields are overridden by --config.GROUP.FIELD=VALUE")
    name = options.config.stem
    options.out = options.out or (f"{options.mount}/{name}" if "mount" in options else f"results/{name}")
    options.work = options.work or Path("launched") / name
    files = options.files(Study(options, overrides), options)
    if not options.run:
        for name, text in files.items():
            print(f"# ==== {options.work / name}\n{text}")
        print(f"# ==== with --run these files are written, and then\nbash {options.work / 'launch.sh'}")
        return
    options.work.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (options.work / name).write_text(text)
    sys.exit(subprocess.run(["bash", str(options.work / "launch.sh")]).returncode)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except BenchShadowsError as error:
        sys.exit(f"launch: {error}")
