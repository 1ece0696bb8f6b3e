"""Python expressions as JavaScript: plain operators where the kinds are known, `py.*` where they are not."""

import ast
import builtins
from collections.abc import Callable

from bench_shadows.data.rewriting.rules.javascript.scopes import (
    Kinds,
    NotConvertedError,
    javascript_name,
    text_literal,
)


class Loose(str):
    """Code that needs parentheses inside a larger expression."""


def tight(code: str) -> str:
    """The code, in parentheses where it needs them."""
    return f"({code})" if isinstance(code, Loose) else code


_OPERATORS = {
    ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.Div: "div", ast.FloorDiv: "floordiv", ast.Mod: "mod",
    ast.Pow: "pow", ast.BitAnd: "and", ast.BitOr: "or", ast.BitXor: "xor", ast.LShift: "shl", ast.RShift: "shr",
}  # fmt: skip
_ORDER: dict[type[ast.cmpop], tuple[str, str]] = {
    ast.Lt: ("<", "lt"), ast.LtE: ("<=", "le"), ast.Gt: (">", "gt"), ast.GtE: (">=", "ge"),
}  # fmt: skip
# Built-in functions and how many arguments ours take at most; named arguments go to the places given.
FUNCTIONS: dict[str, tuple[int, dict[str, int]]] = {
    **{name: (1, {}) for name in ("abs", "all", "any", "bin", "chr", "dict", "float", "hex", "len", "list")},
    **{name: (1, {}) for name in ("oct", "ord", "reversed", "set", "tuple")},
    **{name: (9, {}) for name in ("map", "zip")},
    "divmod": (2, {}), "enumerate": (2, {"start": 1}), "filter": (2, {}), "int": (2, {"base": 1}), "pow": (3, {}),
    "range": (3, {}), "round": (2, {"ndigits": 1}), "sorted": (1, {"key": 1, "reverse": 2}),
    "sum": (2, {"start": 1}),
}  # fmt: skip
MATH = frozenset("sqrt floor ceil trunc fabs gcd factorial isqrt isnan isinf pi e tau inf nan".split())  # noqa: SIM905
ERRORS = frozenset(
    [
        "Exception",
        "ArithmeticError",
        "ZeroDivisionError",
        "OverflowError",
        "AssertionError",
        "AttributeError",
        "LookupError",
        "IndexError",
        "KeyError",
        "NotImplementedError",
        "RuntimeError",
        "StopIteration",
        "TypeError",
        "ValueError",
    ]
)
_NUMBERS = ("int", "float")


class Expressions:
    """Writes expressions. Subclassed by the emitter of statements, which keeps `kinds` at the current scope."""

    def __init__(self, floats: bool, sets: bool) -> None:
        self.sets = sets
        self.kinds = Kinds(None, ast.Module([], []))
        self.floats = floats
        self.classes: dict[str, ast.ClassDef] = {}
        self.functions: dict[str, ast.FunctionDef] = {}
        self.math: dict[str, str] = {}
        self.modules: set[str] = set()
        self.self_name: str | None = None

    def expr(self, node: ast.expr) -> str:
        """The expression as JavaScript; NotConvertedError where it is outside the subset."""
        write = getattr(self, f"_{type(node).__name__.lower()}", None)
        if write is None:
            raise NotConvertedError(f"expression {type(node).__name__}")
        return write(node)

    def args(self, nodes: list[ast.expr]) -> str:
        """Expressions with commas between."""
        return ", ".join(self.ordered(node) for node in nodes)

    def ordered(self, node: ast.expr) -> str:
        """An expression that goes where its kind is lost: no set, because the order of one may show there."""
        if self.kinds.of(node) == "set":
            raise NotConvertedError("the order of a set")
        return self.expr(node)

    def condition(self, node: ast.expr) -> str:
        """The expression as true or false."""
        match node:
            case ast.BoolOp(op=op, values=values):
                return Loose(
                    (" && " if isinstance(op, ast.And) else " || ").join(tight(self.condition(v)) for v in values)
                )
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return "!" + tight(self.condition(operand))
        kind = self.kinds.of(node)
        code = self.expr(node)
        if kind == "bool":
            return code
        if kind in ("list", "str", "tuple"):
            return Loose(f"{tight(code)}.length > 0")
        return f"py.truth({code})"

    # ---- leaves

    def _constant(self, node: ast.Constant) -> str:
        value = node.value
        if value is None or isinstance(value, bool):
            return {None: "null", True: "true", False: "false"}[value]
        if isinstance(value, str):
            if any("\ud800" <= character <= "\udfff" for character in value):
                raise NotConvertedError("a lone surrogate")
            return text_literal(value)
        if isinstance(value, int):
            return str(value) if value < 2**53 else f"{value}n"
        if isinstance(value, float) and value not in (float("inf"),):
            return repr(value)
        raise NotConvertedError(f"a constant of type {type(value).__name__}")

    def _name(self, node: ast.Name) -> str:
        name = node.id
        if name == self.self_name:
            return "this"
        if name in self.math:
            return f"py.math.{self.math[name]}"
        if not self.kinds.builtin(name):
            return javascript_name(name)
        if name in ERRORS:
            return f"py.{name}"
        if name in ("str", "repr") and self.floats:
            raise NotConvertedError("a number of unknown kind is written")
        if name in FUNCTIONS and FUNCTIONS[name][0] == 1 and name not in ("min", "max"):
            return f"py.{name}"
        if name in ("str", "repr", "min", "max", "bool", "int"):
            return {"bool": "py.truth", "int": "((x) => py.int(x))", "min": "((...x) => py.min(x))",
                    "max": "((...x) => py.max(x))"}.get(name, f"py.{name}")  # fmt: skip
        raise NotConvertedError(f"the name {name}" if name in dir(builtins) else "a name from elsewhere")

    def _joinedstr(self, node: ast.JoinedStr) -> str:
        parts = []
        for value in node.values:
            if isinstance(value, ast.Constant):
                parts.append(
                    text_literal(str(value.value))[1:-1]
                    .replace('\\"', '"')
                    .replace("`", "\\`")
                    .replace("${", "\\${")
                )
            elif isinstance(value, ast.FormattedValue):
                parts.append("${" + self._formatted(value) + "}")
        return f"`{''.join(parts)}`"

    def _formatted(self, node: ast.FormattedValue) -> str:
        code: str
        kind: str | None
        if node.conversion == ord("r"):
            code, kind = self.text(node.value, "repr"), "str"
        elif node.conversion in (-1, ord("s")):
            code, kind = (
                (self.text(node.value, "str"), "str") if node.conversion > 0 else ("", self.kinds.of(node.value))
            )
        else:
            raise NotConvertedError("conversion !a")
        if node.format_spec is None:
            return code or self.text(node.value, "str")
        spec = self.expr(node.format_spec)
        written = node.format_spec.values if isinstance(node.format_spec, ast.JoinedStr) else []
        last = written[-1].value if written and isinstance(written[-1], ast.Constant) else ""
        typed = str(last)[-1:] in "bcdeEfFgGnosxX%" and last
        if not typed and kind is None and self.floats:
            raise NotConvertedError("a number of unknown kind is written")
        floating = ", true" if kind == "float" else ""
        return f"py.format({code or self.expr(node.value)}, {spec}{floating})"

    def text(self, node: ast.expr, how: str) -> str:
        """str(node) or repr(node); a number must be known to be an int or a float where the program has floats."""
        kind = self.kinds.of(node)
        code = self.expr(node)
        if kind == "str" and how == "str":
            return code
        if kind == "float":
            return f"py.floatRepr({code})"
        if self.floats and kind not in ("int", "bool", "str"):
            raise NotConvertedError("a number of unknown kind is written")
        return f"py.{how}({code})"

    # ---- operators

    def _binop(self, node: ast.BinOp) -> str:
        codes = (self.expr(node.left), self.expr(node.right))
        return self.operation(type(node.op), node.left, node.right, codes)

    def operation(self, op: type[ast.operator], left: ast.expr, right: ast.expr, codes: tuple[str, str]) -> str:
        """One binary operation; plain where kinds and sizes make JavaScript's the same."""
        sign = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*"}.get(op)
        kinds = (self.kinds.of(left), self.kinds.of(right))
        a, b = codes
        if op is ast.MatMult:
            raise NotConvertedError("matrix products")
        if op is ast.Mod and kinds[0] == "str":
            raise NotConvertedError("formatting with %")
        sums = op in (ast.Add, ast.Sub) and self.kinds.small(left) and self.kinds.small(right)
        plain = (kinds == ("str", "str") and op is ast.Add) or sums or kinds == ("float", "float")
        if sign and plain:
            return Loose(f"{tight(a)} {sign} {tight(b)}")
        return f"py.{_OPERATORS[op]}({a}, {b})"

    def _unaryop(self, node: ast.UnaryOp) -> str:
        if isinstance(node.op, ast.Not):
            return self.condition(node)
        code = self.expr(node.operand)
        if isinstance(node.op, ast.USub):
            plain = isinstance(node.operand, ast.Constant) or self.kinds.of(node.operand) in _NUMBERS
            return Loose(f"-{tight(code)}") if plain else f"py.neg({code})"
        return f"py.invert({code})" if isinstance(node.op, ast.Invert) else f"py.add(0, {code})"

    def _boolop(self, node: ast.BoolOp) -> str:
        if all(self.kinds.of(value) == "bool" for value in node.values):
            return self.condition(node)
        name = "both" if isinstance(node.op, ast.And) else "either"
        *rest, code = [self.expr(value) for value in node.values]
        for value in reversed(rest):
            code = f"py.{name}({value}, () => {code})"
        return code

    def _compare(self, node: ast.Compare) -> str:
        operands = [node.left, *node.comparators]
        if any(not isinstance(middle, ast.Name | ast.Constant | ast.Attribute) for middle in operands[1:-1]):
            raise NotConvertedError("a chained comparison of more than names")
        pairs = zip(operands, node.ops, operands[1:], strict=False)
        codes = [self._comparison(a, op, b) for a, op, b in pairs]
        return codes[0] if len(codes) == 1 else Loose(" && ".join(tight(code) for code in codes))

    def _comparison(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> str:
        a, b = self.expr(left), self.expr(right)
        kinds = (self.kinds.of(left), self.kinds.of(right))
        negated = isinstance(op, ast.NotEq | ast.NotIn | ast.IsNot)
        match op:
            case ast.Is() | ast.IsNot():
                return Loose(f"{tight(a)} {'!==' if negated else '==='} {tight(b)}")
            case ast.Eq() | ast.NotEq():
                # A whole float is never === the BigInt that it equals.
                if "str" in kinds or kinds == ("int", "int"):
                    return Loose(f"{tight(a)} {'!==' if negated else '==='} {tight(b)}")
                return f"{'!' if negated else ''}py.eq({a}, {b})"
            case ast.In() | ast.NotIn():
                return f"{'!' if negated else ''}py.contains({b}, {a})"
        sign, name = _ORDER[type(op)]
        if kinds[0] in _NUMBERS and kinds[1] in _NUMBERS:
            return Loose(f"{tight(a)} {sign} {tight(b)}")
        return f"py.{name}({a}, {b})"

    def _ifexp(self, node: ast.IfExp) -> str:
        return Loose(
            f"{tight(self.condition(node.test))} ? {tight(self.expr(node.body))} : {tight(self.expr(node.orelse))}"
        )

    def _namedexpr(self, node: ast.NamedExpr) -> str:
        return f"({self.expr(node.target)} = {self.expr(node.value)})"

    # ---- containers

    def _list(self, node: ast.List) -> str:
        return f"[{self.args(node.elts)}]"

    def _tuple(self, node: ast.Tuple) -> str:
        return f"py.tuple([{self.args(node.elts)}])"

    def _set(self, node: ast.Set) -> str:
        return f"py.set([{self.args(node.elts)}])"

    def _starred(self, node: ast.Starred) -> str:
        return f"...py.iter({self.expr(node.value)})"

    def _dict(self, node: ast.Dict) -> str:
        if any(key is None for key in node.keys):
            raise NotConvertedError("a dict inside a dict display")
        pairs = zip((key for key in node.keys if key), node.values, strict=True)
        return f"py.dict([{', '.join(f'[{self.expr(key)}, {self.ordered(value)}]' for key, value in pairs)}])"

    def _listcomp(self, node: ast.ListComp) -> str:
        return self._comprehension(node.generators, lambda: self.expr(node.elt), node.elt)

    _generatorexp = _listcomp

    def _setcomp(self, node: ast.SetComp) -> str:
        return f"py.set({self._comprehension(node.generators, lambda: self.expr(node.elt), node.elt)})"

    def _dictcomp(self, node: ast.DictComp) -> str:
        pair = ast.Tuple([node.key, node.value], ast.Load())
        return f"py.dict({self._comprehension(node.generators, lambda: f'[{self.args(pair.elts)}]', pair)})"

    def _comprehension(
        self, generators: list[ast.comprehension], element: Callable[[], str], node: ast.expr
    ) -> str:
        first, *rest = generators
        if first.is_async:
            raise NotConvertedError("asynchronous code")
        items = self.items(first.iter)
        outer = dict(self.kinds.names)
        bound = [name.id for name in ast.walk(first.target) if isinstance(name, ast.Name)]
        ranged = isinstance(first.iter, ast.Call) and getattr(first.iter.func, "id", "") == "range"
        self.kinds.names |= dict.fromkeys(bound, "int" if ranged else None)
        target = f"({self.target(first.target)})"
        inner = self._comprehension(rest, element, node) if rest else element()
        test = " && ".join(tight(self.condition(one)) for one in first.ifs)
        same = isinstance(node, ast.Name) and isinstance(first.target, ast.Name) and node.id == first.target.id
        self.kinds.names = outer
        if rest:
            return f"{items}.flatMap({target} => {f'{test} ? {inner} : []' if test else inner})"
        if test:
            return (
                f"{items}.filter({target} => {test})"
                if same
                else f"{items}.flatMap({target} => {test} ? [{inner}] : [])"
            )
        return items if same else f"{items}.map({target} => {tight(inner)})"

    def items(self, node: ast.expr) -> str:
        """What is iterated over, as a new array."""
        if self.kinds.of(node) == "set":
            raise NotConvertedError("the order of a set")
        code = self.expr(node)
        fresh = isinstance(node, ast.ListComp | ast.GeneratorExp | ast.List) or code.startswith("py.range(")
        return code if fresh else f"py.list({code})"

    def target(self, node: ast.expr) -> str:
        """What a loop or a parameter binds: a name or a pattern of names."""
        if isinstance(node, ast.Name):
            return javascript_name(node.id)
        if isinstance(node, ast.Tuple | ast.List) and not any(isinstance(part, ast.Starred) for part in node.elts):
            return f"[{', '.join(self.target(part) for part in node.elts)}]"
        raise NotConvertedError("a target that is no name")

    def _subscript(self, node: ast.Subscript) -> str:
        if isinstance(node.slice, ast.Slice):
            parts = (node.slice.lower, node.slice.upper, node.slice.step)
            given = [self.expr(part) if part else "null" for part in parts]
            return f"py.slice({self.expr(node.value)}, {', '.join(given if parts[2] else given[:2])})"
        return f"py.at({self.expr(node.value)}, {self.expr(node.slice)})"

    def _attribute(self, node: ast.Attribute) -> str:
        if isinstance(node.value, ast.Name) and node.value.id in self.modules:
            if node.attr not in MATH:
                raise NotConvertedError(f"math.{node.attr}")
            return f"py.math.{node.attr}"
        if node.attr.startswith("__") or node.attr in ("constructor", "prototype"):
            raise NotConvertedError("an attribute with two underscores")
        own = {part.name for one in self.classes.values() for part in one.body
               if isinstance(part, ast.FunctionDef) and not part.decorator_list}  # fmt: skip
        if node.attr in own or (isinstance(node.ctx, ast.Load) and node.attr in _BUILTIN_METHODS):
            raise NotConvertedError("a method that is not called")
        return f"{tight(self.expr(node.value))}.{node.attr}"

    def _lambda(self, node: ast.Lambda) -> str:
        outer, self.kinds = self.kinds, Kinds(self.kinds, node)
        code = f"({self.parameters(node)}) => {tight(self.expr(node.body))}"
        self.kinds = outer
        return Loose(code)

    def parameters(self, function: ast.FunctionDef | ast.Lambda, drop_first: bool = False) -> str:
        """The parameter list; defaults must be constants: Python makes them once and JavaScript each time."""
        given = function.args
        if given.kwarg:
            raise NotConvertedError("keyword arguments of any name")
        if given.vararg and given.kwonlyargs:
            raise NotConvertedError("keyword-only parameters")
        positional = [*given.posonlyargs, *given.args]
        defaults: list[ast.expr | None] = [None] * (len(positional) - len(given.defaults))
        defaults += [*given.defaults, *given.kw_defaults]
        parts = []
        for one, default in zip([*positional, *given.kwonlyargs], defaults, strict=True):
            constant = isinstance(default, ast.UnaryOp | ast.Constant) and not [
                part for part in ast.walk(default) if isinstance(part, ast.Name | ast.Call)
            ]
            if default is not None and not constant:
                raise NotConvertedError("a default that is no constant")
            parts.append(javascript_name(one.arg) + (f" = {self.expr(default)}" if default is not None else ""))
        if given.vararg:
            parts.append(f"...{javascript_name(given.vararg.arg)}")
        return ", ".join(parts[1:] if drop_first else parts)


_BUILTIN_METHODS = frozenset(name for kind in (str, list, dict, set, int) for name in dir(kind) if name[0] != "_")
