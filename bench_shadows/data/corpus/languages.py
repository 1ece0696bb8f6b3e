"""Names of languages, made one: ISO 639 codes for what people speak, Pygments' names for what machines read."""

import functools
import re

_ENDINGS = """
ada: adb ads; bash: sh bash; c: c h; clojure: clj cljs; cmake: cmake; common-lisp: lisp cl;
cpp: cc cpp cxx hh hpp hxx; csharp: cs; css: css scss less; cuda: cu cuh; d: d; dart: dart; elixir: ex exs;
emacs-lisp: el; erlang: erl hrl; fortran: f f90 f95 f03 f08; fsharp: fs fsx; go: go; groovy: groovy gradle;
haskell: hs; html: html htm; java: java; javascript: js mjs cjs jsx; julia: jl; kotlin: kt kts; lean: lean;
lua: lua; make: mk mak; matlab: m; nix: nix; objective-c: mm; ocaml: ml mli; delphi: pas; perl: pl pm; php: php;
powershell: ps1; protobuf: proto; python: py pyi pyx; r: r; ruby: rb; rust: rs; scala: scala sc; scheme: scm ss;
solidity: sol; sql: sql; swift: swift; tcl: tcl; toml: toml; typescript: ts tsx; verilog: v sv; vhdl: vhd vhdl;
vue: vue; xml: xml xsd xsl; yaml: yaml yml; zig: zig
"""
CODE_ENDINGS = {
    f".{ending}": language.strip()
    for language, endings in (entry.split(":") for entry in _ENDINGS.split(";"))
    for ending in endings.split()
}
"""Ending of a file's name -> language. Where an ending is used for several, the one that is met most often."""
_USUAL = {"splus": "r", "cr": "crystal", "nimrod": "nim", "nixos": "nix"}  # Pygments begins with older names


@functools.cache
def natural(name: str) -> str | None:
    """ISO 639-1, or three letters where it has none: `en` for `EN-us` and `eng`, `zh` for `cmn`; None: unknown."""
    import langcodes

    tag = name.strip().replace("_", "-")
    try:
        if langcodes.tag_is_valid(tag):
            code = langcodes.Language.get(langcodes.standardize_tag(tag, macro=True)).language
            return None if code in ("und", "zxx", "mul", "mis") else code  # no one language
    except ValueError:
        pass
    return None


@functools.cache
def programming(name: str) -> str | None:
    """The name that Pygments knows a programming language by (`cpp` for `C++`, `python` for `py`), or None."""
    from pygments.lexers import find_lexer_class_by_name
    from pygments.util import ClassNotFound

    for spelling in (name.strip().lower(), re.sub(r"\s+", "-", name.strip().lower())):
        try:
            lexer = find_lexer_class_by_name(spelling)
        except ClassNotFound:
            continue
        return _USUAL.get(lexer.aliases[0], lexer.aliases[0])
    return None


@functools.cache
def is_spoken(name: str) -> bool:
    """Whether a name is rather that of a natural language: `cs` is Czech, but `lua` and `css` are code's."""
    return natural(name) is not None and (len(name.strip()) == 2 or programming(name) is None)


@functools.cache
def of_code(name: str) -> str | None:
    """The language of code: Pygments' name, or the name as it is where Pygments has none; None: not a name."""
    if known := programming(name):
        return known
    tidy = re.sub(r"\s+", "-", name.strip().lower())
    return tidy if re.fullmatch(r"[a-z][a-z0-9+#.*_/-]{0,39}", tidy) else None
