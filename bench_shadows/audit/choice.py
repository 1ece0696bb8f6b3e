"""Which models an audit is of, which pairs of them are measured, and whether OUT may hold it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench_shadows.audit import adapters
from bench_shadows.audit.adapters import Adapter, find_adapter
from bench_shadows.audit.coverage import coverage
from bench_shadows.audit.sources import Source, open_source, with_unique_names
from bench_shadows.errors import ConfigError, RunError
from bench_shadows.files import read_json
from bench_shadows.progress import say

Pair = tuple[Source, Source]  # a model and its reference

OUTPUTS = ("diagnostics.parquet", "changes.parquet", "findings.json", "report")  # besides audit.json


def open_all(
    models: Sequence[str],
    reference: str | None,
    baseline_of: Sequence[tuple[str, str]],
    embeddings: bool,
    layout: Mapping[str, str] | None = None,
) -> tuple[list[Source], list[Pair]]:
    """Every model and reference once, in the order given, and the pairs that are measured.

    An adapter with a base gives two models: the merged one, compared with the base, and the update.
    """
    given = list(dict.fromkeys(models))
    if not given:
        raise ConfigError("audit: name a model: a folder, a file, an Orbax checkpoint or a name on the hub")
    wanted = [(model, reference) for model in given if reference is not None and model != reference]
    for model, base in baseline_of:
        if model not in given:
            raise ConfigError(
                f"--baseline-of {model}={base}: {model} is not one of the models: {', '.join(given)}"
            )
        wanted.append((model, base))
    found = {name: adapter for name in given if (adapter := find_adapter(name)) is not None}
    for name, adapter in found.items():
        if adapter.base is not None and not any(model == name for model, _ in wanted):
            say(f"{name}: an adapter; {adapter.base} is its base by its own word")
            wanted.append((name, adapter.base))
    bases = list(dict.fromkeys(base for _, base in wanted))
    if strange := [base for base in bases if find_adapter(base) is not None]:
        raise RunError(f"{strange[0]}: an adapter is no model, and cannot be a reference")
    plain = {name: open_source(name, embeddings, layout) for name in [*given, *bases] if name not in found}
    sources: dict[Any, Source] = {}
    places: dict[str, Any] = {}  # what the user named -> the key of the source that is compared
    for name in dict.fromkeys([*given, *bases]):
        own = [base for model, base in wanted if model == name]
        for source in _of_adapter(found[name], own, plain) if name in found else [plain[name]]:
            key = source.path.resolve(), source.role
            places.setdefault(name, key)
            sources.setdefault(key, source)
    for source in sources.values():
        if not source.weights.stacks:
            raise RunError(_nothing(source))
    named = dict(zip(sources, with_unique_names(list(sources.values())), strict=True))
    pairs = [(named[places[model]], named[places[base]]) for model, base in dict.fromkeys(wanted)]
    for one, two in pairs:
        if one is two:
            raise ConfigError(f"{one.given}: a checkpoint cannot be its own reference")
    return list(named.values()), pairs


def _of_adapter(adapter: Adapter, bases: Sequence[str], plain: dict[str, Source]) -> Sequence[Source]:
    if len(bases) > 1:
        raise ConfigError(f"{adapter.given}: an adapter has one base, not {' and '.join(bases)}")
    return adapters.with_base(adapter, plain[bases[0]]) if bases else [adapters.alone(adapter)]


def _nothing(source: Source) -> str:
    """What a checkpoint without a matrix is."""
    found = coverage(source.weights)
    shares = [
        f"{reason} ({parameters / max(1, found.parameters):.0%} of the parameters)"
        for reason, _, parameters in found.by_reason()[:4]
    ]
    what = f"{found.tensors:,} tensors, {', '.join(shares)}" if shares else "no tensor in it"
    return f"{source.given}: 0 matrices to read: {what}; name the folder of a model's weights"


def refuse_other(out: Path, sources: Sequence[Source], models: Sequence[str]) -> None:
    """Raises ConfigError where OUT holds something else than an audit of these models or of fewer."""
    if not (out / "audit.json").is_file():
        strange = [name for name in OUTPUTS if (out / name).exists()]
        if strange and not (out / "work").is_dir():
            raise ConfigError(f"--out={out}: it holds {strange[0]}, which no audit wrote; choose another folder")
        return
    try:
        about = read_json(out / "audit.json")
        before = set(about["audited"])
    except (ValueError, OSError, KeyError, TypeError) as error:
        raise ConfigError(f"--out={out}: its audit.json cannot be read; choose another folder") from error
    if lost := sorted(before - set(audited(sources, models))):
        raise ConfigError(
            f"--out={out}: it holds the audit of {lost[0]}, which would be lost; choose another --out, such as "
            f"{out.with_name(f'{out.name}-2')}, or remove it"
        )


def audited(sources: Sequence[Source], models: Sequence[str]) -> list[str]:
    """Where the models are that the user named, references aside."""
    return sorted({str(source.path.resolve()) for source in sources if source.given in models})
