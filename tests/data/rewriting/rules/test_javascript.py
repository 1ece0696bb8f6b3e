"""Python programs become JavaScript that gives the same results, or are refused with a reason."""

import ast
import gzip
import importlib
import inspect
import json
import math
import random
import shutil
import string
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from javascript_functions import FUNCTIONS
from node_programs import Program, in_node, in_python, same

from bench_shadows.data.corpus.document import Document
from bench_shadows.data.rewriting.rules import rewrite_counted
from bench_shadows.data.rewriting.rules.javascript import NotConvertedError, to_javascript

needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="needs node")


def body(source: str) -> str:
    """The JavaScript without its import and its export."""
    lines = to_javascript(source).splitlines()
    return "\n".join(line for line in lines if not line.startswith(("import ", "export ")) and line)


@pytest.mark.parametrize(
    ("python", "javascript"),
    [
        ("x = 'a'\ny = x + 'b'", 'let x = "a";\nlet y = x + "b";'),
        ("for i in range(3):\n    print('a')", 'for (const i of py.steps(3)) {\n    console.log("a");\n}'),
        ("x = [n for n in [1] if n]", "let x = [1].filter((n) => py.truth(n));"),
        ("x = None if not [] else True", "let x = !([].length > 0) ? null : true;"),
        ("x = 7 // 2 % -3 ** 2", "let x = py.mod(py.floordiv(7, 2), -py.pow(3, 2));"),
        ("x = 9007199254740993", "let x = 9007199254740993n;"),
        ("def f(a, new=1):\n    return a", "function f(a, new_ = 1) {\n    return a;\n}"),
        ("x = f'{3.5:.1f} {1}'", "let x = `${py.format(3.5, `.1f`, true)} ${py.str(1)}`;"),
    ],
)
def test_what_javascript_does_alike_is_plain_and_the_rest_is_called(python: str, javascript: str) -> None:
    assert body(python) == javascript


@pytest.mark.parametrize(
    ("python", "reason"),
    [
        ("import os\nos.getcwd()", "an import"),
        ("with x:\n    pass", "with"),
        ("@cache\ndef f():\n    return 1", "a decorator"),
        ("def f(x=[]):\n    return x", "a default that is no constant"),
        ("def f(x):\n    return str(x / 2 if x else x)", "a number of unknown kind is written"),
        ("for x in {1, 2}:\n    print(x)", "the order of a set"),
        ("def f(**k):\n    return k", "keyword arguments of any name"),
        ("x = '%d' % 3", "formatting with %"),
        ("print(open('x'))", "the function open"),
        ("def f(:", "no Python 3"),
        ("'only text'", "nothing but text"),
    ],
)
def test_what_is_outside_the_subset_is_refused_with_a_reason(python: str, reason: str) -> None:
    with pytest.raises(NotConvertedError, match=f"^{reason}$"):
        to_javascript(python)


def test_a_converted_document_is_javascript_and_another_says_why_not() -> None:
    def outcome(text: str) -> tuple[str, str]:
        result = rewrite_counted(Document("id", text, "code", "python", "code", "source"))
        assert result.document is not None
        return result.outcome, result.document.language

    assert outcome("x = 1\n") == ("converted to JavaScript", "javascript")
    assert outcome("import os\nos.x()\n") == ("not converted: an import", "python")


def test_every_function_of_the_list_is_converted() -> None:
    assert len(FUNCTIONS) >= 100
    for source, _, _ in FUNCTIONS:
        assert to_javascript(source).startswith(("import * as py", "function"))


def differing(programs: list[Program], folder: Path, names: dict[str, Any] | None = None) -> list[str]:
    """The programs of which a call gives another result, other errors or other arguments in Node."""
    theirs = iter(in_node(programs, folder, to_javascript))
    wrong = []
    for program in programs:
        for call, ours in zip(program.calls, in_python(program, names), strict=True):
            other = next(theirs)
            if not same(ours, other):
                wrong.append(f"{program.name}{tuple(call)}: {ours} in Python, {other} in Node\n{program.source}")
    return wrong


@pytest.mark.peers
@needs_node
def test_functions_give_the_same_results_in_node(tmp_path: Path) -> None:
    programs = [Program(*one) for one in FUNCTIONS]
    assert sum(len(program.calls) for program in programs) >= 500
    assert differing(programs, tmp_path) == []


@pytest.mark.peers
@needs_node
def test_functions_of_the_standard_library_give_the_same_results_in_node(tmp_path: Path) -> None:
    rng = random.Random(0)

    def numbers() -> list[int]:
        return sorted(rng.choices(range(20), k=9))

    def shares() -> list[float]:
        return [rng.random(), rng.random(), rng.random()]

    arguments: dict[str, Callable[[], list[Any]]] = {
        "bisect.bisect_left": lambda: [numbers(), rng.randrange(-1, 22)],
        "bisect.bisect_right": lambda: [numbers(), rng.randrange(-1, 22)],
        "heapq._siftdown": lambda: [numbers(), 0, rng.randrange(9)],
        "heapq._siftup": lambda: [numbers()[::-1], rng.randrange(9)],
        "heapq._siftdown_max": lambda: [numbers(), 0, rng.randrange(9)],
        "operator.countOf": lambda: [rng.choices(range(3), k=9), 1],
        "operator.indexOf": lambda: [rng.choices(range(3), k=3), 1],
        "colorsys.rgb_to_yiq": shares,
        "colorsys.yiq_to_rgb": shares,
        "colorsys.rgb_to_hsv": shares,
        "colorsys.hsv_to_rgb": shares,
        "calendar.isleap": lambda: [rng.randrange(1000, 3000)],
        "calendar.leapdays": lambda: [rng.randrange(1900, 2000), rng.randrange(2000, 2100)],
        "textwrap.indent": lambda: [rng.choice(["", "a", "a\nb\n", "a\n\n  b"]), "> "],
        "ntpath.splitdrive": lambda: [rng.choice(["c:\\a", "a", "//host/share/x"])],
        "difflib._calculate_ratio": lambda: [rng.randrange(9), rng.randrange(9, 20)],
        "statistics._fail_neg": lambda: [[1, 2, 3], "negative"],
    }
    programs = []
    for name, make in arguments.items():
        source = _source_of(name)
        try:
            to_javascript(source)
        except NotConvertedError:
            continue
        programs.append(Program(source, name.partition(".")[2], [make() for _ in range(20)]))
    assert len(programs) >= 12
    assert differing(programs, tmp_path) == []


def _source_of(name: str) -> str:
    """The Python source of a function of the standard library, where a C version stands before it too."""
    module, _, function = name.partition(".")
    path = Path(str(importlib.import_module(module).__file__))
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return next(ast.unparse(node) for node in tree.body if getattr(node, "name", "") == function)


@pytest.mark.peers
@pytest.mark.network
@pytest.mark.slow
@needs_node
def test_programs_of_the_built_in_corpus_give_the_same_results_in_node(tmp_path: Path) -> None:
    """The worked tasks of the corpus with inputs by their own generators, where their code is of the subset."""
    from bench_shadows.data.corpus.builtin import archives, builtin

    archive = next(archive for archive, _ in builtin.load_recipe() if archive.name == "reasoning-gym")
    path = archives.fetch([archive], builtin.cache_folder() / "archives")[archive]
    with zipfile.ZipFile(path) as file:
        lines = gzip.decompress(file.read("reasoning_gym/data/codeio.jsonl.gz")).decode().split("\n")
    programs = []
    for number, task in enumerate(json.loads(line) for line in lines[:600] if line):
        try:
            to_javascript(task["code_sample"])
        except NotConvertedError:
            continue
        program = _program(task, random.Random(number))
        if program:
            programs.append(program)
    assert len(programs) >= 150
    wrong = differing(programs, tmp_path)
    assert len(wrong) <= 0.01 * len(programs), "\n".join(wrong)


def _program(task: dict[str, str], rng: random.Random) -> Program | None:
    """The task with five inputs; None where its generator needs more than the standard library's numbers."""
    names: dict[str, Any] = {"Random": random.Random, "random": random, "math": math, "string": string}
    try:
        exec(task["input_generator"], names)
        space: dict[str, Any] = {}
        exec(task["code_sample"], space)
        order = list(inspect.signature(space["main_solution"]).parameters)
        inputs = [names["generate_inputs"](rng) for _ in range(5)]
        return Program(task["code_sample"], "main_solution", [[one[name] for name in order] for one in inputs])
    except Exception:
        return None
