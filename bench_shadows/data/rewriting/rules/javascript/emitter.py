"""Python programs of the common subset as JavaScript, by their syntax tree."""

import ast
import warnings
from collections.abc import Iterable, Iterator

from bench_shadows.data.rewriting.rules.javascript.expressions import ERRORS, MATH
from bench_shadows.data.rewriting.rules.javascript.scopes import (
    Kinds,
    NotConvertedError,
    Scope,
    bound_names,
    javascript_name,
    makes_floats,
    makes_sets,
    outer_names,
    own_nodes,
)
from bench_shadows.data.rewriting.rules.javascript.statements import Statements

RUNTIME = "./python.mjs"
_TYPING = frozenset(("__future__", "typing", "collections.abc"))
_SPECIAL = frozenset(("__init__", "__str__", "__repr__", "__len__", "__eq__", "__bool__"))
_LONGEST = 100_000


def to_javascript(source: str) -> str:
    """The program as an ES module that gives the same results.

    Raises NotConvertedError, with the reason in a few words, where a part of it is outside the subset.
    """
    if len(source) > _LONGEST:
        raise NotConvertedError("longer than 100,000 characters")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the program's own escapes
            module = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise NotConvertedError("no Python 3") from error
    try:
        return Emitter(module).module(module)
    except RecursionError as error:
        raise NotConvertedError("nested too deeply") from error


class Emitter(Statements):
    """Writes statements, four spaces a level."""

    def __init__(self, module: ast.Module) -> None:
        super().__init__(makes_floats(module), makes_sets(module))
        tops = module.body
        self.classes = {node.name: node for node in tops if isinstance(node, ast.ClassDef)}
        self.functions = {node.name: node for node in tops if isinstance(node, ast.FunctionDef)}
        bound = bound_names(module)
        once = {name for name, nodes in bound.items() if len(nodes) == 1}
        inner = {name for node in ast.walk(module) if isinstance(node, ast.FunctionDef) for name in _locals(node)}
        self.functions = {name: node for name, node in self.functions.items() if name in once - inner}
        if set(self.classes) - (once - inner):
            raise NotConvertedError("a class whose name has another meaning")
        self._loops: list[str | None] = []

    def module(self, module: ast.Module) -> str:
        """The whole program."""
        used = {node.id for node in ast.walk(module) if isinstance(node, ast.Name)}
        body = [node for node in module.body if not self._takes_import(node, used)]
        self.kinds = Kinds(None, module)
        lines = list(self._body(ast.Module(body, []), body, ""))
        public = sorted((*self.functions, *self.classes))
        if public:
            lines += ["", f"export {{ {', '.join(map(javascript_name, public))} }};"]
        text = "\n".join(lines)
        if not text.strip():
            raise NotConvertedError("nothing but text")
        head = f'import * as py from "{RUNTIME}";\n\n' if "py." in text else ""
        return head + text.strip("\n") + "\n"

    def _takes_import(self, node: ast.stmt, used: set[str]) -> bool:
        """Takes in an import of the module's head, drops one that nothing uses; False for other statements."""
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
            if not names & used and "*" not in names:
                return True
        if isinstance(node, ast.ImportFrom) and node.module in _TYPING and not node.level:
            return True
        if isinstance(node, ast.ImportFrom) and node.module == "math" and not node.level:
            self.math |= {alias.asname or alias.name: alias.name for alias in node.names}
            unknown = set(self.math.values()) - MATH
            if unknown:
                raise NotConvertedError(f"math.{min(unknown)}")
            return True
        if isinstance(node, ast.Import) and {alias.name for alias in node.names} <= {"math", "typing"}:
            self.modules |= {alias.asname or alias.name for alias in node.names if alias.name == "math"}
            return True
        return False

    # ---- scopes

    def _body(self, scope: Scope, body: list[ast.stmt], indent: str, given: Iterable[str] = ()) -> Iterator[str]:
        """The statements of a scope, with its names declared."""
        bound = bound_names(scope)
        defined = {
            name
            for name, nodes in bound.items()
            if any(isinstance(n, ast.FunctionDef | ast.ClassDef) for n in nodes)
        }
        errors = {name for name, nodes in bound.items() if all(isinstance(n, ast.ExceptHandler) for n in nodes)}
        own = set(bound) - errors - set(given) - outer_names(scope)
        if isinstance(scope, ast.Module):  # a function may make a global that the module itself never binds
            functions = [node for node in ast.walk(scope) if isinstance(node, ast.FunctionDef)]
            own |= {
                name
                for node in functions
                for part in own_nodes(node)
                if isinstance(part, ast.Global)
                for name in part.names
            }
        if any(name in defined and len(nodes) > 1 for name, nodes in bound.items()):
            raise NotConvertedError("a function that is defined twice")
        if any(isinstance(n, ast.FunctionDef) and n not in body for nodes in bound.values() for n in nodes):
            raise NotConvertedError("a function inside a block")
        top = {target.id for node in body if isinstance(node, ast.Assign) and len(node.targets) == 1
               for target in node.targets if isinstance(target, ast.Name)}  # fmt: skip
        first = {name for name in top & own if self._declares(name, body)}
        loops = {name for name in own - top if self._only_in_loops(name, scope)}
        # `const` stands for all names of a loop's target or for none.
        targets = [set(_target_names(node.target)) for node in own_nodes(scope) if isinstance(node, ast.For)]
        while partial := [names for names in targets if names & loops and not names <= loops]:
            loops -= set().union(*partial)
        hoisted = sorted(own - first - loops - defined)
        if hoisted:
            yield f"{indent}let {', '.join(map(javascript_name, hoisted))};"
        self._declared.append(first | loops)
        yield from self._statements(body, indent)
        self._declared.pop()

    def _declares(self, name: str, body: list[ast.stmt]) -> bool:
        """Whether the first statement that has the name is the assignment that can declare it."""
        for node in body:
            names = [part.id for part in ast.walk(node) if isinstance(part, ast.Name)]
            if (
                isinstance(node, ast.Assign)
                and isinstance(node.targets[0], ast.Name)
                and node.targets[0].id == name
            ):
                return names.count(name) == 1
            if name in names:
                return False
        return False

    def _only_in_loops(self, name: str, scope: Scope) -> bool:
        """Whether the name is bound by for loops alone, read inside them alone and in no function made there."""
        stores = [node for node in own_nodes(scope) if isinstance(node, ast.Name) and node.id == name]
        loops = [
            node for node in own_nodes(scope) if isinstance(node, ast.For) and name in _target_names(node.target)
        ]
        inside = {
            id(part)
            for loop in loops
            for part in [*ast.walk(loop.target), *(p for s in loop.body for p in ast.walk(s))]
        }
        targets = {id(part) for loop in loops for part in ast.walk(loop.target)}
        everywhere = [node for node in ast.walk(scope) if isinstance(node, ast.Name) and node.id == name]
        bound = all(id(node) in targets for node in stores if isinstance(node.ctx, ast.Store))
        simple = all(set(_target_names(loop.target)) for loop in loops)
        return (
            bool(loops)
            and bound
            and simple
            and len(stores) == len(everywhere)
            and all(id(n) in inside for n in stores)
        )

    def _statements(self, body: list[ast.stmt], indent: str) -> Iterator[str]:
        for position, node in enumerate(body):
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and position:
                yield ""
            write = getattr(self, f"_{type(node).__name__.lower()}", None)
            if write is None or isinstance(node, ast.expr):
                raise NotConvertedError(_REASONS.get(type(node).__name__, f"statement {type(node).__name__}"))
            yield from write(node, indent)

    # ---- definitions

    def _functiondef(self, node: ast.FunctionDef, indent: str, method: str | None = None) -> Iterator[str]:
        if node.decorator_list and method is None:
            raise NotConvertedError("a decorator")
        if any(isinstance(part, ast.Await | ast.AsyncFor | ast.AsyncWith) for part in ast.walk(node)):
            raise NotConvertedError("asynchronous code")
        outer, self.kinds = self.kinds, Kinds(self.kinds, node)
        loops, self._loops = self._loops, []
        star = "*" if any(isinstance(part, ast.Yield | ast.YieldFrom) for part in own_nodes(node)) else ""
        arguments = self.parameters(node, drop_first=self.self_name is not None and method is not None)
        head = f"function{star} {javascript_name(node.name)}" if method is None else method.replace("*", star)
        yield f"{indent}{head}({arguments}) {{"
        yield from self._documented(node.body, indent + "    ")
        if node.args.vararg:
            name = javascript_name(node.args.vararg.arg)
            yield f"{indent}    {name} = py.tuple({name});"
        body = node.body[1:] if ast.get_docstring(node, clean=False) is not None else node.body
        given = {one.arg for one in ast.walk(node.args) if isinstance(one, ast.arg)}
        lines = list(self._body(node, body, indent + "    ", given))
        yield from lines
        if not star and method != "constructor" and not _ends(body):
            yield f"{indent}    return null;"
        yield f"{indent}}}"
        self.kinds, self._loops = outer, loops

    def _documented(self, body: list[ast.stmt], indent: str) -> Iterator[str]:
        match body:
            case [ast.Expr(value=ast.Constant(value=str(text))), *_]:
                for line in text.replace("*/", "* /").strip().splitlines():
                    yield f"{indent}// {line.strip()}".rstrip()

    def _classdef(self, node: ast.ClassDef, indent: str) -> Iterator[str]:
        if node.decorator_list or node.keywords or len(node.bases) > 1 or indent:
            raise NotConvertedError("a class with decorators, keywords, several bases or inside a function")
        base = ""
        if node.bases and not (isinstance(node.bases[0], ast.Name) and node.bases[0].id == "object"):
            name = node.bases[0].id if isinstance(node.bases[0], ast.Name) else ""
            if name not in self.classes and name not in ERRORS:
                raise NotConvertedError("a base class from elsewhere")
            base = f" extends {javascript_name(name) if name in self.classes else f'py.{name}'}"
        yield f"class {javascript_name(node.name)}{base} {{"
        yield from self._documented(node.body, "    ")
        for part in node.body:
            if isinstance(part, ast.Pass) or (isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant)):
                continue
            if not isinstance(part, ast.FunctionDef):
                raise NotConvertedError("class attributes")
            yield from self._class_method(part, bool(base))
        yield "}"

    def _class_method(self, node: ast.FunctionDef, derived: bool) -> Iterator[str]:
        kind = {"property": "get "}
        decorators = [one.id if isinstance(one, ast.Name) else "" for one in node.decorator_list]
        if len(decorators) > 1 or set(decorators) - set(kind):
            raise NotConvertedError("a decorator")
        if node.name.startswith("__") and node.name not in _SPECIAL:
            raise NotConvertedError(f"the method {node.name}")
        name = node.name
        if name == "__init__":
            if derived and not _calls_super(node):
                raise NotConvertedError("a class that does not call its base's __init__")
            name = "constructor"
        prefix = kind[decorators[0]] if decorators else ""
        outer = self.self_name
        if not node.args.args:
            raise NotConvertedError("a method without self")
        self.self_name = node.args.args[0].arg
        if self.self_name in bound_names(node):
            raise NotConvertedError("self is assigned")
        if any(isinstance(part, ast.FunctionDef) for part in ast.walk(node) if part is not node):
            raise NotConvertedError("a function inside a method")
        yield from self._functiondef(node, "    ", f"{prefix}*{name}" if name != "constructor" else name)
        self.self_name = outer

    # ---- blocks

    def _if(self, node: ast.If, indent: str, head: str = "if") -> Iterator[str]:
        match node.test:
            case ast.Compare(left=ast.Name(id="__name__")):
                raise NotConvertedError("a main program")
        yield f"{indent}{head} ({self.condition(node.test)}) {{"
        yield from self._statements(node.body, indent + "    ")
        match node.orelse:
            case []:
                yield f"{indent}}}"
            case [ast.If() as other]:
                yield from self._if(other, indent, "} else if")
            case _:
                yield f"{indent}}} else {{"
                yield from self._statements(node.orelse, indent + "    ")
                yield f"{indent}}}"

    def _while(self, node: ast.While, indent: str) -> Iterator[str]:
        yield from self._loop(node, f"while ({self.condition(node.test)})", indent)

    def _for(self, node: ast.For, indent: str) -> Iterator[str]:
        names = _target_names(node.target)
        const = bool(self._declared) and bool(names) and all(name in self._declared[-1] for name in names)
        if self.kinds.of(node.iter) == "set":
            raise NotConvertedError("the order of a set")
        code = self.expr(node.iter)
        if code.startswith("py.range("):
            code = "py.steps(" + code.removeprefix("py.range(")  # one at a time: the loop may end early
        live = code if code.startswith(("py.steps(", "py.enumerate(", "py.zip(", "[")) else f"py.iter({code})"
        if isinstance(node.target, ast.Name | ast.Tuple | ast.List) and names:
            target = self.target(node.target)
            yield from self._loop(node, f"for ({'const ' if const else ''}{target} of {live})", indent)
            return
        raise NotConvertedError("a target that is no name")

    def _loop(self, node: ast.For | ast.While, head: str, indent: str) -> Iterator[str]:
        flag = None
        if node.orelse:
            self._flags += 1
            flag = f"done{self._flags}"
            yield f"{indent}let {flag} = true;"
        self._loops.append(flag)
        yield f"{indent}{head} {{"
        yield from self._statements(node.body, indent + "    ")
        yield f"{indent}}}"
        self._loops.pop()
        if flag:
            yield f"{indent}if ({flag}) {{"
            yield from self._statements(node.orelse, indent + "    ")
            yield f"{indent}}}"

    def _break(self, node: ast.Break, indent: str) -> Iterator[str]:
        if self._loops[-1]:
            yield f"{indent}{self._loops[-1]} = false;"
        yield f"{indent}break;"

    def _continue(self, node: ast.Continue, indent: str) -> Iterator[str]:
        yield f"{indent}continue;"

    def _try(self, node: ast.Try, indent: str) -> Iterator[str]:
        if node.orelse:
            raise NotConvertedError("try with else")
        yield f"{indent}try {{"
        yield from self._statements(node.body, indent + "    ")
        if node.handlers:
            self._flags += 1
            error = f"error{self._flags}"
            yield f"{indent}}} catch ({error}) {{"
            self._errors.append(error)
            yield from self._handlers(node.handlers, error, indent + "    ")
            self._errors.pop()
        if node.finalbody:
            yield f"{indent}}} finally {{"
            yield from self._statements(node.finalbody, indent + "    ")
        yield f"{indent}}}"

    def _handlers(self, handlers: list[ast.ExceptHandler], error: str, indent: str) -> Iterator[str]:
        head = "if"
        for handler in handlers:
            kinds = (
                handler.type.elts
                if isinstance(handler.type, ast.Tuple)
                else [handler.type]
                if handler.type
                else []
            )
            names = [one.id if isinstance(one, ast.Name) else "" for one in kinds]
            if any(name not in ERRORS and name not in self.classes for name in names):
                raise NotConvertedError("an error from elsewhere")
            codes = [f"py.{name}" if name in ERRORS else javascript_name(name) for name in names] or [
                "py.Exception"
            ]
            yield f"{indent}{head} (py.caught({', '.join([error, *codes])})) {{"
            if handler.name:
                yield f"{indent}    const {javascript_name(handler.name)} = {error};"
            yield from self._statements(handler.body, indent + "    ")
            head = "} else if"
        yield f"{indent}}} else throw {error};"


_REASONS = {
    "Import": "an import", "ImportFrom": "an import", "With": "with", "AsyncFunctionDef": "asynchronous code",
    "AsyncWith": "asynchronous code", "AsyncFor": "asynchronous code", "Match": "match", "TryStar": "except*",
}  # fmt: skip


def _locals(function: ast.FunctionDef) -> set[str]:
    return {one.arg for one in ast.walk(function.args) if isinstance(one, ast.arg)} | set(bound_names(function))


def _target_names(target: ast.expr) -> list[str]:
    """The names of a target of names only, else none."""
    parts = [part for part in ast.walk(target) if isinstance(part, ast.expr)]
    plain = all(isinstance(part, ast.Name | ast.Tuple | ast.List) for part in parts)
    return [part.id for part in parts if isinstance(part, ast.Name)] if plain else []


def _calls_super(function: ast.FunctionDef) -> bool:
    first = function.body[1:] if ast.get_docstring(function) else function.body
    return bool(first) and ast.unparse(first[0]).startswith("super().__init__(")


def _ends(body: list[ast.stmt]) -> bool:
    """Whether control never runs past the statements."""
    match body[-1] if body else None:
        case ast.Return() | ast.Raise():
            return True
        case ast.If(body=inner, orelse=other):
            return _ends(inner) and _ends(other)
        case ast.While(test=ast.Constant(value=True), body=inner):
            return not any(isinstance(part, ast.Break) for one in inner for part in ast.walk(one))
    return False
