"""Calls: of the program's own functions and classes, of built-in functions, of methods."""

import ast
import builtins

from bench_shadows.data.rewriting.rules.javascript.expressions import ERRORS, FUNCTIONS, Expressions, Loose, tight
from bench_shadows.data.rewriting.rules.javascript.scopes import NotConvertedError, javascript_name, parameters

# Methods that take fewer arguments here than in Python.
_MOST = {"splitlines": 0, "count": 1, "startswith": 1, "endswith": 1, "index": 1, "rfind": 1, "find": 2}
_ANY_ORDER = frozenset(("all", "any", "len", "set", "sorted"))
_UNKNOWN = frozenset(
    [
        "open",
        "input",
        "eval",
        "exec",
        "getattr",
        "setattr",
        "hasattr",
        "type",
        "id",
        "hash",
        "iter",
        "next",
        "vars",
        "dir",
        "format",
        "super",
        "callable",
    ]
)


class Calls(Expressions):
    """Writes calls."""

    def _call(self, node: ast.Call) -> str:
        if any(keyword.arg is None for keyword in node.keywords):
            raise NotConvertedError("keyword arguments of any name")
        func = node.func
        if isinstance(func, ast.Name):
            name = func.id
            if name in self.classes:
                return f"new {javascript_name(name)}({self._ordered(node, self._initializer(name), 1)})"
            if name in self.functions:
                return f"{javascript_name(name)}({self._ordered(node, self.functions[name], 0)})"
            if self.kinds.builtin(name) and name not in self.math:
                return self._builtin(name, node)
        if isinstance(func, ast.Attribute) and not (
            isinstance(func.value, ast.Name) and func.value.id in self.modules
        ):
            return self._method(func, node)
        if node.keywords:
            raise NotConvertedError("named arguments of an unknown function")
        return f"{tight(self.expr(func))}({self.args(node.args)})"

    def _initializer(self, name: str) -> ast.FunctionDef | None:
        found = [
            part
            for part in self.classes[name].body
            if isinstance(part, ast.FunctionDef) and part.name == "__init__"
        ]
        return found[0] if found else None

    def _ordered(self, node: ast.Call, function: ast.FunctionDef | None, skip: int) -> str:
        """Arguments in the places of a known function's parameters."""
        if not node.keywords:
            return self.args(node.args)
        names = [one.arg for one in parameters(function)][skip:] if function else []
        if any(isinstance(one, ast.Starred) for one in node.args):
            raise NotConvertedError("starred and named arguments together")
        placed: dict[int, str] = {place: self.ordered(one) for place, one in enumerate(node.args)}
        for keyword in node.keywords:
            if keyword.arg not in names:
                raise NotConvertedError("a named argument that is no parameter")
            placed[names.index(keyword.arg)] = self.expr(keyword.value)
        return ", ".join(placed.get(place, "undefined") for place in range(max(placed) + 1))

    def _placed(self, node: ast.Call, places: dict[str, int], least: int, any_order: bool = False) -> str:
        """Arguments of one of our functions: named ones go to their places, null where nothing is given."""
        write = self.expr if any_order else self.ordered
        placed = {place: write(one) for place, one in enumerate(node.args)}
        for keyword in node.keywords:
            if keyword.arg not in places:
                raise NotConvertedError(f"the named argument {keyword.arg}")
            placed[places[keyword.arg]] = self.expr(keyword.value)
        return ", ".join(placed.get(place, "null") for place in range(max([least - 1, *placed]) + 1))

    def _builtin(self, name: str, node: ast.Call) -> str:
        if name in ("str", "repr") and len(node.args) == 1 and not node.keywords:
            return self.text(node.args[0], name)
        if name in ("str", "list", "dict", "set", "tuple") and not node.args and not node.keywords:
            return {"str": '""', "list": "[]"}.get(name, f"py.{name}()")
        if name == "bool" and len(node.args) == 1:
            return self.condition(node.args[0])
        if name == "print":
            places = {"sep": 1, "end": 2}
            given = [
                self.text(one, "str") if not isinstance(one, ast.Starred) else self.expr(one) for one in node.args
            ]
            named = {places[k.arg]: self.expr(k.value) for k in node.keywords if k.arg in places}
            if len(named) != len(node.keywords):
                raise NotConvertedError("print to a file")
            if not named and len(given) == 1 and not isinstance(node.args[0], ast.Starred):
                return f"console.log({given[0]})"
            options = (
                ", ".join(named.get(place, "undefined") for place in range(1, max(named) + 1)) if named else ""
            )
            return f"py.print([{', '.join(given)}]{', ' + options if options else ''})"
        if name in ("min", "max"):
            if len(node.args) == 1 and not isinstance(node.args[0], ast.Starred):
                return f"py.{name}({self._placed(node, {'key': 1, 'default': 2}, 1)})"
            by = "".join(f", {self.expr(keyword.value)}" for keyword in node.keywords if keyword.arg == "key")
            return f"py.{name}([{self.args(node.args)}]{by})"
        if (
            name in ("any", "all")
            and isinstance(node.args[0], ast.GeneratorExp)
            and len(node.args[0].generators) == 1
        ):
            return self._quantifier(name, node.args[0])
        if name == "isinstance" and len(node.args) == 2:
            return self._isinstance(*node.args)
        if name in ERRORS:
            return f"new py.{name}({self.args(node.args)})"
        if name in FUNCTIONS:
            most, places = FUNCTIONS[name]
            if len(node.args) > most or (any(isinstance(one, ast.Starred) for one in node.args) and most < 9):
                raise NotConvertedError(f"arguments of {name}")
            return f"py.{name}({self._placed(node, places, 0, name in _ANY_ORDER)})"
        raise NotConvertedError(
            f"the function {name}" if name in dir(builtins) or name in _UNKNOWN else "a name from elsewhere"
        )

    def _quantifier(self, name: str, node: ast.GeneratorExp) -> str:
        """any() and all() stop at the first that decides, so do some() and every()."""
        generator = node.generators[0]
        if generator.ifs:
            found = self._comprehension(node.generators, lambda: self.expr(node.elt), node.elt)
            return f"py.{name}({found})"
        items = self.items(generator.iter)
        outer = dict(self.kinds.names)
        self.kinds.names |= {one.id: None for one in ast.walk(generator.target) if isinstance(one, ast.Name)}
        test = self.condition(node.elt)
        code = f"{items}.{'some' if name == 'any' else 'every'}(({self.target(generator.target)}) => {test})"
        self.kinds.names = outer
        return code

    def _isinstance(self, value: ast.expr, kind: ast.expr) -> str:
        names = [
            one.id if isinstance(one, ast.Name) else ""
            for one in (kind.elts if isinstance(kind, ast.Tuple) else [kind])
        ]
        code = self.expr(value)
        tests = []
        for name in names:
            if name in self.classes:
                tests.append(f"{tight(code)} instanceof {javascript_name(name)}")
            elif name == "int" and not self.floats:
                tests.append(f'["int", "bool"].includes(py.typeName({code}))')
            elif name in ("str", "bool", "list", "dict", "set", "tuple"):
                tests.append(f'py.typeName({code}) === "{name}"')
            else:
                raise NotConvertedError("isinstance of such a type")
        return Loose(" || ".join(tests))

    def _method(self, func: ast.Attribute, node: ast.Call) -> str:
        name = func.attr
        if isinstance(func.value, ast.Call) and getattr(func.value.func, "id", "") == "super":
            return (
                f"super({self.args(node.args)})" if name == "__init__" else f"super.{name}({self.args(node.args)})"
            )
        if name.startswith("__") or name in (
            "format",
            "encode",
            "decode",
            "translate",
            "maketrans",
            "popitem",
            "fromkeys",
        ):
            raise NotConvertedError(f"the method {name}")
        places = {"sort": {"key": 0, "reverse": 1}}.get(name, {})
        if name == "pop" and not node.args and self.sets and self.kinds.of(func.value) != "list":
            raise NotConvertedError("the order of a set")
        own = [
            part
            for one in self.classes.values()
            for part in one.body
            if isinstance(part, ast.FunctionDef) and part.name == name
        ]
        if not own and len(node.args) > _MOST.get(name, 9):
            raise NotConvertedError(f"arguments of {name}")
        if node.keywords and len(own) == 1 and not places:
            arguments = self._ordered(node, own[0], 1)
        else:
            arguments = self._placed(node, places, 0, self.kinds.of(func.value) == "set")
        of = tight(self.expr(func.value))
        kind = self.kinds.of(func.value)
        if kind == "list" and name == "append":
            return f"{of}.push({arguments})"
        if kind == "str" and name in ("upper", "lower") and not arguments:
            return f"{of}.to{name.capitalize()}Case()"
        if (
            kind == "str"
            and name in ("startswith", "endswith")
            and len(node.args) == 1
            and self.kinds.of(node.args[0]) == "str"
        ):
            return f"{of}.{name.replace('with', 'With')}({arguments})"
        if of == "this" and own:
            return f"this.{name}({arguments})"
        return f'py.call({of}, "{name}"{", " + arguments if arguments else ""})'
