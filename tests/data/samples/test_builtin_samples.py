"""The built-in vision-language corpus: seeded, drawn here, its splits apart, its prompts repeated and cleaned."""

import itertools
import json
from collections import Counter

import numpy as np
import pytest

from bench_shadows.config import PromptsConfig
from bench_shadows.data.samples.builtin import corpus
from bench_shadows.data.samples.builtin.corpus import TASKS, builtin_samples, make_sample, schedule, weights
from bench_shadows.data.samples.repetition import Rules, deduplicate
from bench_shadows.data.samples.sample import GROUPS, Sample, Split, answer, has_image, prompt
from bench_shadows.data.samples.scoring import score
from bench_shadows.data.samples.templates import TEMPLATES, repeated
from bench_shadows.errors import ConfigError

SIZE = 48
EACH = 20  # samples of every task
Drawn = list[tuple[Sample, np.ndarray | None]]


def drawn(
    split: Split, count: int = EACH * len(TASKS), seed: int = 0, size: int = SIZE, **options: object
) -> Drawn:
    return list(builtin_samples(PromptsConfig(**options), size, seed, split, count))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def training() -> Drawn:
    return drawn("train")


@pytest.fixture(scope="module")
def held_out() -> Drawn:
    return drawn("held_out")


def test_every_task_has_as_many_samples_in_one_of_the_four_groups(training: Drawn) -> None:
    assert Counter(sample["task"] for sample, _ in training) == dict.fromkeys(TASKS, EACH)
    assert {sample["group"] for sample, _ in training} == set(GROUPS)
    assert len({sample["id"] for sample, _ in training}) == len(training)


def test_a_sample_follows_from_seed_split_and_number(training: Drawn) -> None:
    again = drawn("train", 50)
    assert [sample for sample, _ in again] == [sample for sample, _ in training[:50]]
    for (_, image), (_, before) in zip(again, training, strict=False):
        np.testing.assert_array_equal(image, before)
    assert [prompt(sample) for sample, _ in drawn("train", 50, seed=1)] != [prompt(sample) for sample, _ in again]


def test_samples_can_be_drawn_from_any_place_on() -> None:
    whole = drawn("train", 30)
    rest = list(builtin_samples(PromptsConfig(), SIZE, 0, "train", 30, first=20))
    assert [sample for sample, _ in rest] == [sample for sample, _ in whole[20:]]


def test_a_sample_of_a_task_does_not_depend_on_the_other_tasks(training: Drawn) -> None:
    alone = drawn("train", 10, tasks=("keywords=1",))
    among = [sample for sample, _ in training if sample["task"] == "keywords"]
    assert [sample for sample, _ in alone] == among[:10]


@pytest.mark.parametrize("size", [32, 48, 100])
def test_an_image_is_square_and_drawn_on(size: int) -> None:
    for sample, image in drawn("train", 4 * len(TASKS), size=size):
        assert (image is not None) == TASKS[sample["task"]].has_image == has_image(sample)
        if image is not None:
            assert (image.shape, image.dtype) == ((size, size, 3), np.uint8)
            assert image.std() > 5


def test_without_images_only_the_tasks_about_text_are_there() -> None:
    samples = drawn("train", 30, size=0)
    assert {sample["task"] for sample, _ in samples} == {
        name for name, task in TASKS.items() if not task.has_image
    }
    assert all(image is None for _, image in samples)


def test_held_out_samples_share_no_image_with_training(training: Drawn, held_out: Drawn) -> None:
    identities = [{image.tobytes() for _, image in some if image is not None} for some in (training, held_out)]
    assert not identities[0] & identities[1]


def test_held_out_samples_share_hardly_a_question_without_image_with_training() -> None:
    asked = [{prompt(sample) for sample, _ in drawn(split, 2000, size=0)} for split in ("train", "held_out")]
    assert len(asked[0] & asked[1]) <= 0.01 * len(asked[1])


@pytest.mark.parametrize("task", ["ocr", "tables", "arithmetic", "inflection", "keywords", "numerals_zh"])
def test_what_could_be_memorised_is_split(task: str) -> None:
    """Numbers and words of held-out answers that are longer than a glyph are in no training answer."""

    def parts(split: Split) -> set[str]:
        samples = drawn(split, 40 if task == "tables" else 400, tasks=(task,), duplication=0.0)
        asked = ((prompt(sample).splitlines()[-1], answer(sample)) for sample, _ in samples)
        return {part for question, reply in asked for part in ([question] if task == "arithmetic" else [reply])}

    assert not {part for part in parts("train") & parts("held_out") if len(part) > 1}


def test_every_answer_is_right_and_another_tasks_answer_is_not(training: Drawn, held_out: Drawn) -> None:
    assert all(score(sample, answer(sample)) for sample, _ in training + held_out)
    wrong = [not score(sample, "nothing of the kind") for sample, _ in held_out]
    assert all(wrong)


def test_no_field_in_front_of_a_question_tells_its_answer(training: Drawn) -> None:
    for sample, _ in training:
        front = " ".join((sample.get("system", ""), sample.get("caption", ""), sample.get("ocr", "")))
        front += sample.get("metadata", {}).get("instruction", "")
        asked = prompt(sample).splitlines()[0]
        assert answer(sample).casefold() not in front.replace(asked, "").casefold().split()


def test_the_wanted_share_of_prompts_is_repeated() -> None:
    for share in (0.0, 0.25, 0.75, 1.0):
        samples = [sample for sample, _ in drawn("train", 1000, size=0, duplication=share)]
        found = np.mean([bool(deduplicate(sample, Rules()).removed) for sample in samples])
        assert found == pytest.approx(share, abs=0.05 if 0 < share < 1 else 0)


def test_a_larger_share_repeats_those_of_a_smaller_one_and_more() -> None:
    def repeating(share: float) -> set[str]:
        samples = (sample for sample, _ in drawn("train", 400, size=0, duplication=share))
        return {sample["id"] for sample in samples if deduplicate(sample, Rules()).removed}

    for smaller, larger in itertools.pairwise([0.25, 0.5, 0.75, 0.9]):
        assert repeating(smaller) < repeating(larger)


def test_removing_repeated_prompts_gives_the_clean_sample_back() -> None:
    for sample, _ in drawn("held_out", 10 * len(TASKS)):
        cleaned = deduplicate(repeated(sample, 1.0), Rules()).sample
        kept = {name: value for name, value in cleaned.items() if value not in ("", {"instruction": ""})}
        assert kept == dict(sample)


def test_held_out_prompts_are_clean(held_out: Drawn) -> None:
    assert not any(deduplicate(sample, Rules()).removed for sample, _ in held_out)


def test_a_pipeline_repeats_in_every_field_that_the_sample_has() -> None:
    [(sample, _)] = drawn("held_out", 1, tasks=("counting",))
    asked = prompt(sample).splitlines()[0]
    fields = Counter[str]()
    for number in range(200):
        found = json.loads(json.dumps(repeated({**sample, "id": str(number)}, 1.0)))
        fields.update(name for name in ("system", "metadata", "caption", "ocr") if asked in str(found.get(name)))
    assert set(fields) == set(TEMPLATES)
    assert min(fields.values()) > 50


def test_weights_of_tasks_hold_in_every_stretch() -> None:
    weighted = weights(PromptsConfig(tasks=("ocr=3", "counting=1")), SIZE)
    names = [task.name for task in itertools.islice(schedule(weighted), 40)]
    for end in range(4, 41, 4):
        assert names[:end].count("ocr") == end * 3 / 4


@pytest.mark.parametrize(
    ("tasks", "size", "message"),
    [
        (("orc=1",), 48, "no task 'orc'"),
        (("ocr=many",), 48, "'ocr=many' is not of the form"),
        (("ocr=1",), 0, "leaves no task"),
        (("ocr=0",), 48, "leaves no task"),
    ],
)
def test_tasks_that_cannot_be_are_named(tasks: tuple[str, ...], size: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        weights(PromptsConfig(tasks=tasks), size)


def test_a_held_out_digit_is_of_another_record() -> None:
    def records(split: Split) -> set[bytes]:
        return {
            image.mean(2).astype(np.uint8).tobytes()
            for number in range(150)
            if (image := make_sample(TASKS["digits"], SIZE, 0, split, number)[1]) is not None
        }

    assert not records("train") & records("held_out")


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus, "PACKAGES", ("package_that_is_not_there",))
    with pytest.raises(ConfigError, match=r"package_that_is_not_there.*extra `vision`"):
        weights(PromptsConfig(), SIZE)
    assert weights(PromptsConfig(), 0)
