"""One guard for names and numbers that we did not make, before they are written, printed or computed with."""

import re

# Before an @ in the host's place; a secret may hold slashes, a port is no secret.
_USER = re.compile(r"://(?:[^/?#\s@]*@|[^/?#\s@:]+:(?!\d+/)[^@?#\s]*@)")
_QUERY = re.compile(
    r"://\S*[?&](?:sig|[\w-]*(?:secret|password|passwd|access_?key|api_?key|token|signature|credential)[\w-]*)=",
    re.IGNORECASE,
)
LARGEST = 2**63 - 1
"""The largest integer of a file or a command line that is taken for a number."""
LONGEST = 200
"""Characters of a foreign text that a message shows."""


def holds_credentials(text: str) -> bool:
    """Whether an address in a text has a name or a key in it: `s3://KEY:SECRET@bucket`, `https://host/?token=T`."""
    return bool(_USER.search(text) or _QUERY.search(text))


def is_text(text: str) -> bool:
    """Whether a text can be written as UTF-8; half of a surrogate pair, or a byte of no UTF-8, cannot."""
    return not re.search("[\ud800-\udfff]", text)


def shown(value: object) -> str:
    """A foreign value as a message shows it: one line of plain characters, quoted, not longer than `LONGEST`."""
    if isinstance(value, int) and abs(value) > LARGEST:
        return "an integer of more than 18 digits"  # Python refuses to write one of more than 4,300
    text = ascii(value) if isinstance(value, str) and not is_text(value) else repr(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 20]} ... ({len(text):,} characters)"
