"""Which rules a document is rewritten by."""

import dataclasses
from collections.abc import Callable

from bench_shadows.data.document import Document
from bench_shadows.data.teacher.builtin.canonical import canonical_code
from bench_shadows.data.teacher.builtin.chinese import rewrite_chinese
from bench_shadows.data.teacher.builtin.english import rewrite_english
from bench_shadows.data.teacher.builtin.plain import Counter, plain
from bench_shadows.data.teacher.outcome import Rewritten

_TEXT: dict[str, Callable[[str, Counter], str]] = {"en": rewrite_english, "zh": rewrite_chinese}


def rewrite(document: Document) -> Document:
    """The document with its text rewritten; id, domain, language, kind and source stay."""
    result = rewrite_counted(document).document
    assert result is not None  # these rules leave no document out
    return result


def rewrite_counted(document: Document) -> Rewritten:
    """`rewrite`, with what was changed; a text that would come out empty is kept as it was."""
    if document.kind == "exercise":
        return Rewritten(document, "exercise", 0, 0)
    counter = Counter()
    if document.kind == "code":
        text = canonical_code(document.text, document.language, counter)
        if text is None:
            return Rewritten(document, f"no lexer for {document.language}", 0, 0)
    else:
        rules = _TEXT.get(document.language)
        text = rules(document.text, counter) if rules else plain(document.text)
    if not text.strip():
        return Rewritten(document, "nothing left", counter.words, 0)
    return Rewritten(dataclasses.replace(document, text=text), "rewritten", counter.words, counter.changed)
