"""`evalkit merge`: a recipe, or the same said on the command line, into a checkpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evalkit.cli import options as o
from evalkit.errors import EvalkitError, some

if TYPE_CHECKING:
    from evalkit.merging.files import MergedFile
    from evalkit.merging.recipe import Recipe


def merge(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="RECIPE | MODEL[:WEIGHT]...",
            help="A recipe (.yaml), or the parents: checkpoints or LoRA adapters, each with its coefficient (1 if left "
            "out), 'sarah.pth:0.6', or with a name of its own, 'voice=sarah.pth:0.6'.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", help="What to write: .pth, .pt, .safetensors, or a folder if the base is one."),
    ],
    base: Annotated[
        Path | None, typer.Option("--base", help="The checkpoint that all parents were tuned from.")
    ] = None,
    method: Annotated[str | None, typer.Option("--method", "-m", help="See evalkit list mergers.")] = None,
    layers: Annotated[
        list[str] | None,
        typer.Option(
            "--layers",
            metavar="MODEL:PATTERN=WEIGHT",
            help="Another coefficient for some layers: 'sarah:decoder=1', 'sumit:decoder.blocks.0-2=0.5', a preset "
            "('sarah:early=1', see evalkit list presets), a wildcard, or re:REGEX. Repeatable; the first match counts.",
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A parameter of the method: 'density=0.3'; repeatable."),
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Seed of a random method (DARE, DELLA).")] = None,
    unmatched: Annotated[
        str | None,
        typer.Option(
            "--unmatched", help="Tensors without a partner: error (default), or kept from base or keep:MODEL."
        ),
    ] = None,
    canonical: Annotated[
        bool | None,
        typer.Option("--canonical/--no-canonical", help="Merge effective weights, or tensors as the files spell them."),
    ] = None,
    layout: Annotated[
        str | None,
        typer.Option("--layout", help="Whose names and types the result has: base (default), a model's, or canonical."),
    ] = None,
    dtype: Annotated[str | None, typer.Option("--dtype", help="float32, float16 or bfloat16, if another one.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the output if it exists.")] = False,
    as_json: o.JsonOption = False,
) -> None:
    """Merge checkpoints in weight space, and LoRA adapters with them.

    The result has the layout of the base and a record of its recipe and its parents' sha256. Examples:

        evalkit merge --base base.pth sarah.pth:0.6 sumit.pth:1.0 -o merged.pth

        evalkit merge recipe.yaml -o merged.pth
    """
    import torch

    from evalkit.checkpoints.read_file import RECIPES
    from evalkit.merging.files import merge_files
    from evalkit.merging.recipe import read_recipe

    torch.set_num_threads(1)  # merging is bound by memory: more threads only get into the way of the one that hashes
    said = {
        "base": base,
        "method": method,
        "seed": seed,
        "unmatched": unmatched,
        "canonical": canonical,
        "layout": layout,
        "dtype": dtype,
    }
    said = {name: value for name, value in said.items() if value is not None}
    text = None
    if len(models) == 1 and models[0].lower().endswith(RECIPES):
        extra = [f"--{name}" for name in said] + ["--layers"] * bool(layers) + ["--set"] * bool(settings)
        if extra:
            raise EvalkitError(f"{extra[0]} does not go with a recipe; say it in {models[0]}.")
        recipe, text = read_recipe(Path(models[0]))
    else:
        recipe = _recipe(models, said, layers or [], settings or [])
    _show(merge_files(recipe, out, text, force), as_json)


def _recipe(models: list[str], said: dict[str, Any], layers: list[str], settings: list[str]) -> Recipe:
    """The recipe that the command line spells."""
    from evalkit.merging.base import find_method
    from evalkit.merging.recipe import make_recipe

    parents = [_model(argument) for argument in models]
    for rule in layers:
        name, pattern, weight = _rule(rule)
        owner = next((parent for parent in parents if parent["name"] == name), None)
        if owner is None:
            known = ", ".join(parent["name"] for parent in parents)
            raise EvalkitError(f"--layers {rule}: there is no model '{name}'; the models are {known}.")
        owner["layers"].setdefault(pattern, weight)
    content = {name: str(value) if isinstance(value, Path) else value for name, value in said.items()}
    parameters = find_method(content.get("method", "task_arithmetic")).parse(settings)
    return make_recipe({**content, "models": parents, "parameters": parameters}, "on the command line")


def _model(argument: str) -> dict[str, Any]:
    """`name=path:0.6` -> the model; the name is the file's stem if not given."""
    from evalkit.checkpoints import stem

    path, weight = split_weight(argument)
    name, equals, rest = path.partition("=")
    if not equals or Path(path).exists():
        name, rest = stem(Path(path)), path
    return {"name": name, "path": rest, "weight": weight, "layers": {}}


def split_weight(argument: str) -> tuple[str, float | None]:
    """`path:0.6` -> ("path", 0.6); the coefficient is None if not given."""
    path, _, last = argument.rpartition(":")
    weight = _number(last) if path else None
    return (argument, None) if weight is None else (path, weight)


def _rule(rule: str) -> tuple[str, str, float]:
    """`sarah:decoder.*=1` -> ("sarah", "decoder.*", 1.0)."""
    left, equals, value = rule.rpartition("=")
    name, colon, pattern = left.partition(":")
    weight = _number(value)
    if not (equals and colon and name and pattern) or weight is None:
        raise EvalkitError(f"--layers {rule}: write it as MODEL:PATTERN=WEIGHT, for example sarah:decoder=1.")
    return name, pattern, weight


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _show(merged: MergedFile, as_json: bool) -> None:
    if as_json:
        print(json.dumps(merged.record, ensure_ascii=False, indent=1))
        return
    from rich.console import Console

    from evalkit.cli.show import print_rows

    report = merged.report
    rows = [
        {
            "section": name,
            "tensors": section.tensors,
            "parameters": f"{section.parameters:,}",
            "coefficients": ", ".join(
                f"{parent} {'/'.join(f'{weight:g}' for weight in weights)}"
                for parent, weights in section.coefficients.items()
            ),
            "moved from base": None if section.relative_change is None else f"{section.relative_change:.3f}",
        }
        for name, section in report.sections.items()
    ]
    print_rows(f"{merged.path} by {report.method}", rows, as_json=False)
    console = Console(highlight=False, markup=False, soft_wrap=True)
    for line in _fates(merged):
        console.print(line)


def _fates(merged: MergedFile) -> list[str]:
    """What became of the tensors, in plain sentences; the record has the lists whole."""
    report = merged.report
    lines = [f"{len(report.merged)} tensors merged, {len(report.same)} the same in all and taken over."]
    if folded := max(len(keys) for keys in report.folded.values()):
        lines.append(f"{folded} layers with weight norm were merged as effective weights.")
    for name in dict.fromkeys(report.copied.values()):
        kept = [key for key, holder in report.copied.items() if holder == name]
        lines.append(f"{len(kept)} tensors without a partner kept from '{name}': {some(kept)}.")
    if report.dropped:
        lines.append(f"{len(report.dropped)} tensors without a partner dropped: {some(list(report.dropped))}.")
    if report.implied:
        lines.append(f"{len(report.implied)} tensors stood for the identity where a parent lacks them.")
    if report.counters:
        lines.append(f"{len(report.counters)} counters of BatchNorm: the largest was taken.")
    return lines
