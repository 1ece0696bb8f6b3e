"""Chinese by frequency."""

import functools
import logging
import re
import unicodedata

from bench_shadows.data.rewriting.rules.plain import Counter, layout, zipf

_HAN_RUN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]+")
_HAN = r"[\u3400-\u4dbf\u4e00-\u9fff]"
_BETWEEN_HAN = re.compile(rf"(?<={_HAN})[ \u3000]+(?={_HAN})")
_ASCII_MARK = re.compile(rf"(?<={_HAN})(?:([,;:!?])|\.(?![A-Za-z0-9.]))")
_FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F) if chr(code - 0xFEE0).isalnum()} | {
    0x3000: 32
}
_MARKS = {",": "，", ";": "；", ":": "：", "!": "！", "?": "？"}
_REPEATED_MARK = re.compile(r"([，。！？；：、～~!?,])\1+")
RARE_CHINESE = 4.5
"""Zipf frequency below which a Chinese word is replaced ..."""
MORE_FREQUENT = 1.0
"""... by a word inside it that is at least so much more frequent (10 times)."""


def rewrite_chinese(text: str, counter: Counter) -> str:
    text = unicodedata.normalize("NFC", text).translate(_FULL_WIDTH)
    text = _BETWEEN_HAN.sub("", text)
    text = _REPEATED_MARK.sub(r"\1", text)
    text = _ASCII_MARK.sub(lambda match: _MARKS.get(match[1], "。"), text)
    return layout(_HAN_RUN.sub(lambda run: _chinese_run(run[0], counter), text))


def _chinese_run(run: str, counter: Counter) -> str:
    from wordfreq.chinese import simplify_chinese

    return "".join(counter.count(word, _chinese_word(simplify_chinese(word))) for word in _segment(run))


def _segment(run: str) -> list[str]:
    import jieba
    from wordfreq.chinese import jieba_tokenize

    jieba.setLogLevel(logging.WARNING)  # it reports the loading of its dictionary otherwise
    return jieba_tokenize(run)


@functools.lru_cache(maxsize=2**17)
def _chinese_word(word: str) -> str:
    """A rare word's most frequent beginning or end; of a word of three or more characters at least two stay."""
    frequency = zipf(word, "zh")
    if len(word) < 2 or not 0 < frequency < RARE_CHINESE:  # what the list does not know may be a name
        return word
    shortest = 1 if len(word) == 2 else 2
    parts = [part for cut in range(shortest, len(word)) for part in (word[:cut], word[-cut:])]
    best = max(parts, key=lambda part: zipf(part, "zh"))
    return best if zipf(best, "zh") >= frequency + MORE_FREQUENT else word
