"""lm-evaluation-harness sees in our checkpoint what it sees in the exported model through transformers."""

import dataclasses
import json
import random
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from saved_study import CONFIG, TEXT, write_study
from tiny_study import command

from bench_shadows.config import ConditionsConfig, VisionConfig
from bench_shadows.errors import ConfigError, RunError
from bench_shadows.evaluation import harness
from bench_shadows.export import export
from bench_shadows.kinds.prompts import KIND as PROMPTS
from bench_shadows.training.checkpoints.saved import find

pytestmark = pytest.mark.peers

FEW = 12
TASKS = {
    "tiny_choice": """
output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_target: answer
doc_to_choice: choices
num_fewshot: 1
fewshot_split: test
metric_list:
  - metric: acc
  - metric: acc_norm
""",
    "tiny_rolling": """
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{text}}"
metric_list:
  - metric: word_perplexity
  - metric: byte_perplexity
  - metric: bits_per_byte
""",
    "tiny_generation": """
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{said}}"
generation_kwargs:
  until: ["a"]
  max_gen_toks: 20
  do_sample: false
metric_list:
  - metric: exact_match
""",
}


def words(draw: random.Random, count: int) -> str:
    return " ".join("".join(draw.choices("abcdefghij", k=5)) for _ in range(count))


def write_tasks(folder: Path, said: list[str]) -> Path:
    """Three tasks on one file; its texts are longer than the model's 32 tokens, most of its questions are not."""
    draw = random.Random(1)
    with open(folder / "questions.jsonl", "w", encoding="utf-8") as file:
        for number in range(FEW):
            entry = {
                "question": TEXT[: 8 + 4 * number] if number % 2 else words(draw, number + 1),
                "choices": [words(draw, 1 + number % 3) for _ in range(4)],
                "answer": draw.randrange(4),
                "text": words(draw, 4 + 6 * number),
                "said": said[number] if number < len(said) else "nothing of the kind",
            }
            file.write(json.dumps(entry) + "\n")
    for name, body in TASKS.items():
        head = f"task: {name}\ndataset_path: json\ntest_split: test\n"
        data = f"dataset_kwargs:\n  data_files:\n    test: {folder / 'questions.jsonl'}\n"
        (folder / f"{name}.yaml").write_text(head + data + body)
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("lm_eval")
    return write_study(tmp_path_factory.mktemp("study"), scale=3.0)


@pytest.fixture(scope="module")
def tasks(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tasks; for a third of the questions what the model says is the right answer."""
    folder = write_tasks(tmp_path_factory.mktemp("tasks"), [])
    requests = instances(folder, "tiny_generation")
    return write_tasks(folder, ours(run).generate_until(requests)[: FEW // 3])


@pytest.fixture(scope="module")
def theirs(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    pytest.importorskip("torch")
    huggingface = pytest.importorskip("lm_eval.models.huggingface")
    out = export(run, tmp_path_factory.mktemp("exported") / "model")
    return huggingface.HFLM(pretrained=str(out), device="cpu", batch_size=4, dtype="float32")


def ours(run: Path, journal: Path | None = None) -> Any:
    from bench_shadows.evaluation.harness_model import Checkpoint

    saved = find(run)
    return Checkpoint(saved.params(), saved.config, saved.tokenizer(), journal)


def instances(folder: Path, name: str) -> list[Any]:
    """The requests of a task."""
    from lm_eval.tasks import TaskManager

    task = TaskManager(include_path=str(folder), include_defaults=False).load(name)["tasks"][name]
    task.set_fewshot_seed(1)
    task.build_all_requests()
    return task.instances


def test_a_folder_stands_for_all_its_tasks(run: Path, tasks: Path) -> None:
    saved = find(run)
    rows = list(harness.task_rows(saved.params(), saved.config, saved.tokenizer(), [str(tasks)]))
    assert {row["task"] for row in rows} == set(TASKS)
    assert {row["count"] for row in rows} == {FEW}
    assert list(harness.task_rows(saved.params(), saved.config, saved.tokenizer(), [])) == []


def test_a_network_with_an_image_encoder_is_asked_without_images(tasks: Path, tmp_path: Path) -> None:
    vision = VisionConfig(
        image_size=8, patch_size=4, num_layers=1, hidden_size=8, intermediate_size=8, num_heads=2
    )
    both = dataclasses.replace(CONFIG, conditions=ConditionsConfig(names=PROMPTS.conditions), vision=vision)
    sighted = ours(write_study(tmp_path, both, scale=3.0))
    [request] = instances(tasks, "tiny_generation")[:1]
    assert len(sighted.generate_until([request])) == 1
    assert all(nats < 0 for nats, _ in sighted.loglikelihood(instances(tasks, "tiny_choice")[:4]))


def test_every_likelihood_is_theirs(run: Path, tasks: Path, theirs: Any) -> None:
    requests = instances(tasks, "tiny_choice")
    assert max(len(ours(run).tok_encode("".join(request.args))) for request in requests) > 33  # too long
    found, expected = ours(run).loglikelihood(requests), theirs.loglikelihood(requests, disable_tqdm=True)
    for (nats, greedy), (their_nats, their_greedy) in zip(found, expected, strict=True):
        assert nats == pytest.approx(their_nats, abs=1e-3)
        assert greedy == their_greedy


def test_every_rolling_likelihood_is_theirs(run: Path, tasks: Path, theirs: Any) -> None:
    requests = instances(tasks, "tiny_rolling")
    found = ours(run).loglikelihood_rolling(requests)
    expected = theirs.loglikelihood_rolling(requests, disable_tqdm=True)
    assert found == pytest.approx(expected, rel=1e-5)


def test_every_generated_text_is_theirs(run: Path, tasks: Path, theirs: Any) -> None:
    requests = instances(tasks, "tiny_generation")
    found = ours(run).generate_until(requests)
    assert found == theirs.generate_until(requests, disable_tqdm=True)
    assert not any("a" in text for text in found)
    assert len(set(found)) > FEW // 2


def test_scores_are_those_that_lm_eval_gives_the_exported_model(
    run: Path, tasks: Path, theirs: Any, tmp_path: Path
) -> None:
    import lm_eval
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_path=str(tasks), include_defaults=False)
    expected = lm_eval.simple_evaluate(theirs, tasks=list(TASKS), task_manager=manager, bootstrap_iters=0)
    out = harness.run_harness(run, list(TASKS), [tasks], out=tmp_path / "out")
    found = json.loads((out / "results.json").read_text())["results"]
    for task in TASKS:
        scores = {name: value for name, value in expected["results"][task].items() if name.endswith(",none")}
        scores = {name: value for name, value in scores.items() if "stderr" not in name}
        assert scores
        for name, value in scores.items():
            assert found[task][name] == pytest.approx(value, rel=1e-5), (task, name)
    assert found["tiny_generation"]["exact_match,none"] == pytest.approx(1 / 3)


def test_the_command_writes_scores_and_rows_of_the_evaluation_table(run: Path, tasks: Path) -> None:
    names = "tiny_choice,tiny_generation"
    code, output = command("harness", str(run), f"--tasks={names}", f"--include={tasks}", "--limit=6")
    assert code == 0, output
    out = run.parents[1] / "harness" / f"A-seed0-5-{names}"
    assert sorted(path.name for path in out.iterdir()) == ["evaluation.parquet", "results.json"]
    rows = pq.read_table(out / "evaluation.parquet").to_pylist()
    assert {(row["task"], row["metric"], row["count"]) for row in rows} == {
        *[("tiny_choice", metric, 6) for metric in ("acc", "acc_norm")],
        ("tiny_generation", "exact_match", 6),
    }
    assert {(row["model"], row["seed"], row["step"], row["suite"]) for row in rows} == {
        ("A-seed0", 0, 5, "harness")
    }
    results = json.loads((out / "results.json").read_text())
    assert results["limit"] == 6
    assert rows[0]["value"] == results["results"]["tiny_choice"]["acc,none"]
    code, output = command("harness", str(run), f"--tasks={names}", f"--include={tasks}", "--limit=6")
    assert code == 1
    assert "results.json is there already" in output


def test_a_task_that_cannot_be_had_is_named(run: Path, tasks: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--tasks=arc_eazy: lm-eval has no such task.*arc_easy"):
        harness.run_harness(run, ["arc_eazy"])
    with pytest.raises(ConfigError, match=r"none: no such folder"):
        harness.run_harness(run, ["tiny_choice"], [tmp_path / "none"])
    offline = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    code, output = command("harness", str(run), "--tasks=arc_easy", **offline)
    assert code == 1
    assert "task arc_easy: its data could not be had" in output
    assert "dataset_path: json" in output
    assert "Traceback" not in output


def test_what_was_answered_before_a_kill_is_not_asked_again(run: Path, tasks: Path, tmp_path: Path) -> None:
    journal = tmp_path / "answers.jsonl"
    asked = {name: instances(tasks, name) for name in ("tiny_choice", "tiny_generation")}
    before = ours(run, journal)
    whole = before.loglikelihood(asked["tiny_choice"]), before.generate_until(asked["tiny_generation"])
    kept = journal.read_bytes()
    journal.write_bytes(kept[:-7])  # cut off in the last answer
    other = ours(run.parents[1] / "runs" / "A-seed0" / "checkpoints" / "3", journal)
    assert other.loglikelihood(asked["tiny_choice"]) == whole[0]
    texts = other.generate_until(asked["tiny_generation"])
    assert [one == two for one, two in zip(texts, whole[1], strict=True)].count(False) == 1
    assert len(journal.read_bytes().splitlines()) == len(kept.splitlines())


def test_generation_is_as_the_task_wants_it_or_refused(
    run: Path, tasks: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    request = instances(tasks, "tiny_generation")[1]

    def say(model: Any, **rule: Any) -> list[str]:
        asked = [dataclasses.replace(request, arguments=(request.args[0], rule)) for _ in range(4)]
        return model.generate_until(asked)

    model = ours(run)
    assert len(set(say(model, until=[]))) == 1
    assert "256 new tokens do not fit the model's rows of 32" in capsys.readouterr().err
    drawn = say(model, until=[], max_gen_toks=8, do_sample=True, temperature=1.5, top_p=0.95)
    assert len(set(drawn)) > 1
    assert drawn == say(model, until=[], max_gen_toks=8, do_sample=True, temperature=1.5, top_p=0.95)
    with pytest.raises(RunError, match="repetition_penalty"):
        say(model, until=[], repetition_penalty=1.2)
    with pytest.raises(RunError, match=r"a continuation of \d+ tokens does not fit"):
        model.loglikelihood([dataclasses.replace(request, arguments=("a", TEXT * 9))])
