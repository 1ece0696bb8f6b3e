"""With any kind of tokenizer, lm-eval sees in the exported model what our harness sees in the checkpoint."""

from pathlib import Path
from typing import Any

import pytest
from saved_study import with_model, write_study
from tokenizer_layouts import LAYOUTS, TEXTS, file_of

from bench_shadows.export import export
from bench_shadows.training.checkpoints.saved import find

pytestmark = pytest.mark.peers

CONTINUATIONS = [" narrow", " eng waren; größer", "公园里有很多人", " 1 = 2"]
CONTEXTS = ["", "The shadow", "def falls(where): ", *TEXTS]


@pytest.fixture(scope="module", params=LAYOUTS)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("lm_eval")
    folder, config = tmp_path_factory.mktemp("study"), with_model(vocab_size=1200)
    return write_study(folder, config, scale=3.0, tokenizer_json=file_of(request.param))


@pytest.fixture(scope="module")
def theirs(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    pytest.importorskip("torch")
    huggingface = pytest.importorskip("lm_eval.models.huggingface")
    out = export(run, tmp_path_factory.mktemp("exported") / "model")
    return huggingface.HFLM(pretrained=str(out), device="cpu", batch_size=4, dtype="float32")


def ours(run: Path) -> Any:
    from bench_shadows.evaluation.harness_model import Checkpoint

    saved = find(run)
    return Checkpoint(saved.params(), saved.config, saved.tokenizer())


def requests(kind: str, *arguments: Any) -> list[Any]:
    from lm_eval.api.instance import Instance

    return [Instance(kind, {}, of_one, number) for number, of_one in enumerate(arguments)]


def test_the_ids_are_theirs(run: Path, theirs: Any) -> None:
    for text in (*TEXTS, "a  b", "", " c"):
        assert ours(run).tok_encode(text) == theirs.tok_encode(text)
    assert ours(run).prefix_token_id == theirs.prefix_token_id


def test_every_likelihood_is_theirs(run: Path, theirs: Any) -> None:
    every = [(one, two) for one in CONTEXTS for two in CONTINUATIONS]
    # lm-eval refuses a pair in which a merge over the seam leaves the continuation without a token of its own.
    pairs = [pair for pair in every if not pair[0] or theirs._encode_pair(*pair)[1]]
    assert len(pairs) >= len(every) - 2
    asked = requests("loglikelihood", *pairs)
    for found, expected in zip(ours(run).loglikelihood(asked), theirs.loglikelihood(asked), strict=True):
        assert found[0] == pytest.approx(expected[0], abs=1e-3)
        assert found[1] == expected[1]


def test_every_rolling_likelihood_is_theirs(run: Path, theirs: Any) -> None:
    asked = requests("loglikelihood_rolling", *((text,) for text in TEXTS))
    assert ours(run).loglikelihood_rolling(asked) == pytest.approx(theirs.loglikelihood_rolling(asked), abs=1e-3)


def test_every_generated_text_is_theirs(run: Path, theirs: Any) -> None:
    asked = requests("generate_until", *((text[:20], {"until": ["ab"], "max_gen_toks": 9}) for text in TEXTS))
    assert ours(run).generate_until(asked) == theirs.generate_until(asked)
