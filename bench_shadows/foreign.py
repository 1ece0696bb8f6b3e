"""One guard for names and numbers that we did not make, before they are written, printed or computed with."""

import re

LARGEST = 2**63 - 1
"""The largest integer of a file or a command line that is taken for a number."""
LONGEST = 200
"""Characters of a foreign text that a message shows."""


def is_text(text: str) -> bool:
    """Whether a text can be written as UTF-8; half of a surrogate pair, or a byte of no UTF-8, cannot."""
    return not re.search("[\ud800-\udfff]", text)


def shown(value: object) -> str:
    """A foreign value as a message shows it: one line of plain characters, quoted, not longer than `LONGEST`."""
    if isinstance(value, int) and abs(value) > LARGEST:
        return "an integer of more than 18 digits"  # Python refuses to write one of more than 4,300
    text = ascii(value) if isinstance(value, str) and not is_text(value) else repr(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 20]} ... ({len(text):,} characters)"
