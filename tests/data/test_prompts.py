"""Instructions that stand in several fields of a sample: one instance stays, nothing else is touched."""

import copy
import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench_shadows.data.prompt_measure import Measure
from bench_shadows.data.prompts import Rules, deduplicate, split, texts

RULES = Rules()
ASK = "Answer the question using a single word or phrase."
LLAVA: dict[str, Any] = {
    "id": "000000033471",
    "image": "coco/000000033471.jpg",
    "system": f"You are a helpful assistant. {ASK}",
    "conversations": [
        {"from": "human", "value": f"<image>\nWhat colour is the bus?\n{ASK}"},
        {"from": "gpt", "value": "Red. What colour is the bus?"},
        {"from": "human", "value": f"What is beside it?\n{ASK}"},
        {"from": "gpt", "value": "A tree"},
    ],
    "metadata": {"task": "vqa", "prompt_template": f"what  colour is the bus?  {ASK.upper()}", "score": 0.5},
    "ocr": ["LINE 7", "What colour is the bus?"],
}


def cleaned(sample: Any, rules: Rules = RULES) -> Any:
    return deduplicate(sample, rules).sample


def test_one_instance_stays_in_the_first_turn_of_the_user() -> None:
    assert cleaned(LLAVA) == LLAVA | {
        "system": "You are a helpful assistant.",
        "conversations": [
            LLAVA["conversations"][0],
            LLAVA["conversations"][1],
            {"from": "human", "value": "What is beside it?"},
            LLAVA["conversations"][3],
        ],
        "metadata": {"task": "vqa", "prompt_template": "", "score": 0.5},
        "ocr": ["LINE 7", ""],
    }


def test_what_was_removed_is_told_with_the_field_that_keeps_it() -> None:
    found = deduplicate(LLAVA, RULES).removed
    assert [(repeat.field, repeat.kept_in) for repeat in found] == [
        ("conversations.*.value", "conversations.*.value"),
        ("system", "conversations.*.value"),
        ("metadata.prompt_template", "conversations.*.value"),
        ("metadata.prompt_template", "conversations.*.value"),
        ("ocr.*", "conversations.*.value"),
    ]
    assert found[2].text == "what  colour is the bus?"


def test_chinese_sentences_need_no_white_space() -> None:
    sample = {
        "prompt": "<image>请仔细看图。请用一句话描述这张图片的内容。",
        "caption": "请用一句话描述这张图片的内容；一只猫",
    }
    assert cleaned(sample) == {**sample, "caption": "一只猫"}


def test_parts_of_a_chat_message_are_fields() -> None:
    parts = [{"type": "image_url", "image_url": {"url": "a.png"}}, {"type": "text", "text": f"How many? {ASK}"}]
    sample = {"messages": [{"role": "system", "content": ASK}, {"role": "user", "content": parts}]}
    assert cleaned(sample)["messages"] == [{"role": "system", "content": ""}, {"role": "user", "content": parts}]


@pytest.mark.parametrize(
    ("sample", "rules"),
    [
        ({"prompt": ASK, "answer": ASK}, RULES),
        ({"prompt": "<image><image>", "system": "<image><image>"}, RULES),
        ({"prompt": "Describe it.", "system": "Describe it."}, RULES),  # shorter than 16
        ({"prompt": ASK, "system": ASK.upper()}, Rules(ignore_case=False)),
        ({"prompt": ASK, "caption": ASK}, Rules(protected=("caption",))),
        ({"prompt": ASK, "caption": ASK, "ocr": ASK}, Rules(fields=("caption", "meta.*"))),
        ({"prompt": "A red bus stands there in the rain", "caption": "red bus stands there in the rain"}, RULES),
        ({"prompt": f"{ASK}\n{ASK}"}, RULES),  # in one field alone it may be a poem
    ],
    ids=[
        "an answer",
        "placeholders",
        "short",
        "case",
        "protected",
        "other fields",
        "a part of a line",
        "one field",
    ],
)
def test_what_is_no_repetition_is_left_alone(sample: dict[str, Any], rules: Rules) -> None:
    assert cleaned(sample, rules) is sample


def test_a_lower_minimum_finds_shorter_ones() -> None:
    sample = {"prompt": "Describe it.", "system": "Describe it."}
    assert cleaned(sample, Rules(minimum=8)) == {"prompt": "Describe it.", "system": ""}


# ---- any sample

WORDS = st.text("abcdefgh äßéИжあ猫图", min_size=1, max_size=12)
SENTENCES = st.builds(
    lambda words, end: " ".join(words) + end,
    st.lists(WORDS, min_size=1, max_size=6),
    st.sampled_from([".", "?", "!", "。", "：", "\n", ":", ""]),
)
TEXTS = st.lists(st.one_of(SENTENCES, st.sampled_from(["<image>\n", " ", "\n\n", ASK, f"{ASK} ", "！", "”"]))).map(
    "".join
)
SAMPLES = st.dictionaries(
    st.sampled_from(["prompt", "system", "caption", "ocr", "metadata", "notes", "answer", "id"]),
    st.recursive(st.one_of(TEXTS, st.integers(), st.none()), lambda inner: st.lists(inner, max_size=3)),
    max_size=6,
)


@given(TEXTS)
def test_fragments_put_together_are_the_text(text: str) -> None:
    assert "".join(split(text)) == text


@settings(max_examples=300)
@given(SAMPLES)
def test_doing_it_again_changes_nothing(sample: dict[str, Any]) -> None:
    rules = Rules(minimum=4)
    once = deduplicate(sample, rules).sample
    assert deduplicate(once, rules).removed == []


@given(SAMPLES)
def test_the_sample_that_is_given_stays_as_it_is(sample: dict[str, Any]) -> None:
    before = copy.deepcopy(sample)
    deduplicate(sample, Rules(minimum=4))
    assert sample == before


@given(SAMPLES, st.randoms())
def test_the_order_of_fields_does_not_matter(sample: dict[str, Any], chance: random.Random) -> None:
    names = list(sample)
    chance.shuffle(names)
    rules = Rules(minimum=4)
    assert cleaned({name: sample[name] for name in names}, rules) == cleaned(sample, rules)


FREE = st.text("abcdefghi jkl.?\n", max_size=60)


@given(st.dictionaries(st.sampled_from(["caption", "ocr", "system", "zone"]), st.tuples(FREE, FREE), min_size=2))
def test_planted_instructions_are_all_found_and_nothing_else_is_changed(
    around: dict[str, tuple[str, str]],
) -> None:
    planted = "Please transcribe EVERY word of the picture."
    sample = {name: f"{before}\n{planted}\n{after}" for name, (before, after) in around.items()}
    result = deduplicate(sample, Rules(fields=tuple(sample), minimum=32))
    assert [repeat.text for repeat in result.removed if "EVERY" in repeat.text] == [planted] * (len(sample) - 1)
    assert json.dumps(result.sample).count(planted) == 1
    others = [repeat for repeat in result.removed if "EVERY" not in repeat.text]
    if not others:
        for name, (before, after) in around.items():
            assert result.sample[name].replace(planted, "").split() == f"{before}\n{after}".split()


def test_a_measure_adds_up_over_parts() -> None:
    halves = [Measure(), Measure()]
    whole = Measure()
    for number, sample in enumerate([LLAVA, {"prompt": "Count them."}, {"answer": "3"}, LLAVA]):
        for measure in (halves[number % 2], whole):
            measure.add(deduplicate(sample, RULES), RULES)
    halves[0].merge(halves[1])
    assert halves[0] == whole
    assert (whole.samples, whole.repeating, whole.repeating_after, whole.without_text) == (4, 2, 0, 1)
    assert whole.fields_repeating["system"] == 2
    assert whole.fragments.most_common(1) == [("answer the question using a single word or phrase", 6)]
    assert whole.characters == sum(len(text.value) for text in texts(LLAVA, RULES)) * 2 + len("Count them.")


def test_rare_fragments_are_forgotten_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Measure, "LIMIT", 2)
    measure = Measure()
    for number in [*range(20), 3, 3, 4]:
        line = f"Read the line with the number {number}."
        measure.add(deduplicate({"prompt": line, "caption": line}, RULES), RULES)
    assert len(measure.fragments) <= 5
    assert measure.fragments.total() == 23
