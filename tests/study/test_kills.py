"""kill -9 at any moment, in any stage: the same command goes on, and ends with the same bits."""

import random
import signal
import subprocess
from pathlib import Path

import jax
import numpy as np
import pyarrow.parquet as pq
import pytest
from tiny_study import command, start, write_config

from bench_shadows.files import hash_file
from bench_shadows.training.checkpoints.checkpoints import restore_params

pytestmark = pytest.mark.slow

STEPS = (0, 2, 20, 40, 60, 72)


def parameters(run: Path) -> dict[str, bytes]:
    """Every parameter of every analysed checkpoint, as bytes."""
    found = {}
    for folder in sorted((run / "runs").iterdir()):
        for step in STEPS:
            leaves = jax.tree_util.tree_leaves_with_path(restore_params(folder / "checkpoints", step))
            for path, leaf in leaves:
                found[f"{folder.name} {step} {jax.tree_util.keystr(path)}"] = np.asarray(leaf).tobytes()
    return found


@pytest.mark.timeout(1200)
def test_a_study_killed_at_random_moments_ends_with_the_same_bits(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    code, output = command("study", f"--config={config}", f"--out={undisturbed}")
    assert code == 0, output
    draw = random.Random(0)
    deaths = 0
    for _ in range(16):
        process = start("study", f"--config={config}", f"--out={killed}")
        try:
            # Imports take the first seconds; what is killed later is at work in some stage.
            output, _ = process.communicate(timeout=draw.uniform(3, 14))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            deaths += 1
            continue
        assert process.returncode == 0, output
        break
    else:
        code, output = command("study", f"--config={config}", f"--out={killed}")
        assert code == 0, output
    assert deaths >= 5, "the study ended before it could be killed often enough to mean something"
    one, two = parameters(undisturbed), parameters(killed)
    assert one.keys() == two.keys()
    assert [name for name in one if one[name] != two[name]] == []
    for name in ("data/statistics.json", "data/tokenizer.json", "data/plans/C-seed0.npy"):
        assert hash_file(undisturbed / name) == hash_file(killed / name)
    for name in ("diagnostics.parquet", "changes.parquet", "evaluation.parquet"):
        assert pq.read_table(undisturbed / name).equals(pq.read_table(killed / name))
    for folder in sorted((undisturbed / "runs").iterdir()):
        lines = [
            (path / "metrics.jsonl").read_text().splitlines() for path in (folder, killed / "runs" / folder.name)
        ]
        assert len(lines[0]) == len(lines[1]) == 72
