"""Runs converted programs in Node beside their Python and compares results, values and errors alike."""

import json
import math
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bench_shadows.data.rewriting.rules import javascript

RUNTIME = Path(javascript.__file__).with_name("python.mjs")
DRIVER = """
import fs from "node:fs";
import * as py from "./python.mjs";
function decode(x) {
  if (x === null || typeof x !== "object") return x;
  const [[kind, value]] = Object.entries(x);
  if (kind === "int") return BigInt(value);
  if (kind === "float") return py.float(value);
  const items = value.map((item) => (kind === "dict" ? item.map(decode) : decode(item)));
  return kind === "list" ? items : py[kind](items);
}
function encode(x) {
  if (x === undefined || x === null) return null;
  if (typeof x === "bigint") return { int: String(x) };
  if (typeof x === "number" && !Number.isFinite(x)) return { float: py.floatRepr(x) };
  if (typeof x !== "object") return x;
  if (x instanceof py.Tuple) return { tuple: x.map(encode) };
  if (Array.isArray(x)) return { list: x.map(encode) };
  if (x instanceof py.Dict) return { dict: x.pairs().map(([k, v]) => [encode(k), encode(v)]) };
  if (x instanceof py.PySet) return { set: x.values().map((v) => JSON.stringify(encode(v))).sort() };
  if (typeof x[Symbol.iterator] === "function") return { list: [...x].map(encode) };
  return { object: x.constructor.name };
}
const results = [];
for (const [file, name, calls] of JSON.parse(fs.readFileSync("calls.json"))) {
  const module = await import(file);
  for (const call of calls) {
    const args = call.map(decode);
    try {
      results.push([encode(module[name](...args)), args.map(encode)]);
    } catch (error) {
      results.push([{ error: error instanceof py.PyError ? error.name : "native " + error }, null]);
    }
  }
}
fs.writeFileSync("results.json", JSON.stringify(results));
"""


class Program(NamedTuple):
    """A Python function's source, its name, and the arguments it is called with."""

    source: str
    name: str
    calls: Sequence[Sequence[Any]]


def encode(value: Any) -> Any:
    """A Python value as JSON that keeps its type apart from int and float."""
    if isinstance(value, bool | str | None):
        return value
    if isinstance(value, int):
        return value if abs(value) < 2**53 else {"int": str(value)}
    if isinstance(value, float):
        return value if math.isfinite(value) else {"float": repr(value)}
    if isinstance(value, dict):
        return {"dict": [[encode(key), encode(one)] for key, one in value.items()]}
    if isinstance(value, set):
        return {"set": sorted(json.dumps(encode(one), ensure_ascii=False, separators=(",", ":")) for one in value)}
    if isinstance(value, tuple):
        return {"tuple": [encode(one) for one in value]}
    if isinstance(value, list) or hasattr(value, "__iter__"):
        return {"list": [encode(one) for one in value]}
    return {"object": type(value).__name__}


def in_node(programs: Sequence[Program], folder: Path, convert: Callable[[str], str]) -> list[list[Any]]:
    """[result, arguments afterwards] of every call of every program."""
    shutil.copy(RUNTIME, folder / "python.mjs")
    plan = []
    for number, program in enumerate(programs):
        (folder / f"p{number}.mjs").write_text(convert(program.source), encoding="utf-8")
        calls = [[_argument(one) for one in call] for call in program.calls]
        plan.append([f"./p{number}.mjs", program.name, calls])
    (folder / "calls.json").write_text(json.dumps(plan), encoding="utf-8")
    (folder / "driver.mjs").write_text(DRIVER, encoding="utf-8")
    done = subprocess.run(["node", "driver.mjs"], cwd=folder, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    results: list[list[Any]] = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    return results


def _argument(value: Any) -> Any:
    if isinstance(value, set):
        return {"set": [encode(one) for one in sorted(value, key=repr)]}
    return encode(value)


def in_python(program: Program, names: dict[str, Any] | None = None) -> list[list[Any]]:
    """The same of Python itself. The arguments are copied, a call may change them."""
    import copy

    space: dict[str, Any] = {**(names or {}), "__name__": "program"}
    exec(compile(program.source, program.name, "exec"), space)
    results: list[list[Any]] = []
    for call in program.calls:
        arguments = copy.deepcopy(list(call))
        try:
            results.append([encode(space[program.name](*arguments)), [encode(one) for one in arguments]])
        except Exception as error:
            results.append([{"error": type(error).__name__}, None])
    return results


def same(ours: Any, theirs: Any) -> bool:
    """Whether two encoded results are equal; floats to 12 digits."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        if "error" in theirs and str(theirs["error"]).startswith("native "):
            native = {"TypeError": ("TypeError", "AttributeError"), "RangeError": ("RecursionError",)}
            return ours.get("error") in native.get(theirs["error"].split()[1].rstrip(":"), ())
        return ours.keys() == theirs.keys() and all(same(ours[key], theirs[key]) for key in ours)
    if isinstance(ours, list) and isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(same, ours, theirs))
    numbers = (int, float)
    if isinstance(ours, numbers) and isinstance(theirs, numbers) and not isinstance(ours, bool):
        return not isinstance(theirs, bool) and math.isclose(ours, theirs, rel_tol=1e-12, abs_tol=1e-300)
    return type(ours) is type(theirs) and bool(ours == theirs)
