"""What an emitter must know before it writes: names, their scopes, and what kinds of values they hold."""

import ast
import re
from collections.abc import Iterable, Iterator


class NotConvertedError(Exception):
    """The program is outside the subset that is converted; the message is the reason, in a few words."""


RESERVED = frozenset(
    [
        "arguments",
        "async",
        "await",
        "boolean",
        "case",
        "catch",
        "const",
        "debugger",
        "default",
        "delete",
        "do",
        "enum",
        "eval",
        "export",
        "extends",
        "final",
        "function",
        "implements",
        "instanceof",
        "interface",
        "let",
        "new",
        "null",
        "package",
        "private",
        "protected",
        "public",
        "py",
        "static",
        "super",
        "switch",
        "this",
        "throw",
        "typeof",
        "undefined",
        "var",
        "void",
        "Array",
        "BigInt",
        "Error",
        "Map",
        "Math",
        "Number",
        "Object",
        "Set",
        "String",
        "Symbol",
        "console",
        "process",
    ]
)
Scope = ast.FunctionDef | ast.Lambda | ast.Module | ast.ClassDef


def javascript_name(name: str) -> str:
    """A name that JavaScript reserves gets an underscore behind it."""
    if not name.isascii():
        raise NotConvertedError("a name beyond ASCII")
    return name + "_" if name in RESERVED else name


def own_nodes(scope: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a scope without those of the functions and classes inside it."""
    for child in ast.iter_child_nodes(scope):
        yield child
        if not isinstance(child, ast.FunctionDef | ast.ClassDef | ast.Lambda):
            yield from own_nodes(child)


def parameters(function: ast.FunctionDef | ast.Lambda) -> list[ast.arg]:
    """All parameters, in the order in which JavaScript takes them."""
    given = function.args
    return [*given.posonlyargs, *given.args, *given.kwonlyargs, *([given.vararg] if given.vararg else [])]


def bound_names(scope: Scope) -> dict[str, list[ast.AST]]:
    """{name: the statements that bind it} in a scope; comprehensions have scopes of their own."""
    bound: dict[str, list[ast.AST]] = {}
    inside = {
        id(target)
        for node in own_nodes(scope)
        if isinstance(node, ast.comprehension)
        for target in ast.walk(node.target)
    }
    for node in own_nodes(scope):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            bound.setdefault(node.name, []).append(node)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and id(node) not in inside:
            bound.setdefault(node.id, []).append(node)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            bound.setdefault(node.name, []).append(node)
    return bound


def outer_names(scope: Scope) -> set[str]:
    """The names that `global` and `nonlocal` give to other scopes."""
    statements = (node for node in own_nodes(scope) if isinstance(node, ast.Global | ast.Nonlocal))
    return {name for statement in statements for name in statement.names}


def makes_floats(module: ast.Module) -> bool:
    """Whether a number of the program may be a float, by what is written in it."""
    for node in ast.walk(module):
        if isinstance(node, ast.Constant) and isinstance(node.value, float):
            return True
        if isinstance(node, ast.BinOp | ast.AugAssign):
            constant = node.right if isinstance(node, ast.BinOp) else node.value
            power = isinstance(node.op, ast.Pow) and not isinstance(constant, ast.Constant)
            if power or isinstance(node.op, ast.Div):
                return True
        if isinstance(node, ast.Name) and node.id in ("float", "pow"):
            return True
        of_math = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "math"
        name = node.attr if isinstance(node, ast.Attribute) and of_math else getattr(node, "name", "")
        if (of_math or isinstance(node, ast.alias)) and name in ("sqrt", "fabs", "pi", "e", "tau", "inf", "nan"):
            return True
    return False


def makes_sets(module: ast.Module) -> bool:
    """Whether a value of the program may be a set."""
    return any(
        isinstance(node, ast.Set | ast.SetComp) or (isinstance(node, ast.Name) and node.id in ("set", "frozenset"))
        for node in ast.walk(module)
    )


_ANNOTATIONS = {"int", "float", "bool", "str", "list", "dict", "set", "tuple"}


def annotated_kind(annotation: ast.expr | None) -> str | None:
    """The kind that an annotation names: `list[int]` is a list; None for what is unknown or a union."""
    if isinstance(annotation, ast.Subscript):
        annotation = annotation.value
    if isinstance(annotation, ast.Name) and annotation.id.lower() in _ANNOTATIONS:
        return annotation.id.lower()
    return None


_RETURNS = {
    **dict.fromkeys(("len", "ord", "int", "round"), "int"),
    **dict.fromkeys(("str", "chr", "repr", "bin", "hex", "oct"), "str"),
    **dict.fromkeys(("list", "sorted", "range", "reversed"), "list"),
    **dict.fromkeys(("bool", "any", "all", "isinstance"), "bool"),
    **{kind: kind for kind in ("dict", "set", "tuple", "float")},
}
_METHODS = {
    **dict.fromkeys(
        ("upper", "lower", "strip", "lstrip", "rstrip", "join", "capitalize", "title", "zfill"), "str"
    ),
    **dict.fromkeys(("split", "splitlines", "keys", "values", "items"), "list"),
    **dict.fromkeys(("startswith", "endswith", "isdigit", "isalpha", "isalnum", "isspace", "isupper"), "bool"),
    **dict.fromkeys(("find", "rfind"), "int"),
}
_NUMBERS = ("int", "float", "bool")


class Kinds:
    """Which kind of value a name or an expression holds, where that is certain.

    A name has a kind where everything that is bound to it in its function has that kind.
    """

    def __init__(self, outer: "Kinds | None", scope: Scope, own_classes: Iterable[str] = ()) -> None:
        self._outer = outer
        self._shadowed = set(bound_names(scope)) | set(own_classes)
        self.names: dict[str, str | None] = {}
        if isinstance(scope, ast.FunctionDef | ast.Lambda):
            for one in parameters(scope):
                self._shadowed.add(one.arg)
                self.names[one.arg] = annotated_kind(one.annotation)
            if scope.args.vararg:
                self.names[scope.args.vararg.arg] = "tuple"
        assigned = dict.fromkeys(bound_names(scope)) if not isinstance(scope, ast.Lambda) else {}
        known = {name: kind for name, kind in self.names.items() if name in assigned}
        self.names |= dict.fromkeys(assigned)
        # Counters: bound only to small constants, lengths and themselves plus a constant.
        self._small: set[str] = set()
        bound: dict[str, list[ast.expr | str | None]] = {}
        for name, value in _bindings(scope):
            bound.setdefault(name, []).append(value)
        for name, values in bound.items():
            if (
                name not in known
                and name not in outer_names(scope)
                and all(_counts(name, value) for value in values)
            ):
                self._small.add(name)
        for _ in range(3):  # a kind may depend on another name's
            found: dict[str, set[str | None]] = {
                name: {known[name]} if name in known else set() for name in assigned
            }
            for name, value in _bindings(scope):
                found.setdefault(name, set()).add(self.of(value) if isinstance(value, ast.expr) else value)
            for name, kinds in found.items():
                self.names[name] = next(iter(kinds)) if len(kinds) == 1 else None

    def builtin(self, name: str) -> bool:
        """Whether the name has its built-in meaning."""
        own = name in self._shadowed or name in self.names
        return not own and (self._outer is None or self._outer.builtin(name))

    def small(self, node: ast.expr) -> bool:
        """Whether the expression is certainly an int that stays far from 2^53, so that JavaScript's + is exact."""
        match node:
            case ast.Constant(value=int(value)) if not isinstance(value, bool):
                return abs(value) < 2**31
            case ast.Call(func=ast.Name(id="len")):
                return self.builtin("len")
            case ast.Name(id=name):
                return name in self._small or (
                    name not in self.names and self._outer is not None and self._outer.small(node)
                )
            case ast.BinOp(left=left, op=ast.Add() | ast.Sub(), right=right):
                return self.small(left) and self.small(right)
        return False

    def of(self, node: ast.expr) -> str | None:
        """The kind of an expression's value, or None."""
        match node:
            case ast.Constant(value=value):
                return {bool: "bool", int: "int", float: "float", str: "str"}.get(type(value))
            case ast.JoinedStr():
                return "str"
            case ast.Name(id=name):
                return self.names[name] if name in self.names else self._outer.of(node) if self._outer else None
            case ast.List() | ast.ListComp():
                return "list"
            case ast.Dict() | ast.DictComp():
                return "dict"
            case ast.Set() | ast.SetComp():
                return "set"
            case ast.Tuple():
                return "tuple"
            case ast.Compare() | ast.UnaryOp(op=ast.Not()):
                return "bool"
            case ast.UnaryOp(operand=operand):
                return {"bool": "int", "int": "int", "float": "float"}.get(self.of(operand) or "")
            case ast.BoolOp(values=values):
                kinds = {self.of(value) for value in values}
                return kinds.pop() if len(kinds) == 1 else None
            case ast.IfExp(body=body, orelse=orelse):
                return self.of(body) if self.of(body) == self.of(orelse) else None
            case ast.BinOp(left=left, op=op, right=right):
                return self._of_operation(self.of(left), op, self.of(right), right)
            case ast.Call(func=ast.Name(id=name)) if self.builtin(name):
                return "float" if name == "round" and len(node.args) > 1 else _RETURNS.get(name)
            case ast.Call(func=ast.Attribute(value=value, attr=method)) if method in _METHODS:
                return _METHODS[method] if self.of(value) in ("str", "dict") or method == "join" else None
            case ast.Subscript(value=value, slice=index):
                kind = self.of(value)
                return kind if kind == "str" or isinstance(index, ast.Slice) else None
        return None

    def _of_operation(self, left: str | None, op: ast.operator, right: str | None, node: ast.expr) -> str | None:
        if left in _NUMBERS and right in _NUMBERS:
            if isinstance(op, ast.Div) or "float" in (left, right):
                return "float"
            if isinstance(op, ast.Pow):
                return "int" if isinstance(node, ast.Constant) else None
            return (
                "int"
                if not isinstance(op, ast.BitAnd | ast.BitOr | ast.BitXor) or "int" in (left, right)
                else None
            )
        if isinstance(op, ast.Add) and left == right:
            return left
        if isinstance(op, ast.Mult) and {left, right} == {"str", "int"}:
            return "str"
        return None


def _counts(name: str, value: ast.expr | str | None) -> bool:
    match value:
        case ast.Constant(value=int(number)):
            return not isinstance(number, bool) and abs(number) < 2**31
        case ast.Call(func=ast.Name(id="len")):
            return True
        case ast.BinOp(left=ast.Name(id=other), op=ast.Add() | ast.Sub(), right=ast.Constant(value=int(number))):
            return other == name and abs(number) < 2**20
    return False


def _bindings(scope: Scope) -> Iterator[tuple[str, ast.expr | str | None]]:
    """(name, what is bound to it): an expression, or a kind."""
    for node in own_nodes(scope):
        match node:
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    if isinstance(target, ast.Name):
                        yield target.id, value
                    else:
                        yield from ((name.id, None) for name in _stored(target))
            case ast.AugAssign(target=ast.Name(id=name), op=op, value=value):
                yield name, ast.BinOp(ast.Name(name, ast.Load()), op, value)
            case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation):
                yield name, annotated_kind(annotation)
            case ast.NamedExpr(target=ast.Name(id=name), value=value):
                yield name, value
            case ast.For(target=ast.Name(id=name), iter=ast.Call(func=ast.Name(id="range"))):
                yield name, "int"
            case ast.For(target=target):
                yield from ((name.id, None) for name in _stored(target))
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                yield name, None


def _stored(target: ast.expr) -> list[ast.Name]:
    return [node for node in ast.walk(target) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]


def text_literal(text: str) -> str:
    """A JavaScript string literal."""
    import json

    return re.sub("[\u2028\u2029]", lambda match: f"\\u{ord(match[0]):04x}", json.dumps(text, ensure_ascii=False))
