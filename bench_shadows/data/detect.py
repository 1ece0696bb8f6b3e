"""What a text is, where the data does not say."""

import re

CHINESE = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]")
LETTER = re.compile(r"[^\W\d_]")


def language_of(text: str) -> str:
    """`zh` where at least a tenth of the letters of the first 10,000 characters are Chinese, else `en`."""
    head = text[:10_000]
    letters = len(LETTER.findall(head))
    return "zh" if letters and len(CHINESE.findall(head)) >= 0.1 * letters else "en"
