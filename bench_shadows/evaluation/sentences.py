"""Whole sentences of a text, and the words in them that can be replaced without touching anything else."""

import re
from collections import Counter
from collections.abc import Iterator

from bench_shadows.data.statistics import vocabulary

_PARAGRAPH = re.compile(r"\n[ \t]*\n|\n(?=- )")  # in the corpus' dialogues every turn begins with a dash
_ENGLISH = re.compile(r"[^.!?]+[.!?]+[\"'’”)]*(?=\s|$)")
_ENGLISH_PROSE = re.compile(r"[A-Z][A-Za-z ,;:'’\"()—–-]*[.!?]+[\"'’”)]*")
_ABBREVIATION = re.compile(r"\b(?:[A-Za-z]|Mr|Mrs|Ms|Dr|St|Prof|Gen|Col|Capt|vs|etc|cf|No|Fig)\.$")
_ALONE = re.compile(r"[\w'’-]+")  # "self-help" and "o'clock" are one word, and stay whole
_ENGLISH_WORDS = range(6, 21)
_CHINESE = re.compile(r"[^。！？!?\n]+[。！？!?]+")
_CHINESE_PROSE = re.compile(r"[\u4e00-\u9fff，、；：“”《》（）…]+[。！？!?]+")
_CHINESE_CHARACTERS = range(10, 41)


def sentences(text: str, language: str) -> Iterator[str]:
    """The sentences of middle length (6 to 20 words, in Chinese 10 to 40 characters) that are nothing but prose.

    With digits, markup, an unclosed bracket or a quotation mark alone they are left out. Line breaks become
    spaces. A language that is neither English nor Chinese gives none.
    """
    if language == "zh":
        for match in _CHINESE.finditer(text):
            sentence = match.group().strip()
            if len(sentence) in _CHINESE_CHARACTERS and _CHINESE_PROSE.fullmatch(sentence):
                yield sentence
    elif language == "en":
        for paragraph in _PARAGRAPH.split(text):
            for match in _ENGLISH.finditer(paragraph.removeprefix("- ")):
                sentence = " ".join(match.group().split())
                if len(sentence.split()) in _ENGLISH_WORDS and _is_english_prose(sentence):
                    yield sentence


def _is_english_prose(sentence: str) -> bool:
    closed = sentence.count("(") == sentence.count(")") and sentence.count('"') % 2 == 0
    return closed and bool(_ENGLISH_PROSE.fullmatch(sentence)) and not _ABBREVIATION.search(sentence)


def replaceable(sentence: str, language: str) -> Iterator[str]:
    """The words that stand once in a sentence, in small letters and by themselves, in their order."""
    if language == "zh":
        found = vocabulary.split(sentence, language, "text")
        yield from (word for word in found if sentence.count(word) == 1)
        return
    found = _ALONE.findall(sentence)
    times = Counter(word.casefold() for word in found)
    yield from (word for word in found if word.isalpha() and word.islower() and times[word] == 1)


def replaced(sentence: str, word: str, other: str, language: str) -> str:
    """The sentence with `other` where `word` stands; `word` is one of its replaceable ones."""
    if language == "zh":
        return sentence.replace(word, other)
    return _ALONE.sub(lambda match: other if match.group() == word else match.group(), sentence)
