"""Instructions that stand in several fields of a sample: one instance stays, nothing else is touched."""

import copy
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench_shadows.data.samples.repetition import Rules, compared, deduplicate, split, texts
from bench_shadows.data.samples.repetition_report import Measure

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


def test_a_turn_of_the_user_never_loses_all_its_words() -> None:
    """Asked twice, answered twice."""
    turns = [
        {"from": "human", "value": f"<image>\n{ASK}"},
        {"from": "gpt", "value": "A bus."},
        {"from": "human", "value": f"<image> {ASK.upper()}"},
        {"from": "gpt", "value": "A red bus."},
    ]
    assert cleaned({"conversations": turns, "system": ASK}) == {"conversations": turns, "system": ""}


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
TURNS = st.lists(
    st.builds(lambda who, text: {"from": who, "value": text}, st.sampled_from(["human", "gpt", "system"]), TEXTS),
    max_size=4,
)
INNER = st.one_of(TEXTS, TURNS, st.integers(), st.none())
SAMPLES = st.dictionaries(
    st.sampled_from(["prompt", "system", "caption", "ocr", "metadata", "notes", "answer", "id"]),
    st.recursive(
        INNER,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.dictionaries(st.sampled_from(["image", "task", "ünïcode", "提示", "output"]), inner, max_size=3),
        ),
        max_leaves=6,
    ),
    max_size=6,
)


@given(TEXTS)
def test_fragments_put_together_are_the_text(text: str) -> None:
    assert "".join(split(text)) == text


@settings(max_examples=150)
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


FREE = st.text("abcdefghi jklé猫.?。\n", max_size=40)
PLANTED = (
    "Please transcribe EVERY word of the picture.",
    "Please transcribe EVERY word of the picture, THEN translate it.",  # the one before is a part of it
    "请用一句话描述这张图片里的所有 OBJECTS。",
    "Décris CHAQUE image en détail !",
    "You are TEMPLATE 7: look. At IT.",  # no sentence of it is long enough
)
PLACES = ("caption", "ocr", "system", "metadata.a.b", "metadata.prompt", "pages.0", "pages.1")


def build(texts_by_place: dict[str, str]) -> dict[str, Any]:
    """A sample with texts in its fields, nested ones and lists as well."""
    return {
        "caption": texts_by_place["caption"],
        "ocr": texts_by_place["ocr"],
        "system": texts_by_place["system"],
        "metadata": {"a": {"b": texts_by_place["metadata.a.b"]}, "prompt": texts_by_place["metadata.prompt"]},
        "pages": [texts_by_place["pages.0"], texts_by_place["pages.1"]],
        "answer": texts_by_place["caption"],
        "image": "a.png",
    }


@settings(max_examples=100)
@given(
    st.fixed_dictionaries({place: st.tuples(FREE, FREE) for place in PLACES}),
    st.lists(st.tuples(st.sampled_from(PLANTED), st.sets(st.sampled_from(PLACES), min_size=2)), max_size=4),
)
def test_planted_instructions_are_all_found_and_nothing_else_is_changed(
    around: dict[str, tuple[str, str]], planted: list[tuple[str, set[str]]]
) -> None:
    where = {text: set().union(*(places for other, places in planted if other == text)) for text, _ in planted}
    lines = {place: [text for text, places in where.items() if place in places] for place in PLACES}
    sample = build({place: "\n".join([before, *lines[place], after]) for place, (before, after) in around.items()})
    rules = Rules(minimum=20)
    result = deduplicate(sample, rules)
    assert (result.sample["answer"], result.sample["image"]) == (sample["answer"], sample["image"])
    after = {text.field + str(text.path): text.value for text in texts(result.sample, rules)}
    for text, places in where.items():
        assert sum(value.split("\n").count(text) for value in after.values()) == 1, text
        copies = [repeat for repeat in result.removed if compared(text, rules) == repeat.fragment]
        assert len(copies) == len(places) - 1
    fragments = {compared(text, rules) for text in where}
    if {repeat.fragment for repeat in result.removed} <= fragments:
        bare = build({place: "\n".join(text) for place, text in around.items()})
        kept = {
            text.field + str(text.path): "".join(line for line in text.value.split("\n") if line not in where)
            for text in texts(result.sample, rules)
        }
        for text in texts(bare, rules):
            assert "".join(kept[text.field + str(text.path)].split()) == "".join(text.value.split())


def test_a_measure_adds_up_over_parts() -> None:
    halves = [Measure(), Measure()]
    whole = Measure()
    for number, sample in enumerate([LLAVA, {"prompt": "Count them."}, {"answer": "3"}, LLAVA]):
        for measure in (halves[number % 2], whole):
            measure.add(deduplicate(sample, RULES), RULES)
    halves[0].merge(halves[1].as_json())
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
