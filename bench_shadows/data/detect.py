"""What a text is, where the data does not say: exercise, code or text, and in which language.

Every detector looks at a bounded part of the text, and cheap rules come first: on prose and on most code nothing
else runs. The figures are those of `scripts/measure_detectors.py` on labelled samples.
"""

import functools
import re
from typing import Any, NamedTuple

from bench_shadows.data import languages

HEAD = 4_000  # characters that tell exercises and code
LANGUAGE_HEAD = 600  # characters that tell a natural language; more do not make it better
UNKNOWN = "unknown"
"""Programming language of code that nothing was found out about."""


class Code(NamedTuple):
    """Whether a text is code, its programming language, and what found it out: rules or magika."""

    is_code: bool
    language: str
    by: str


# ---- exercises

# Lines are found by their line breaks: `(?m)^` is tried at every character and takes five times as long.
_LABEL = r"\n[ \t>#*_-]*(?:%s)[ \t]*\d{0,3}[ \t]*[*_]*[.:：)]"
_QUESTION = re.compile(_LABEL % "Q|Question|Problem|Exercise|Task|Instruction|题目|问题|问|例题?|习题|练习题?")
_ANSWER = re.compile(_LABEL % "A|Ans|Answer|Final answer|Solution|Response|答案|答|解析|解答?|回答")
_SPECIFICATION = r"(?i)\n[ \t>#*_-]*(?:sample |example )?(?:%s)(?: format)?[ \t\d]*[*_]*[:：]?[*_]*[ \t]*(?=\n)"
_INPUT = re.compile(_SPECIFICATION % "input|输入|输入格式")
_OUTPUT = re.compile(_SPECIFICATION % "output|输出|输出格式")
_CHOICE_C = re.compile(r"[\s(（]C[.):、．）]")
_CHOICES = re.compile(
    r"[\s(（]A[.):、．）][^\n]{1,200}?\s+[(（]?B[.):、．）][^\n]{1,200}?\s+[(（]?C[.):、．）][ \t]*\S"
)
_BOXED = re.compile(r"\\boxed\s*\{|\n#### *-?\$?[\d.,/]+ *(?=\n)")


def is_exercise(text: str) -> bool:
    """Whether a text sets a task and, mostly, answers it: any one of these rules (our choice).

    1. A line that begins with a label of a question (`Q:`, `Question 3.`, `### Instruction:`, `题目：`) and, after
       it, one that begins with a label of an answer (`A:`, `Solution:`, `答案：`).
    2. Lines `Input:` and `Output:` that hold nothing else, as programming tasks specify them.
    3. Choices A, B and C, one after the other (`A. ... B. ... C. ...`, `(A) ...`), the first after a question.
    4. A final answer as mathematics sets mark it: `\\boxed{...}`, or a line `#### 42`.
    """
    head = f"\n{text[:HEAD]}\n"
    for first, second in ((_QUESTION, _ANSWER), (_INPUT, _OUTPUT)):
        if (found := first.search(head)) and second.search(head, found.end() - 1):
            return True
    if _CHOICE_C.search(head) and (choices := _CHOICES.search(head)):
        return bool(re.search(r"[?？:：_）)]\s*[(（]?$", head[: choices.start() + 1]))
    return bool(_BOXED.search(head) or _BOXED.search(f"\n{text[-500:]}\n"))


# ---- code

_KEYWORDS = """
def class import from function func fn fun var let const public private protected static return if elif else for
while end package use using sub module begin struct enum typedef namespace include require local val print int void
char float double bool string set case switch try catch do procedure program unit interface open type data where
define
"""
_CODE_LINE = re.compile(
    rf"\n[ \t]*(?:(?:{'|'.join(_KEYWORDS.split())})\b(?!,| [a-z]+ [a-z]+ [a-z]+)"
    r"|[#%]\w+|@\w+|//|/\*|\*/|--|;;|<[/!?\w]|[})\]{])"
)
_LINE = re.compile(r"\n[ \t\r]*[^ \t\r\n]")
_SURELY_TEXT, _SURELY_CODE, _PROBABLY_CODE = 0.06, 0.3, 0.15
"""Shares of lines that begin like code."""
_MAGIKA_NAMES = {
    "cs": "csharp",
    "shell": "bash",
    "objectivec": "objective-c",
    "vba": "vbnet",
    "lisp": "common-lisp",
}


def code_share(text: str) -> float:
    """Share of the first lines that begin as lines of code do: with a keyword, a tag, a comment or a bracket."""
    head = f"\n{text[:HEAD]}"
    lines = len(_LINE.findall(head))
    return len(_CODE_LINE.findall(head)) / max(1, lines)


def code(text: str, certain: bool = False) -> Code:
    """Whether a text is code, and in which language; `certain`: it is known to be code.

    By `code_share` where that is clear; between, and for the language, by magika (the extra `detect`). Without it
    the share decides alone, and the language is `unknown`.
    """
    share = code_share(text)
    if not certain and share < _SURELY_TEXT:
        return Code(False, "", "rules")
    label, is_code = _magika(text)
    if not label:
        return Code(certain or share >= _PROBABLY_CODE, UNKNOWN, "rules")
    if not (certain or is_code or share >= _SURELY_CODE):
        return Code(False, "", "magika")
    language = languages.programming(_MAGIKA_NAMES.get(label, label)) if is_code else None
    return Code(True, language or UNKNOWN, "magika")


def _magika(text: str) -> tuple[str, bool]:
    """(magika's label, whether it is one of code); ("", False) without the library."""
    model = _model()
    if model is None:
        return "", False
    output = model.identify_bytes(text[: 2 * HEAD].encode("utf-8", "replace")).output
    return str(output.label), output.group == "code"


@functools.cache
def _model() -> Any:
    """Magika, or None where it is not installed."""
    try:
        from magika import Magika
    except ImportError:
        return None
    return Magika()


# ---- natural languages

_HAN = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]")
_KANA = re.compile(r"[\u3040-\u30ff]")
_LETTER = re.compile(r"[^\W\d_]")
_WORD = re.compile(r"[^\W\d_]+")
_ENGLISH = re.compile(r"(?i)\b(?:the|of|and|to|that|with|this|you|not|for|it|are|by)\b")
_ENGLISH_SHARE = 0.12  # of the words; none of 1,603 texts of 600 characters in 88 other languages has so many
_SHORT = 200  # characters under which English has the benefit of the doubt ...
_DOUBT = 10.0  # ... of so many nats of py3langid's log probability


def natural_language(text: str) -> str:
    """ISO 639-1 code of a text (three letters where there are no two).

    A text with so many of the commonest English words as only English has is `en`; others are asked of py3langid.
    Text where at least a tenth of the letters are Chinese characters is `zh`, with kana among them `ja`: a
    Chinese text full of English names is Chinese. A short text is English unless something else is much more
    likely, and so is one without letters.
    """
    head = text.strip()[:LANGUAGE_HEAD]
    if han := len(_HAN.findall(head)):
        letters = len(_LETTER.findall(head))
        if han >= 0.1 * letters:
            return "ja" if len(_KANA.findall(head)) >= 0.1 * letters else "zh"
    if len(head) >= _SHORT and len(_ENGLISH.findall(head)) >= _ENGLISH_SHARE * len(_WORD.findall(head)):
        return "en"
    import py3langid

    found = py3langid.classify(head)[0]
    if len(head) < _SHORT and found != "en":
        scores = dict(py3langid.rank(head))
        found = "en" if scores["en"] >= scores[found] - _DOUBT else found
    return languages.natural(found) or "en"
