"""Code by its grammar: where its top-level definitions begin, and how much of a text is not of a language.

The grammars are tree-sitter's; a language that has none there has no answer here (None), never a guess.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from bench_shadows.errors import ConfigError

# Names that documents use (Pygments') where tree-sitter's differ by more than signs.
_NAMES = {"c++": "cpp", "c#": "csharp", "f#": "fsharp", "objective-c": "objc", "shell": "bash"}
_NAMES |= {"js": "javascript", "ts": "typescript", "emacs-lisp": "elisp", "html+django": "html"}


def wrong_bytes(text: str, language: str) -> int | None:
    """UTF-8 bytes of `text` that the language's grammar has no place for; None without a grammar."""
    tree = _tree(text, language)
    if tree is None:
        return None
    wrong, pending = 0, [tree.root_node]
    while pending:
        node = pending.pop()
        if node.is_error:
            wrong += node.end_byte - node.start_byte
        elif node.is_missing:
            wrong += 1
        elif node.has_error:
            pending.extend(node.children)
    return wrong


def definitions(text: str, language: str) -> list[str] | None:
    """`text` cut where top-level definitions and statements begin; None without a grammar.

    A comment or a decorator stays with what follows it. The parts together are the text.
    """
    tree = _tree(text, language)
    if tree is None:
        return None
    data = text.encode()
    starts = [0, *_starts(tree.root_node.children, data), len(data)]
    return [data[start:stop].decode() for start, stop in pairwise(starts) if stop > start]


def _starts(nodes: list[Any], data: bytes) -> Iterator[int]:
    """Byte offsets of lines at which a top-level node begins that no comment stands directly above."""
    last, comment = 0, False
    for node in nodes:
        start = data.rfind(b"\n", 0, node.start_byte) + 1
        if start > last and not comment and not data[start : node.start_byte].strip():
            yield start
            last = start
        comment = "comment" in node.type or (comment and node.type.startswith(("attribute", "decorator")))


def _tree(text: str, language: str) -> Any:
    try:
        from tree_sitter_language_pack import get_parser
    except ImportError as error:
        raise ConfigError(
            'the teacher\'s replies in code are checked with tree-sitter: pip install "bench-shadows[teacher]"'
        ) from error
    name = language.lower()
    try:
        parser = get_parser(_NAMES.get(name, name.replace("-", "")))  # type: ignore[arg-type]
    except LookupError:
        return None
    return parser.parse(text.encode())
