"""Which standard judges there are, which files each consists of, and where those come from."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import cast

from metrics.packages import missing_packages, package_file


@dataclass(frozen=True)
class Part:
    """One file of a judge. names: what the source may call it, best first; the first that the source has is taken.

    stored: its name in the judges folder, where that is not the source's.
    """

    names: tuple[str, ...]
    required: bool = True
    stored: str | None = None

    def stored_as(self, name: str) -> str:
        """Name in the judges folder of the file that the source calls `name`."""
        return self.stored or name


@dataclass(frozen=True)
class Judge:
    """A downloadable judge. Its files come from `repository` of Hugging Face, or from `address`, which is one file.

    sha256: stored name -> hex digest, of files whose digest is published with their address.
    """

    kind: str
    name: str
    parts: tuple[Part, ...]
    repository: str | None = None
    address: str | None = None
    sha256: Mapping[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return f"{self.kind}:{self.name}"

    @property
    def single_file(self) -> bool:
        return self.address is not None

    @property
    def source(self) -> str:
        """Where the judge is published, for people and for the lock file."""
        return self.address or f"https://huggingface.co/{self.repository}"


KINDS = ("whisper", "faster-whisper", "wespeaker", "wav2vec2")

# Import name and extra of the package that carries the addresses of a kind.
_CARRIERS = {"whisper": ("whisper", "standard"), "faster-whisper": ("faster_whisper", "faster-whisper")}

_FASTER_WHISPER_PARTS = (
    Part(("config.json",)),
    Part(("model.bin",)),
    Part(("tokenizer.json",)),
    Part(("vocabulary.txt", "vocabulary.json")),
    Part(("preprocessor_config.json",), required=False),  # only of the models with 128 mel bands
)
_WAV2VEC2_PARTS = (
    Part(("config.json",)),
    Part(("vocab.json",)),
    Part(("model.safetensors", "pytorch_model.bin")),
    Part(("preprocessor_config.json",), required=False),
    Part(("tokenizer_config.json",), required=False),
    Part(("special_tokens_map.json",), required=False),
)


def find_judge(kind: str, name: str) -> Judge | None:
    """The judge of that name or alias ("large" is "large-v3"); None if there is none, or if its package is missing."""
    return _judges(kind).get(name)


def names(kind: str) -> list[str]:
    """Names of the judges of a kind, without aliases; empty if the package that carries the addresses is missing."""
    return [name for name, judge in _judges(kind).items() if judge.name == name]


def parse(judge_id: str) -> Judge:
    """`"whisper:base.en"` -> the judge. Raises ValueError with the nearest name, or the missing package."""
    kind, _, name = judge_id.partition(":")
    if judge := find_judge(kind, name):
        return judge
    if problem := missing_carrier(kind):
        raise ValueError(f"{judge_id} {problem}.")
    known = [f"{kind}:{name}" for kind in KINDS for name in _judges(kind)]
    close = difflib.get_close_matches(judge_id, known, n=1)
    hint = f"did you mean '{close[0]}'?" if close else "evalkit fetch --list shows what there is."
    raise ValueError(f"Unknown judge '{judge_id}': {hint}")


def missing_carrier(kind: str) -> str | None:
    """None if the addresses of a kind are at hand, else "needs the package whisper: pip install ..."."""
    if kind not in _CARRIERS:
        return None
    package, extra = _CARRIERS[kind]
    return missing_packages((package,), extra)


def _judges(kind: str) -> Mapping[str, Judge]:
    if missing_carrier(kind):
        return {}
    if kind == "whisper":
        return _whisper()
    if kind == "faster-whisper":
        return _faster_whisper()
    return {judge.name: judge for judge in _ON_HUGGING_FACE if judge.kind == kind}


def _whisper() -> dict[str, Judge]:
    """openai-whisper's own table: the folder of each address is the sha256 of the file."""
    judges = {}
    for alias, (name, address) in _unaliased(package_table("whisper", "__init__.py", "_MODELS")).items():
        digest, file = address.split("/")[-2:]
        judges[alias] = Judge("whisper", name, (Part((file,)),), address=address, sha256={file: digest})
    return judges


def _faster_whisper() -> dict[str, Judge]:
    table = package_table("faster_whisper", "utils.py", "_MODELS")
    return {
        alias: Judge("faster-whisper", name, _FASTER_WHISPER_PARTS, repository=repository)
        for alias, (name, repository) in _unaliased(table).items()
    }


def _unaliased(table: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """name -> (first name that has the same value, value)."""
    first: dict[str, str] = {}
    for name, value in table.items():
        first.setdefault(value, name)
    return {name: (first[value], value) for name, value in table.items()}


@lru_cache(maxsize=8)
def package_table(package: str, module: str, variable: str) -> dict[str, str]:
    """A dictionary of strings that stands in an installed package's source, read without importing the package."""
    tree = ast.parse(package_file(package, module).read_text())
    for node in tree.body:
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == [variable]:
            return cast(dict[str, str], ast.literal_eval(node.value))
    raise ValueError(
        f"The installed package {package} has no table {variable}; install the version that evalkit names."
    )


# Read on the repositories' own pages; docs/judges.md says what was verified and what could not be.
_ON_HUGGING_FACE = (
    Judge(
        "wespeaker",
        "resnet34-lm",
        (Part(("avg_model.pt", "avg_model"), stored="avg_model.pt"), Part(("config.yaml",))),
        repository="Wespeaker/wespeaker-voxceleb-resnet34-LM",
    ),
    Judge(
        "wespeaker",
        "resnet221-lm",
        (
            Part(("avg_model.pt", "voxceleb_resnet221_LM.pt"), stored="avg_model.pt"),
            Part(("config.yaml", "voxceleb_resnet221_LM.yaml"), stored="config.yaml"),
        ),
        repository="Wespeaker/wespeaker-voxceleb-resnet221-LM",
    ),
    Judge("wav2vec2", "lv-60-espeak", _WAV2VEC2_PARTS, repository="facebook/wav2vec2-lv-60-espeak-cv-ft"),
)
