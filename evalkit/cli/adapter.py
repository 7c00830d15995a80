"""`evalkit adapter`: LoRA adapters out of fine-tunes and out of each other."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evalkit.cli import options as o
from evalkit.errors import EvalkitError

if TYPE_CHECKING:
    from evalkit.merging import Adapter

adapter = typer.Typer(
    no_args_is_help=True,
    help="Make LoRA adapters: extracted from a full fine-tune, or combined from several. "
    "To fold one into its base: evalkit merge --base base.pth adapter/ -o folded.pth.",
)

OutFolder = Annotated[
    Path, typer.Option("--out", "-o", help="Folder to write, as peft lays it out; it must not exist.")
]


@adapter.command("extract")
def extract(
    tuned: Annotated[Path, typer.Argument(help="The full fine-tune.")],
    base: Annotated[Path, typer.Option("--base", help="The checkpoint that it was tuned from.")],
    rank: Annotated[int, typer.Option("--rank", "-r", min=1, help="Rank of the adapter.")],
    out: OutFolder,
    targets: Annotated[
        list[str] | None,
        typer.Option("--target", help="Only modules of this name, or whose name ends so: 'to_q'. Repeatable."),
    ] = None,
    as_json: o.JsonOption = False,
) -> None:
    """Extract the LoRA adapter of a rank that comes closest to a full fine-tune, by truncated SVD of every layer."""
    from evalkit.checkpoints import read_checkpoint
    from evalkit.cli.show import print_rows
    from evalkit.merging.lora_extract import extract_adapter

    _check_target(out)
    made, energies = extract_adapter(
        read_checkpoint(base).tensors, read_checkpoint(tuned).tensors, rank, _names(targets)
    )
    _write(out, made, base)
    if as_json:
        content = {"kept": dict(energies.kept), "left_out": dict(energies.left_out), "total": energies.total}
        print(json.dumps(content, indent=1))
        return
    rows = [{"layer": layer, "change kept": f"{share:.1%}"} for layer, share in energies.kept.items()]
    print_rows(f"{out}, rank {rank}", rows, as_json=False)
    print(f"\nThe adapter holds {energies.total:.1%} of the fine-tune's change.")
    if energies.left_out:
        worst = sorted(energies.left_out.items(), key=lambda item: -item[1])[:5]
        named = ", ".join(f"{key} {share:.2%}" for key, share in worst)
        lost = sum(energies.left_out.values())
        print(f"{lost:.1%} lies in {len(energies.left_out)} tensors that a LoRA cannot hold, most in {named}.")


@adapter.command("combine")
def combine(
    adapters: Annotated[
        list[str], typer.Argument(metavar="ADAPTER[:WEIGHT]...", help="Adapter folders, each with its coefficient.")
    ],
    out: OutFolder,
    method: Annotated[
        str,
        typer.Option(
            "--method",
            "-m",
            help="cat: exact, ranks add up. svd: the exact sum at a rank. linear: peft's sum of factors, a baseline. "
            "ties_svd, dare_linear_svd, ...: a merge method on the full updates, then truncated.",
        ),
    ] = "svd",
    rank: Annotated[
        int | None, typer.Option("--rank", "-r", min=1, help="Rank of the result; by default the sum of the ranks.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A parameter of the merge method.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Seed of a random method.")] = 0,
    as_json: o.JsonOption = False,
) -> None:
    """Combine several LoRA adapters of one base into one adapter.

    As task vectors, with every method and by layer, adapters are merged by evalkit merge --base BASE ADAPTER... -o
    FILE.
    """
    from evalkit.cli.merge import split_weight
    from evalkit.cli.show import print_rows
    from evalkit.merging.base import find_method
    from evalkit.merging.lora import read_adapter
    from evalkit.merging.lora_combine import SVD, combine_adapters
    from evalkit.merging.lora_config import common_base

    _check_target(out)
    pairs = [split_weight(argument) for argument in adapters]
    read = [read_adapter(Path(path)) for path, _ in pairs]
    merger = find_method(method.removesuffix(SVD)) if method.endswith(SVD) else None
    options: dict[str, Any] = merger.parse(settings or []) if merger else {}
    if settings and not merger:
        raise EvalkitError(f"--set {settings[0]}: the combination '{method}' has no parameters; leave it out.")
    base = common_base([Path(path) for path, _ in pairs])
    weights = [1.0 if weight is None else weight for _, weight in pairs]
    made = combine_adapters(read, weights, method, rank=rank, seed=seed, **options)
    _write(out, made, base)
    if as_json:
        content = {name: {"rank": update.rank, "kept": made.kept.get(name)} for name, update in made.updates.items()}
        print(json.dumps(content, indent=1))
        return
    rows = [
        {"layer": name, "rank": update.rank, "kept": f"{made.kept[name]:.1%}" if name in made.kept else None}
        for name, update in made.updates.items()
    ]
    print_rows(f"{out} by {method}", rows, as_json=False)


def _check_target(out: Path) -> None:
    if os.path.lexists(out):
        raise EvalkitError(f"{out} exists; name a folder that does not.")
    if not out.resolve().parent.is_dir():
        raise EvalkitError(f"Cannot write {out}: the folder {out.resolve().parent} does not exist; make it first.")


def _write(out: Path, made: Adapter, base: Path | str) -> None:
    """base: where it is on this disk, or its name on a hub."""
    from evalkit.checkpoints.writing_folder import whole_folder
    from evalkit.merging.lora_write import write_adapter

    name = os.path.relpath(base.resolve(), out.resolve()) if isinstance(base, Path) else base
    with whole_folder(out) as folder:
        write_adapter(folder, made, name)


def _names(targets: list[str] | None) -> list[str] | None:
    return list(o.comma_separated(targets)) or None
