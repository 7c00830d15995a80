"""`evalkit diagnose`: will this training data make a good fine-tune?"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalkit.cli import options as o
from evalkit.errors import EvalkitError

if TYPE_CHECKING:
    from evalkit.diagnostics.training.diagnosing import Diagnosed


def diagnose(
    data: Annotated[
        Path,
        typer.Argument(
            help="A folder of audio (its folders are speakers), LJSpeech's metadata.csv, a CSV, TSV or JSONL manifest, "
            "Kaldi's wav.scp, Lhotse manifests, a Hugging Face dataset on disk, or WebDataset tars.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder that diagnoses go into.")] = Path("diagnoses"),
    fields: Annotated[
        list[str] | None,
        typer.Option(
            "--field",
            metavar="FIELD=NAME",
            help="How the manifest calls audio, text, speaker, id, start, end or seconds, where it is not told from "
            "the usual names: 'speaker=reader_name'; repeatable.",
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", min=0, help="Processes that decode; by default one per core but one.")
    ] = None,
    device: o.DeviceOption = "auto",
    judges: o.JudgesOption = o.JudgeChoice.auto,
    dnsmos_clips: Annotated[
        int | None,
        typer.Option(
            "--dnsmos-clips",
            min=1,
            help="DNS-MOS of about so many clips per speaker: enough to know its spread, and much faster on a CPU.",
        ),
    ] = None,
    transcripts: Annotated[
        int,
        typer.Option("--transcripts", min=0, help="Clips per speaker whose text is held against what a judge hears."),
    ] = 0,
    fix: Annotated[
        Path | None, typer.Option("--fix", metavar="OUT.jsonl", help="Write a manifest of the clips worth training on.")
    ] = None,
    drop: Annotated[
        list[str] | None,
        typer.Option(
            "--drop",
            metavar="FLAG",
            help="Flags that --fix drops clips for, instead of the usual ones (unreadable clips always go).",
        ),
    ] = None,
    pick_references: Annotated[
        int | None, typer.Option("--pick-references", min=1, help="Name the N best cloning references of each speaker.")
    ] = None,
    mix: Annotated[
        str | None,
        typer.Option("--mix", metavar="SPEAKER=HOURS,...", help="Plan a mix of speakers ('2': 2 hours of each)."),
    ] = None,
    mix_manifest: Annotated[
        Path | None, typer.Option("--mix-manifest", metavar="OUT.jsonl", help="Write the manifest of the mix.")
    ] = None,
    markdown: Annotated[Path | None, typer.Option("--markdown", help="Write the diagnosis as Markdown too.")] = None,
    as_json: o.JsonOption = False,
    quiet: o.QuietOption = False,
) -> None:
    """Measure a training set before anyone trains on it, and say what a fine-tune on each speaker can expect.

    Energy variability and the spread of DNS-MOS told the outcome of LoRA fine-tuning better than any loss in the study
    that this rests on (docs/diagnose.md). An interrupted diagnosis goes on where it stopped. Example:

        evalkit diagnose recordings/ --fix clean.jsonl --pick-references 3
    """
    from evalkit.cli.show import counting_bar
    from evalkit.diagnostics.training.diagnosing import Wanted, diagnose_set
    from evalkit.diagnostics.training.transcripts import WER_MIN_CLIPS

    if mix_manifest is not None and mix is None:
        raise EvalkitError("--mix-manifest: say what to mix with --mix.")
    if 0 < transcripts < WER_MIN_CLIPS:
        raise EvalkitError(f"--transcripts {transcripts}: fewer than {WER_MIN_CLIPS} clips say nothing of a speaker.")
    if drop is not None and fix is None:
        raise EvalkitError("--drop: it says what --fix leaves out; give --fix OUT.jsonl too.")
    wanted = Wanted(
        out=out,
        fields=_fields(fields or []),
        workers=workers,
        device=device,
        judges=judges.value,
        dnsmos_clips=dnsmos_clips,
        transcripts=transcripts,
        fix=fix,
        drop=o.comma_separated(drop) or None,
        pick_references=pick_references,
        mix=mix,
        mix_manifest=mix_manifest,
        markdown=markdown,
    )
    with counting_bar("clips", quiet) as progress:
        found = diagnose_set(data, wanted, progress, o.say)
    if as_json:
        print(json.dumps(found.diagnosis, ensure_ascii=False, indent=1))
    else:
        _show(found)
    if found.failed is not None:
        raise found.failed


def _show(found: Diagnosed) -> None:
    from rich.console import Console

    from reports.diagnosis_text import diagnosis_table

    console = Console(width=None if sys.stdout.isatty() else 140)
    console.print(diagnosis_table(found.diagnosis))
    for line in found.lines():
        console.print(line, highlight=False, soft_wrap=True, markup=False)


def _fields(given: list[str]) -> dict[str, str]:
    from evalkit.diagnostics.corpus.fields import ALIASES
    from evalkit.registry import unknown

    fields = {}
    for text in given:
        field, equals, name = (part.strip() for part in text.partition("="))
        if not equals or not name:
            raise EvalkitError(f"--field {text}: write it as field=name, like speaker=reader_name.")
        if field not in ALIASES:
            raise EvalkitError(f"--field {text}: {unknown('field', field, list(ALIASES))}")
        fields[field] = name
    return fields
