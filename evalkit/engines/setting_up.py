"""What a user set for an engine, sorted into options and assets; assets found, and told apart by content."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import metrics.options
from evalkit.engines.base import Asset, EngineSpec, Setup
from evalkit.errors import EvalkitError
from evalkit.files import sha256_file

WEIGHTS = (".safetensors", ".bin", ".pth", ".pt", ".ckpt", ".gguf", ".onnx")
SKIPPED = ("__pycache__",)


def resolve(spec: EngineSpec, settings: Sequence[str], near: Sequence[Path] = ()) -> Setup:
    """`["speed=1.2", "vocab=v.txt"]` -> options, every one with its value, and assets, those that were found.

    near: folders to look for an asset's usual names in: the checkpoint's, its base's. Raises EvalkitError on a bad
    name or value, on an asset that is named and not there, and on a required one that is found nowhere.
    """
    named = {s.partition("=")[0]: Path(s.partition("=")[2]) for s in settings if s.partition("=")[0] in spec.assets}
    plain = [setting for setting in settings if setting.partition("=")[0] not in spec.assets]
    try:
        options = metrics.options.parse_settings(f"the engine '{spec.name}'", spec.options, plain)
    except ValueError as error:
        hint = f" It also takes these files: {', '.join(sorted(spec.assets))}." if spec.assets else ""
        raise EvalkitError(f"{error}{hint}") from error
    assets: dict[str, Path] = {}
    for name, asset in spec.assets.items():
        place = _named(name, named[name]) if name in named else _look(asset, near)
        if place is not None:
            assets[name] = place.absolute()
        elif asset.required:
            raise EvalkitError(_missing(spec, name, asset, near))
    return Setup(assets, options)


def asset_digests(setup: Setup) -> dict[str, str]:
    """Asset -> sha256 of its content. Of a folder: of the names and contents of all files in it, hidden ones left out.

    A checkpoint's own folder counts without its weights, which have a fingerprint of their own.
    """
    return {name: _digest(path) for name, path in setup.assets.items()}


def content_digest(path: Path) -> str:
    """sha256 of a file's content; of a folder's as `asset_digests` has it, weights counted too."""
    return sha256_file(path) if path.is_file() else _digest_of(path, _kept(path))


def _named(name: str, path: Path) -> Path:
    if not path.exists():
        raise EvalkitError(f"--set {name}={path}: there is no such file or folder.")
    return path


def _look(asset: Asset, near: Sequence[Path]) -> Path | None:
    for folder in near:
        for name in asset.names:
            if (folder / name).exists():
                return folder / name
    return _in_hub_cache(*asset.hub) if asset.hub else None


def _in_hub_cache(repository: str, file: str) -> Path | None:
    """A file that was downloaded before; nothing is downloaded here."""
    try:
        from huggingface_hub import try_to_load_from_cache
    except ImportError:
        return None
    found = try_to_load_from_cache(repository, file)
    return Path(found) if isinstance(found, str) else None


def _missing(spec: EngineSpec, name: str, asset: Asset, near: Sequence[Path]) -> str:
    looked = f" (looked for {' or '.join(asset.names)} in {', '.join(map(str, near))})" if asset.names and near else ""
    hub = f", or download {asset.hub[1]} of {asset.hub[0]} from the Hugging Face Hub once" if asset.hub else ""
    return f"The engine '{spec.name}' needs {asset.description}{looked}: name it with --set {name}=PATH{hub}."


def _digest(path: Path) -> str:
    return sha256_file(path) if path.is_file() else _digest_of(path, _files(path))


def _digest_of(folder: Path, files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.relative_to(folder).as_posix()} {sha256_file(file)}\n".encode())
    return digest.hexdigest()


def _files(folder: Path) -> list[Path]:
    """Without the weights of a checkpoint."""
    kept = _kept(folder)
    checkpoint = (folder / "config.json").is_file() and any(path.suffix == ".safetensors" for path in kept)
    return [path for path in kept if not (checkpoint and path.suffix in WEIGHTS)]


def _kept(folder: Path) -> list[Path]:
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    inside = [path.relative_to(folder).parts for path in found]
    return [
        path
        for path, parts in zip(found, inside, strict=True)
        if not any(part.startswith(".") or part in SKIPPED for part in parts)
    ]
