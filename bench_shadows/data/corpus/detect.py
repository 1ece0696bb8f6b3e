"""What a text is, where the data does not say: exercise, code or text, and in which language.

Every detector looks at a bounded part of the text, and cheap rules come first: on prose and on most code nothing
else runs. `scripts/measure_detectors.py` measures them on labelled samples (2,614 documents of the built-in
corpus, 300 of each domain; 1,588 of Django's translations into 80 languages), in November 2026:

- kind: prose, plays, verse, scripture, dialogue and reviews are called text in 99.5 %, technical documentation in
  96.3 % (85.5 % without magika), code code in 88.0 % (86.5 %; it has 444 languages, many of them hardly code),
  exercises exercises in 97.7 % (the rest has lost its task). No code and 0.2 % of text is called an exercise.
- natural language: English 99.6 %, from 100 characters 99.3 %, from 30 characters 99.1 %; Chinese 100 %; Django's
  translations 98.9 % of 300 characters, 97.6 % of 100, 92.9 % of 30 (most mistakes: Bosnian and Croatian).
- programming language: Python 96.7 %, JavaScript all; of 62 languages 77 % of documents right, 12 % unknown.
- speed, MB/s on one thread of a busy machine: exercises 45, natural language 30, kind 3.3 (of prose alone 12;
  without magika 25), where a byte-level BPE encodes 1.4.
"""

import functools
import re
from typing import Any, NamedTuple

from bench_shadows.data.corpus import languages

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
_LINE = re.compile(r"\n[ \t\r]*[^ \t\r\n]")
_BEGINS = re.compile(
    rf"\n[ \t]*(?:(?:{'|'.join(_KEYWORDS.split())})\b(?!,| [a-z]+ [a-z]+ [a-z]+)"
    r"|[#%]\w+|@\w+|//|/\*|\*/|--|;;|<[/!?\w]|[})\]{])"
)
_ENDS = re.compile(r"[{};:,()\[\]>=\\][ \t\r]*\n")
_WORDS = re.compile(r" [^\W\d_]\w*,? [^\W\d_]\w*,? [^\W\d_]\w* ")
_WORDS_WEIGHT = 20.0
"""Fitted, as the equal weights of beginnings and ends are, by logistic regression on the built-in corpus."""
_TEXT_BELOW, _CODE_FROM, _ALONE = 0.05, 0.6, 0.3
"""Codeness under which a text is no code, from which it is, and which parts both where there is no magika."""
_SIGNATURES = {
    "python": re.compile(
        r"\n(?:from [\w.]+ import [\w(*]|import \w+(?:\.\w+)*(?: as \w+)?\n| *elif [^\n]*:\n"
        r"| *(?:async )?def \w+\([^\n]*\)(?: ->[^\n]*)?:\n| *class \w+(?:\([^\n]*\))?:\n)"
    ),
    "javascript": re.compile(
        r"\n *(?:(?:const|let|var) [\w{} ,]+ = require\(['\"]|export default |module\.exports = "
        r"|['\"]use strict['\"]|import [\w{} ,*]+ from ['\"]"
        r"|(?:const|let|var) \w+ = (?:async )?(?:function ?\(|\([\w, ]*\) =>))"
    ),
}
"""Lines that only these languages have, nearly; they are met most often, and magika takes its time."""
_MAGIKA_NAMES = {
    "cs": "csharp",
    "shell": "bash",
    "objectivec": "objective-c",
    "vba": "vbnet",
    "lisp": "common-lisp",
}


def codeness(text: str) -> float:
    """How much the first lines look like code, from below 0 (prose) to 2.

    The share of lines that begin as lines of code do (with a keyword, a tag, a comment, a bracket), plus the share
    that end so, less the runs of three plain words in a character times a weight.
    """
    head = f"\n{text[:HEAD]}\n"
    lines = max(1, len(_LINE.findall(head)))
    like_code = (len(_BEGINS.findall(head)) + len(_ENDS.findall(head))) / lines
    return like_code - _WORDS_WEIGHT * len(_WORDS.findall(head)) / len(head)


def code(text: str, certain: bool = False) -> Code:
    """Whether a text is code, and in which language; `certain`: it is known to be code.

    By `codeness` and `_SIGNATURES` where they are clear, else by magika (the extra `detect`). Without it
    `codeness` decides alone, and other languages are `unknown`.
    """
    found = codeness(text)
    if not certain and found < _TEXT_BELOW:
        return Code(False, "", "rules")
    if certain or found >= _CODE_FROM:
        head = f"\n{text[:HEAD]}"
        if language := next((name for name, line in _SIGNATURES.items() if line.search(head)), None):
            return Code(True, language, "rules")
    if (model := _magika()) is None:
        return Code(certain or found >= _ALONE, UNKNOWN, "rules")
    output = model.identify_bytes(text[: 2 * HEAD].encode("utf-8", "replace")).output
    label, is_code = str(output.label), output.group == "code"
    if not (certain or is_code or found >= _CODE_FROM):
        return Code(False, "", "magika")
    language = languages.programming(_MAGIKA_NAMES.get(label, label)) if is_code else None
    return Code(True, language or UNKNOWN, "magika")


@functools.cache
def _magika() -> Any:
    """Magika on one thread, or None where it is not installed.

    A text is small: more threads only wait for each other, and workers read many parts at a time.
    """
    try:
        import magika
        import onnxruntime
    except ImportError:
        return None

    class OneThread(magika.Magika):
        def _init_onnx_session(self) -> Any:
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = options.inter_op_num_threads = 1
            return onnxruntime.InferenceSession(self._model_path, options, providers=["CPUExecutionProvider"])

    return OneThread()


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
