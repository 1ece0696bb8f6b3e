"""lm-evaluation-harness's tasks are asked of the last checkpoint of every run of a study."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tiny_study import command, write_config

TASK = """
task: tiny
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{{{text}}}}"
metric_list: [{{metric: bits_per_byte}}]
"""


@pytest.mark.peers
def test_tasks_are_asked_at_the_end_of_every_run(tmp_path: Path) -> None:
    pytest.importorskip("lm_eval")
    (tmp_path / "tasks").mkdir()
    data = tmp_path / "tasks" / "texts.jsonl"
    data.write_text(json.dumps({"text": "river stone walk walked walking"}) + "\n")
    (tmp_path / "tasks" / "tiny.yaml").write_text(TASK.format(data=data))
    options = ["--config.conditions.names=A,C", f"--config.evaluation.tasks={tmp_path}/tasks"]
    study = [f"--config={write_config(tmp_path)}", f"--out={tmp_path / 'run'}", *options]
    code, output = command("study", *study)
    assert code == 0, output
    rows = pq.read_table(tmp_path / "run" / "evaluation.parquet").to_pylist()
    found = [(row["model"], row["step"], row["task"], row["metric"]) for row in rows if row["suite"] == "harness"]
    assert found == [(f"{condition}-seed0", 72, "tiny", "bits_per_byte") for condition in "AC"]
