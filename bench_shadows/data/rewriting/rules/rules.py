"""Condition D's built-in teacher: rewrites a document towards the frequent and the canonical, offline.

It stands in for the paper's 30B teacher (appendix A.1). Deterministic: the same document always gives the same
text, on every machine.

- English text (`english.py`): lemmas, plainer synonyms for rare words, one form of sentences and signs.
- Chinese text (`chinese.py`): a rare word becomes a much more frequent word inside it; simplified characters;
  one form of punctuation.
- Other text: punctuation and white space only.
- Code (`canonical.py`): own names v1, v2, ...; no comments; one layout. It stays in its language.
- Exercises: byte for byte as they are.

What it is not. It does not understand: a word is replaced by what its most tagged sense in WordNet says, in every
place, so a rarer sense comes out wrong; inflection goes, and with it tense and the difference between `was
eating` and `was eaten`; nothing is summed up, reordered or explained; passives and inversions stay. Names are told
by their capitals alone. The paper's teacher narrows sentences, style and content, and turns all code into one
language; this one narrows words and forms.
"""

import dataclasses
from collections.abc import Callable

from bench_shadows.data.corpus.document import Document
from bench_shadows.data.rewriting.endpoint.outcome import Rewritten
from bench_shadows.data.rewriting.rules.canonical import canonical_code
from bench_shadows.data.rewriting.rules.chinese import rewrite_chinese
from bench_shadows.data.rewriting.rules.english import rewrite_english
from bench_shadows.data.rewriting.rules.plain import Counter, plain

_TEXT: dict[str, Callable[[str, Counter], str]] = {"en": rewrite_english, "zh": rewrite_chinese}


def rewrite(document: Document) -> Document:
    """The document with its text rewritten; all else stays."""
    result = rewrite_counted(document).document
    assert result is not None  # these rules leave no document out
    return result


def rewrite_counted(document: Document) -> Rewritten:
    """`rewrite`, with what was changed; a text that would come out empty is kept as it was.

    Outcomes: `exercise`; for text `rewritten`; for code `canonical code`, or `no lexer` where it stays as it was;
    `nothing left`.
    """
    if document.kind == "exercise":
        return Rewritten(document, "exercise", 0, 0)
    counter = Counter()
    if document.kind == "code":
        code = canonical_code(document.text, document.language, counter)
        if code is None:
            return Rewritten(document, "no lexer", 0, 0)
        return _rewritten(document, code, "canonical code", counter)
    rules = _TEXT.get(document.language)
    text = rules(document.text, counter) if rules else plain(document.text)
    return _rewritten(document, text, "rewritten", counter)


def _rewritten(document: Document, text: str, outcome: str, counter: Counter) -> Rewritten:
    if not text.strip():
        return Rewritten(document, "nothing left", counter.words, 0)
    return Rewritten(dataclasses.replace(document, text=text), outcome, counter.words, counter.changed)
