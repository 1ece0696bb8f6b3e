"""Statements without blocks: assignments, updates, return, raise and the like."""

import ast
from collections.abc import Iterator

from bench_shadows.data.rewriting.rules.javascript.calls import Calls
from bench_shadows.data.rewriting.rules.javascript.expressions import ERRORS, tight
from bench_shadows.data.rewriting.rules.javascript.scopes import NotConvertedError, javascript_name


class Statements(Calls):
    """Writes simple statements. A writer is named after its node and yields lines."""

    def __init__(self, floats: bool, sets: bool) -> None:
        super().__init__(floats, sets)
        self._declared: list[set[str]] = []  # names that their first assignment declares, scope by scope
        self._errors: list[str] = []  # what the except blocks around have caught
        self._flags = 0

    def _expr(self, node: ast.Expr, indent: str) -> Iterator[str]:
        if isinstance(node.value, ast.Constant):
            return
        if isinstance(node.value, ast.Yield | ast.YieldFrom):
            star = "*" if isinstance(node.value, ast.YieldFrom) else ""
            value = self.expr(node.value.value) if node.value.value else "null"
            yield f"{indent}yield{star} {f'py.iter({value})' if star else value};"
            return
        yield f"{indent}{self.expr(node.value)};"

    def _assign(self, node: ast.Assign, indent: str) -> Iterator[str]:
        named = all(isinstance(target, ast.Name) for target in node.targets)
        value = self.expr(node.value) if named else self.ordered(node.value)
        if len(node.targets) > 1:
            if not isinstance(node.value, ast.Constant | ast.Name):
                raise NotConvertedError("one value for several targets")
            for target in node.targets:
                yield from self._store(target, value, indent)
            return
        yield from self._store(node.targets[0], value, indent, node.value)

    def _store(self, target: ast.expr, value: str, indent: str, node: ast.expr | None = None) -> Iterator[str]:
        match target:
            case ast.Name(id=name):
                declared = self._declared and name in self._declared[-1]
                if declared:
                    self._declared[-1].discard(name)
                yield f"{indent}{'let ' if declared else ''}{javascript_name(name)} = {value};"
            case ast.Attribute():
                yield f"{indent}{self._attribute(target)} = {value};"
            case ast.Subscript(value=items, slice=ast.Slice(lower=lower, upper=upper, step=None)):
                ends = ", ".join(self.expr(part) if part else "null" for part in (lower, upper))
                yield f"{indent}py.putSlice({self.expr(items)}, {ends}, {value});"
            case ast.Subscript(value=items, slice=index) if not isinstance(index, ast.Slice):
                yield f"{indent}py.put({self.expr(items)}, {self.expr(index)}, {value});"
            case ast.Tuple(elts=parts) | ast.List(elts=parts):
                yield from self._unpack(parts, value, indent, node)
            case _:
                raise NotConvertedError("such a target")

    def _unpack(self, parts: list[ast.expr], value: str, indent: str, node: ast.expr | None) -> Iterator[str]:
        if any(isinstance(part, ast.Starred) for part in parts):
            raise NotConvertedError("a starred target")
        values = node.elts if isinstance(node, ast.Tuple) else []
        exact = len(values) == len(parts) and not any(isinstance(one, ast.Starred) for one in values)
        right = f"[{self.args(values)}]" if exact else f"py.unpack({value}, {len(parts)})"
        if all(isinstance(part, ast.Name) for part in parts):
            yield f"{indent}[{', '.join(self.expr(part) for part in parts)}] = {right};"
            return
        self._flags += 1
        name = f"parts{self._flags}"
        yield f"{indent}const {name} = {right};"
        for place, part in enumerate(parts):
            yield from self._store(part, f"{name}[{place}]", indent)

    def _annassign(self, node: ast.AnnAssign, indent: str) -> Iterator[str]:
        if node.value is not None:
            yield from self._store(node.target, self.expr(node.value), indent, node.value)

    def _augassign(self, node: ast.AugAssign, indent: str) -> Iterator[str]:
        if any(isinstance(part, ast.Call | ast.NamedExpr) for part in ast.walk(node.target)):
            raise NotConvertedError("an update of a place that a call finds")
        before = _loaded(node.target)
        codes = (self.expr(before), self.expr(node.value))
        plain = {"+": ast.Add, "-": ast.Sub}
        sign = next((sign for sign, op in plain.items() if isinstance(node.op, op)), None)
        known = self.kinds.of(before) in ("str", "int", "float")
        if (
            isinstance(node.target, ast.Name)
            and sign
            and self.kinds.small(before)
            and self.kinds.small(node.value)
        ):
            yield f"{indent}{codes[0]} {sign}= {codes[1]};"
        elif isinstance(node.op, ast.Add) and not known:
            yield from self._store(node.target, f"py.iadd({codes[0]}, {codes[1]})", indent)
        elif not known and isinstance(node.op, ast.BitOr | ast.BitAnd | ast.BitXor | ast.Sub | ast.Mult):
            if self.kinds.of(before) in ("set", "list", "dict"):
                raise NotConvertedError("an update in place")
            yield from self._store(node.target, self.operation(type(node.op), before, node.value, codes), indent)
        else:
            yield from self._store(node.target, self.operation(type(node.op), before, node.value, codes), indent)

    def _return(self, node: ast.Return, indent: str) -> Iterator[str]:
        yield f"{indent}return {self.ordered(node.value) if node.value else 'null'};"

    def _pass(self, node: ast.Pass, indent: str) -> Iterator[str]:
        yield from ()

    _global = _nonlocal = _pass

    def _delete(self, node: ast.Delete, indent: str) -> Iterator[str]:
        for target in node.targets:
            if not isinstance(target, ast.Subscript) or isinstance(target.slice, ast.Slice):
                raise NotConvertedError("del of a name or a slice")
            yield f"{indent}py.del({self.expr(target.value)}, {self.expr(target.slice)});"

    def _assert(self, node: ast.Assert, indent: str) -> Iterator[str]:
        message = self.expr(node.msg) if node.msg else ""
        yield f"{indent}if (!{tight(self.condition(node.test))}) throw new py.AssertionError({message});"

    def _raise(self, node: ast.Raise, indent: str) -> Iterator[str]:
        if node.exc is None:
            if not self._errors:
                raise NotConvertedError("raise without an error")
            yield f"{indent}throw {self._errors[-1]};"
            return
        code = self.expr(node.exc)
        a_class = isinstance(node.exc, ast.Name) and (node.exc.id in ERRORS or node.exc.id in self.classes)
        yield f"{indent}throw {f'new {code}()' if a_class else code};"


def _loaded(target: ast.expr) -> ast.expr:
    """The target as an expression that is read."""
    loaded = ast.parse(ast.unparse(target), mode="eval").body
    assert isinstance(loaded, ast.expr)
    return loaded
