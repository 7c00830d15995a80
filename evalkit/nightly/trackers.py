"""Finished runs in MLflow and in Weights & Biases, by their own packages.

A run is logged once: its identity in the tracker is the night and the run, so that a night that is carried on after a
kill meets its own entry again.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from evalkit.errors import EvalkitError
from evalkit.nightly.schema import LogEntry, MlflowEntry, WandbEntry

TAG = "evalkit.entry"


class Tracker(Protocol):
    name: str

    def log(self, name: str, identity: str, params: Mapping[str, str], metrics: Mapping[str, float], run: Path) -> None:
        """One run, with its report as an artifact. Raises whatever the package raises."""
        ...


def trackers(log: LogEntry) -> list[Tracker]:
    found: list[Tracker] = []
    if log.mlflow is not None:
        found.append(Mlflow(log.mlflow))
    if log.wandb is not None:
        found.append(Wandb(log.wandb))
    return found


def log_run(tracker: Tracker, entry: Mapping[str, Any], night: str, run: Path) -> str | None:
    """Log an entry of a night; returns what went wrong, in a sentence, and never raises."""
    name = f"{entry['label']} on {entry['suite']}, {night}"
    try:
        tracker.log(name, f"{night}/{entry['run']}", params_of(entry, night), metrics_of(entry), run)
    except EvalkitError as error:
        return str(error)
    except Exception as error:  # whatever a tracker, its server or its disk does
        lines = str(error).strip().splitlines()
        return f"{type(error).__name__}: {lines[0] if lines else 'no reason was given'}"
    return None


def params_of(entry: Mapping[str, Any], night: str) -> dict[str, str]:
    said = {
        "night": night,
        "label": entry["label"],
        "checkpoint": entry["model"],
        "fingerprint": entry["fingerprint"],
        "suite": entry["suite"],
        "engine": entry["engine"],
        "run": entry["run"],
        "verdict": entry["verdict"],
        "passports": entry["passports"],
    }
    return {key: str(value) for key, value in said.items() if value is not None}


def metrics_of(entry: Mapping[str, Any]) -> dict[str, float]:
    """Means, the ends of their intervals, and the coverage."""
    found = {"coverage": float(entry["coverage"]["share"])}
    for name, one in entry["columns"].items():
        found[name] = float(one["mean"])
        if one["ci95"]:
            found[f"{name}_low"], found[f"{name}_high"] = map(float, one["ci95"])
    return found


class Mlflow:
    name = "MLflow"

    def __init__(self, entry: MlflowEntry) -> None:
        self._entry = entry

    def log(self, name: str, identity: str, params: Mapping[str, str], metrics: Mapping[str, float], run: Path) -> None:
        client = self._client()
        experiment = self._experiment(client)
        if client.search_runs([experiment], f"tags.`{TAG}` = '{identity}' and attributes.status = 'FINISHED'"):
            return
        logged = client.create_run(experiment, run_name=name, tags={TAG: identity}).info.run_id
        from mlflow.entities import Metric, Param

        when = int(run.stat().st_mtime * 1000)
        client.log_batch(
            logged,
            metrics=[Metric(key, value, when, 0) for key, value in metrics.items()],
            params=[Param(key, value) for key, value in params.items()],
        )
        client.log_artifact(logged, str(run / "report.html"))
        client.set_terminated(logged)

    def _client(self) -> Any:
        uri = self._entry.uri
        if uri.startswith("file:"):
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # newer versions ask for it in so many words
        try:
            from mlflow import MlflowClient
        except ImportError as error:
            raise EvalkitError("MLflow is not installed: pip install 'evalkit[mlflow]'.") from error
        return MlflowClient(tracking_uri=uri)

    def _experiment(self, client: Any) -> str:
        """Artifacts of a local database lie beside it, not in whatever folder the command was given in."""
        found = client.get_experiment_by_name(self._entry.experiment)
        if found is not None:
            return str(found.experiment_id)
        sqlite = "sqlite:///"
        place = None
        if self._entry.uri.startswith(sqlite):
            database = Path(self._entry.uri.removeprefix(sqlite))
            database.parent.mkdir(parents=True, exist_ok=True)
            place = (database.parent / "mlartifacts").absolute().as_uri()
        return str(client.create_experiment(self._entry.experiment, artifact_location=place))


class Wandb:
    name = "Weights & Biases"

    def __init__(self, entry: WandbEntry) -> None:
        self._entry = entry

    def log(self, name: str, identity: str, params: Mapping[str, str], metrics: Mapping[str, float], run: Path) -> None:
        try:
            import wandb
        except ImportError as error:
            raise EvalkitError("Weights & Biases is not installed: pip install 'evalkit[wandb]'.") from error
        from evalkit.files import digest

        self._entry.folder.mkdir(parents=True, exist_ok=True)
        logged = wandb.init(
            project=self._entry.project,
            entity=self._entry.entity,
            mode=self._entry.mode,
            dir=str(self._entry.folder),
            name=name,
            id=digest(identity)[:16],
            resume="allow" if self._entry.mode == "online" else None,
            config=dict(params),
            reinit="finish_previous",
            settings=wandb.Settings(silent=True, disable_git=True, disable_code=True, console="off"),
        )
        logged.log(dict(metrics))
        # A copy in the run's own folder: saved from elsewhere it would be a link, which no other machine can follow.
        shutil.copyfile(run / "report.html", Path(logged.dir) / "report.html")
        logged.save(str(Path(logged.dir) / "report.html"), base_path=logged.dir, policy="now")
        logged.finish()
