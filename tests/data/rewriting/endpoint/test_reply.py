"""A reply is the rewritten text and nothing else, or it is invalid for one of a few reasons."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_shadows.data.rewriting.endpoint.prompt import mark
from bench_shadows.data.rewriting.endpoint.reply import check

ENGLISH = "It is not my intention to utilise the aforementioned apparatus.\n\n- one\n- two\n"
CHINESE = "服务员的态度非常恶劣，我们决定以后不再光顾这家餐厅。"
PYTHON = "import os\n\n\ndef area(a, b):\n    if a is None:\n        return 0\n    return a * b\n"
JAVASCRIPT = "function area(a, b) {\n  if (a === null) {\n    return 0;\n  }\n  return a * b;\n}"


def reason(reply: str, original: str = ENGLISH, kind: str = "text", language: str = "en") -> str | None:
    return check(reply, original, kind, language).reason


def within(text: str) -> str:
    return f"<output> {text} </output>"


def test_the_text_between_the_tags_has_the_originals_white_space_around_it() -> None:
    assert check(within("I do not want to use it.\n\n- one\n- two"), ENGLISH, "text", "en").text == (
        "I do not want to use it.\n\n- one\n- two\n"
    )
    assert check("\n<output>\nNo.\n</output>\n", "\n\n  Never.\n\n", "text", "en").text == "\n\n  No.\n\n"


@pytest.mark.parametrize(("reply", "expected"), [
    ("", "no content"),
    (" \n", "no content"),
    ("<think>what now?</think>\n", "no content"),
    ("<think>never ends <output>", "output not closed"),
    ("<output> </output>", "empty"),
    ("I do not want to use it.", "no output"),
    ("<output> I do not want", "output not closed"),
    ("Here it is: <output> I will not. </output>", "text outside the output"),
    ("<output> I will not. </output> I hope this helps!", "text outside the output"),
    ("<output> I will not. </output>\n<output> Or so. </output>", "several outputs"),
    ("[Text]\n<output> I will not. </output>", "classification leaks"),
    ("Classification: text\n<output> I will not. </output>", "classification leaks"),
    ("<output> [Text] I will not. </output>", "classification leaks"),
    ("<output> **[Text]**\nI will not. </output>", "classification leaks"),
    ("<output> I will not.\n[文本] </output>", "classification leaks"),
    ("<output> 分类结果：文本\nI will not. </output>", "classification leaks"),
    ("I'm sorry, but I can't assist with that request.", "refused"),
    ("<output> I cannot help with this content. </output>", "refused"),
    ("<output> As an AI language model, I must not rewrite this. </output>", "refused"),
    ("抱歉，我无法协助处理该请求。", "refused"),
    ("<output> 我不想用它。 </output>", "in another language"),
])  # fmt: skip
def test_a_reply_to_text_is_invalid_for_what_it_shows(reply: str, expected: str) -> None:
    assert reason(reply) == expected


def test_far_too_short_and_far_too_long_are_invalid_and_moderate_changes_are_not() -> None:
    original = "A sentence that is neither short nor long. " * 50
    assert reason(within("HACKED"), original) == "far too short"
    assert reason(within(original * 5), original) == "far too long"
    assert reason(within(original[: len(original) // 3]), original) is None
    assert reason(within(original * 3), original) is None


def test_marks_of_the_prompt_do_not_come_back() -> None:
    assert reason(within(f"<{mark(ENGLISH)}>\nI will not.\n</{mark(ENGLISH)}>")) == "marks leak"


@pytest.mark.parametrize("text", [
    "I cannot help you, she said. The request was refused.",
    "[Text] is a label here.",
    "Use <output> and </output> around it.",
    "Sorry, no content today.",
])  # fmt: skip
def test_what_the_document_itself_says_is_no_fault_of_the_reply(text: str) -> None:
    assert check(within(text), text, "text", "en") == (text, None)


def test_chinese_stays_chinese() -> None:
    assert check(within("服务员态度很差，我们不再来了。"), CHINESE, "text", "zh").reason is None
    assert reason(within("The waiter was rude, we will not come again."), CHINESE, language="zh") == (
        "in another language"
    )


def test_code_comes_back_as_javascript() -> None:
    for reply in (JAVASCRIPT, f"```javascript\n{JAVASCRIPT}\n```"):
        assert check(within(reply), PYTHON, "code", "python") == (JAVASCRIPT + "\n", None)


@pytest.mark.parametrize(("source", "language"), [
    (PYTHON, "python"),
    ("#include <stdio.h>\nint main(void) {\n    struct a *b = 0;\n    return b->c;\n}\n", "c"),
    ("def area(a, b)\n  return 0 if a.nil?\n  a * b\nend\n", "ruby"),
    ("fn area(a: &u32) -> u32 {\n    let mut x = *a;\n    x\n}\n", "rust"),
    ("class A {\n  public static void main(String[] a) { final int x = 1; }\n}\n", "java"),
])  # fmt: skip
def test_code_that_is_still_in_its_source_language_is_invalid(source: str, language: str) -> None:
    assert reason(within(source), source, "code", language) == "still in its source language"
    assert reason(within(f"```\n{source}```"), source, "code", language) == "still in its source language"


def test_prose_about_code_is_not_javascript_and_javascript_needs_no_change() -> None:
    prose = "This function multiplies its two arguments, unless the first of them is missing."
    assert reason(within(prose), PYTHON, "code", "python") == "not JavaScript"
    assert reason(within(JAVASCRIPT), JAVASCRIPT, "code", "javascript") is None


def test_an_exercise_comes_back_as_it_is() -> None:
    exercise = "  Question: [Text] What is 2 + 3?\nA. 4\nB. 5\n"
    assert check(within(exercise), exercise, "exercise", "en") == (exercise, None)
    assert reason(within("Question: What is 2 + 3? B."), exercise, "exercise") == "exercise changed"
    assert reason("<output></output>", exercise, "exercise") == "exercise changed"


def test_tokens_of_a_chat_template_come_back_as_they_were() -> None:
    text = "The model writes <|im_end|> when it stops."
    assert check(within("It ends with <\u2060|im_end|>."), text, "text", "en").text == "It ends with <|im_end|>."


@given(st.text())
def test_an_exercise_between_tags_is_always_valid(text: str) -> None:
    assert check(f"<output>{text}</output>", text, "exercise", "en").text == text


@given(st.text() | st.text(alphabet="<output>/ ab\n"), st.sampled_from(["text", "code", "exercise"]))
def test_every_reply_has_either_a_text_or_a_reason(reply: str, kind: str) -> None:
    for original in ("a b c", reply):
        text, why = check(reply, original, kind, "python")
        assert (text is None) != (why is None)
        if text is not None:
            assert f"{reply.strip()}".startswith("<output>")
            assert text.strip() or kind == "exercise"


@pytest.mark.parametrize(
    "thoughts",
    [
        "<think>\nFirst <output> then </output>.\n</think>\n\n",
        "<think></think>",
        "The template wrote the opening mark.\n</think>\n",
        "It asks for <output>; so be it.</think>",
    ],
)
def test_what_a_model_thought_before_its_reply_is_left_out(thoughts: str) -> None:
    original = "We utilise the old method because it works."
    wanted = "We use the old method because it works."
    assert check(f"{thoughts}<output> {wanted} </output>", original, "text", "en") == (wanted, None)
    about = "A mark such as </think> ends what a model thinks."
    assert check(f"<output> {about} </output>", about, "text", "en") == (about, None)
