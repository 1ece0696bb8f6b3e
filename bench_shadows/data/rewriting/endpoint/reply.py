"""The teacher's reply, parsed strictly and held against the document: the rewritten text, or why there is none.

The reasons are few and fixed, because they are counted. Each check leans towards the teacher: a reply is refused
for what it shows, not for what it might be. What no rule can see, such as a changed meaning, passes.
"""

import re
from typing import NamedTuple

from bench_shadows.data.rewriting.endpoint import syntax
from bench_shadows.data.rewriting.endpoint.prompt import mark, rearmed

SHORTEST, LONGEST = 1 / 4, 4.0
"""A reply of fewer or more characters than so many times the original's is far too short or long ..."""
FEWER, MORE = 20, 200
"""... by more than so many characters: short texts may change their length more."""
NOT_JAVASCRIPT = 0.25
"""Share of a reply's bytes that a JavaScript parser may find no place for."""


NO_CONTENT = "no content"
"""A reply without any text, or with thoughts alone."""


class Checked(NamedTuple):
    """A reply's text, or the reason why it is invalid."""

    text: str | None
    reason: str | None


_OUTPUT = re.compile(r"\s*<output>(.*)</output>\s*", re.DOTALL)
_FENCE = re.compile(r"\s*(```+|~~~+)[^\n`]*\n(.*?)\n?[ \t]*\1\s*", re.DOTALL)
_REFUSAL = re.compile(
    r"\W*(?:(?:i['’]m |i am )?(?:very |so )?sorry\b|i apologi[sz]e|as an? (?:ai|artificial|large language)\b"
    r"|(?:unfortunately,? )?i (?:cannot|can not|can['’]t|won['’]t|will not|am unable|am not able)"
    r"|i['’]m (?:unable|not able))"
    r".{0,200}?\b(?:assist|help|compl(?:y|ied)|requests?|rewrit\w*|language model|provide|process|content)\b"
    r"|\W*(?:非常|很|十分)?(?:抱歉|对不起|我(?:无法|不能)|作为(?:一个|一名)?(?:AI|人工智能|语言模型))"
    r".{0,100}?(?:协助|帮助|请求|提供|改写|处理|满足|回答)",
    re.DOTALL | re.IGNORECASE,
)
# `[Text]` where the answer begins or alone on its last line; or "Classification: text".
_KIND = r"(?:Text|Exercise|Code|文本|习题|代码)"
_LABEL = rf"[\[【［]\s*{_KIND}\s*[\]】］]"
_NAMED = rf"(?i:(?:classification|classified as|category|归类|分类)(?:结果)?\s*[:：]\W*{_KIND}\b)"
_LEAK = re.compile(rf"\W*(?:{_LABEL}|{_NAMED})|(?s:.*)\n\s*(?:{_LABEL}|{_NAMED})\W*\Z")
_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]")
_LETTER = re.compile(r"[^\W\d_]")


def check(reply: str, original: str, kind: str, language: str) -> Checked:
    """The rewritten text in a complete reply, with the original's white space around it; or why it is invalid.

    Args:
      reply: all that the teacher wrote.
      original: what it was asked to rewrite.
      kind: `text`, `exercise` or `code`.
      language: ISO 639-1, or for code the programming language.
    """
    reply = _without_thinking(reply)
    found = _OUTPUT.fullmatch(reply)
    if found is None:
        return Checked(None, _outside(reply, original))
    text = rearmed(found[1]).strip()
    wanted = original.strip()
    if text.count("<output>") > wanted.count("<output>"):
        return Checked(None, "several outputs")
    if kind == "code" and (fenced := _FENCE.fullmatch(text)) and not _FENCE.fullmatch(wanted):
        text = fenced[2].strip()
    if reason := _problem(text, wanted, original, kind, language):
        return Checked(None, reason)
    before = original[: len(original) - len(original.lstrip())]
    return Checked(before + text + original[len(before) + len(wanted) :], None)


def _without_thinking(reply: str) -> str:
    """A reply without what a model thought before it; a template may have written the opening mark itself."""
    thought, mark, rest = reply.partition("</think>")
    begun = thought.lstrip().startswith("<think>")
    return rest if mark and (begun or not thought.lstrip().startswith("<output>")) else reply


def _outside(reply: str, original: str) -> str:
    """Why a reply that is not exactly one <output> ... </output> is invalid."""
    if not reply.strip():
        return NO_CONTENT
    if _REFUSAL.match(reply) and not _REFUSAL.match(original):
        return "refused"
    if "<output>" in reply and "</output>" not in reply:
        return "output not closed"
    if "<output>" not in reply:
        return "no output"
    around = (reply.partition("<output>")[0], reply.rpartition("</output>")[2])
    return "classification leaks" if any(map(_LEAK.match, around)) else "text outside the output"


def _problem(text: str, wanted: str, original: str, kind: str, language: str) -> str | None:
    """The first thing that is wrong with the text of a well-formed reply; both are without white space around."""
    if kind == "exercise":
        return None if text == wanted else "exercise changed"
    if not text:
        return "empty"
    if _REFUSAL.match(text) and not _REFUSAL.match(wanted):
        return "refused"
    if _LEAK.match(text) and not _LEAK.match(wanted):
        return "classification leaks"
    if mark(original) in text:
        return "marks leak"
    if len(text) < SHORTEST * len(wanted) - FEWER:
        return "far too short"
    if len(text) > LONGEST * len(wanted) + MORE:
        return "far too long"
    if kind == "code":
        return _not_javascript(text, language)
    return "in another language" if _another_script(text, wanted) else None


def _not_javascript(text: str, language: str) -> str | None:
    """Whether code is still in its source language, or in none: asked of the two grammars."""
    if language.lower() in ("javascript", "js", "typescript", "ts"):
        return None
    wrong = syntax.wrong_bytes(text, "javascript")
    if not wrong:
        return None
    as_source = syntax.wrong_bytes(text, language)
    if as_source is not None and as_source < wrong:
        return "still in its source language"
    return "not JavaScript" if wrong > NOT_JAVASCRIPT * len(text.encode()) else None


def _another_script(text: str, wanted: str) -> bool:
    """Whether a Chinese text came back in letters, or a text in letters in Chinese."""
    shares = [len(_HAN.findall(part)) / max(1, len(_LETTER.findall(part))) for part in (wanted, text)]
    return (shares[0] > 0.5 and shares[1] < 0.1) or (shares[0] < 0.1 and shares[1] > 0.5)
