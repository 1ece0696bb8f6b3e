"""What a compiled program moves between devices, read from its optimised HLO text."""

import collections
import dataclasses
import math
import re
from collections.abc import Iterator

KINDS = ("all-gather", "all-reduce", "reduce-scatter", "all-to-all", "collective-permute")

_COMPUTATION = re.compile(r"^(?:ENTRY )?%?([\w.\-]+) \(.*\{$")
_COLLECTIVE = re.compile(rf"= (.+?) ({'|'.join(KINDS)})(-start)?\(")
_ARRAY = re.compile(r"\b(pred|bf16|f8\w*|[fsuc]\d+)\[([\d,]*)\]")
_WHILE = re.compile(r" while\(.*condition=%?([\w.\-]+), body=%?([\w.\-]+)")
_CALLED = re.compile(r"(?:calls|to_apply|body|called_computations)=\{?%?([\w.\-]+)")
_CHANNEL = re.compile(r"channel_id=(\d+)")
_SHARED_CHANNEL = "1"  # of those that a pass of the compiler made
_BOUND = re.compile(r"= s32\[\]\S* constant\((\d+)\)")
_DEVICES = re.compile(r"num_partitions=(\d+)")
_GROUP = re.compile(r"replica_groups=(?:\{\{([\d,]+)\}|\[\d+,(\d+)\]<=|mesh\[([^\]]*)\][^{]*?\{([^}]*)\})")
_AXIS = re.compile(r"'(\w+)'(?:=|:\(\d+\))?(\d*)")


@dataclasses.dataclass(frozen=True)
class Collective:
    """All collectives of one kind and dtype in one run of a program, on one device."""

    kind: str
    dtype: str
    count: int
    """Times that one is run."""
    bytes: int
    """Of their results, all runs together."""
    sent: int
    """Bytes that the device sends for them where its group forms a ring, all runs together."""


def collectives(hlo: str) -> list[Collective]:
    """The collectives of a program by kind and dtype, those that send most first.

    A loop's body counts as often as the loop's bound says: the largest constant that its condition compares with
    (`cost_analysis` counts it once). One that was cut into a start, a part inside a fusion and an end stands in
    the text three times under one channel, and counts once. XLA for TPUs writes a reduce-scatter as an all-reduce
    in a fusion of that name; its result is what one device keeps.
    """
    bodies = dict(_computations(hlo))
    partitions = _DEVICES.search(hlo)
    devices = int(partitions[1]) if partitions else 1
    totals: dict[tuple[str, str], list[int]] = collections.defaultdict(lambda: [0, 0, 0])
    channels: set[str] = set()
    for name, times in _runs(bodies).items():
        for line in bodies[name]:
            found, channel = _COLLECTIVE.search(line), _CHANNEL.search(line)
            if found is None or (channel and channel[1] in channels):
                continue
            if channel and channel[1] != _SHARED_CHANNEL:
                channels.add(channel[1])
            kind, arrays = found[2], _ARRAY.findall(found[1])
            if found[3]:  # an asynchronous one returns its operands besides its results
                arrays = arrays[len(arrays) // 2 :]
            if name.startswith("all-reduce-scatter"):
                root = next(line for line in bodies[name] if line.lstrip().startswith("ROOT"))
                kind, arrays = "reduce-scatter", _ARRAY.findall(root.partition("=")[2].partition("(%")[0])
            for dtype in {dtype for dtype, _ in arrays}:
                size = sum(_bytes(*array) for array in arrays if array[0] == dtype)
                for place, once in enumerate((1, size, _sent(kind, size, _group(line, devices)))):
                    totals[kind, dtype][place] += times * once
    return sorted((Collective(*key, *total) for key, total in totals.items()), key=lambda one: -one.sent)


def _sent(kind: str, size: int, group: int) -> int:
    """Bytes that one of `group` devices in a ring sends for one collective whose result has `size` bytes."""
    parts = {"all-reduce": 2 * (group - 1), "reduce-scatter": group * (group - 1), "collective-permute": group}
    return size * parts.get(kind, group - 1) // group


def _group(line: str, devices: int) -> int:
    """How many devices take part in one group of a collective; without groups, all of them.

    XLA writes `{{0,1},{2,3}}`, `[groups,size]<=[...]`, or `mesh['a'=2,'b'=4] {'b'}` with the axes of a group.
    """
    found = _GROUP.search(line)
    if found is None:
        return devices
    listed, size, mesh, axes = found.groups()
    if listed or size:
        return int(size) if size else listed.count(",") + 1
    sizes = dict(_AXIS.findall(mesh))
    return math.prod(int(part or sizes[axis]) for axis, part in _AXIS.findall(axes))


def _computations(hlo: str) -> Iterator[tuple[str, list[str]]]:
    name = ""
    lines: list[str] = []
    for line in hlo.splitlines():
        if start := _COMPUTATION.match(line):
            name, lines = ("ENTRY" if line.startswith("ENTRY") else start[1]), []
        elif line == "}" and name:
            yield name, lines
            name = ""
        else:
            lines.append(line)


def _runs(bodies: dict[str, list[str]]) -> dict[str, int]:
    """How often each computation is run when the program is run once."""
    runs: collections.Counter[str] = collections.Counter()

    def walk(name: str, times: int) -> None:
        runs[name] += times
        for line in bodies[name]:
            if loop := _WHILE.search(line):
                bound = max((int(n) for text in bodies[loop[1]] for n in _BOUND.findall(text)), default=1)
                walk(loop[2], times * bound)
            else:
                for called in _CALLED.findall(line):
                    if called in bodies:
                        walk(called, times)

    walk("ENTRY", 1)
    return runs


def _bytes(dtype: str, shape: str) -> int:
    size = 1 if dtype == "pred" or dtype.startswith("f8") else int(re.sub(r"\D", "", dtype)) // 8
    return size * math.prod(int(n) for n in shape.split(",") if n)
