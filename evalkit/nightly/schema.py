"""What may stand in a `nightly.toml`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

Setting = str | int | float | bool


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("it is empty; write something or leave it out")
    return text


Text = Annotated[str, AfterValidator(_not_blank)]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelEntry(Strict):
    """`[[model]]`: weights, or an engine that needs none. engine: several make the model run once with each.

    suites: names of the suites it runs on; all of them if not given. baseline: a run folder that stands in for the
    accepted baseline. settings: options and files of the engine. The rest is as `evalkit run` takes it.
    """

    name: Text
    path: Path | None = None
    engine: Text | Annotated[list[Text], Field(min_length=1)] | None = None
    base: Path | None = None
    voice: Text | None = None
    voice_text: Text | None = None
    reference: Path | None = None
    settings: dict[str, Setting] = Field(default_factory=dict)
    baseline: Path | None = None
    suites: Annotated[list[Text], Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _speaks(self) -> ModelEntry:
        if self.path is None and self.engine is None:
            raise ValueError("it has neither a path nor an engine; give the one that speaks")
        return self

    @property
    def engines(self) -> list[str | None]:
        return list(self.engine) if isinstance(self.engine, list) else [self.engine]


class SuiteEntry(Strict):
    """`[[suite]]`: a registered name, or the path of a folder or .jsonl file. rules: a gate.toml.

    Without rules the starter rules of the suite apply, where it has some.
    """

    name: Text | None = None
    path: Path | None = None
    items: list[Text] = Field(default_factory=list)
    limit: Annotated[int, Field(ge=1)] | None = None
    repeats: Annotated[int, Field(ge=1)] = 1
    seed: int = 0
    rules: Path | None = None

    @model_validator(mode="after")
    def _one(self) -> SuiteEntry:
        if (self.name is None) == (self.path is None):
            raise ValueError("give either a name or a path")
        return self


class RunEntry(Strict):
    """`[run]`: what every run has in common, as `evalkit run` takes it. settings: of metrics ("dnsmos.windows=all")."""

    judges: Literal["auto", "bundled", "standard"] = "auto"
    metrics: list[Text] = Field(default_factory=list)
    settings: list[Text] = Field(default_factory=list)
    device: Text = "auto"
    resampler: Literal["soxr", "device"] = "soxr"
    cache: bool = True
    time_limit: Annotated[float, Field(ge=1)] = 900.0
    min_coverage: Annotated[float, Field(ge=0, le=1)] = 1.0


class KeepEntry(Strict):
    """`[keep]`: whose audio is kept. audio_nights: of the last so many nights; 0 keeps everything for ever.

    baselines: of accepted baselines; blocked: of a run with which a gate began to block.
    """

    audio_nights: Annotated[int, Field(ge=0)] = 14
    baselines: bool = True
    blocked: bool = True


class MlflowEntry(Strict):
    """`[log.mlflow]`. uri: of the tracking server or database; a path without "://" is a folder of files."""

    uri: Text
    experiment: Text = "evalkit"


class WandbEntry(Strict):
    """`[log.wandb]`. offline writes files below `folder`, which `wandb sync` sends."""

    project: Text
    entity: Text | None = None
    mode: Literal["online", "offline"] = "offline"
    folder: Path = Path("wandb")


class LogEntry(Strict):
    """`[log]`: where finished runs are logged to besides evalkit's own history."""

    mlflow: MlflowEntry | None = None
    wandb: WandbEntry | None = None


class File(Strict):
    """A whole `nightly.toml`. out: the folder of the site."""

    title: Text = "Nightly"
    out: Path = Path("nightly")
    model: Annotated[list[ModelEntry], Field(min_length=1)]
    suite: Annotated[list[SuiteEntry], Field(min_length=1)]
    run: RunEntry = RunEntry()
    keep: KeepEntry = KeepEntry()
    log: LogEntry = LogEntry()
