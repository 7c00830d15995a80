"""MLflow and Weights & Biases for real: a local store read back, and offline files."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import pytest
from commands import Call
from made_nights import NIGHTLY, Site, made_run

ONE = NIGHTLY.replace('[[model]]\nname = "sumit"\npath = "sumit.pth"\n', "")


@pytest.fixture(autouse=True)
def _made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evalkit.pipeline.run.run_checkpoint", made_run)


@pytest.mark.parametrize("uri", ["sqlite:///mlflow/runs.db", "mlruns"])
def test_mlflow_holds_each_new_run_once(
    evalkit: Call, tmp_path: Path, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    site = Site(tmp_path, f'{ONE}\n[log.mlflow]\nuri = "{uri}"\nexperiment = "voices"\n')
    for label in ("one", "one", "two"):  # the same night again, and a night without news
        assert evalkit("nightly", site.config, "--night", label).exit_code == 0
    store = f"sqlite:///{tmp_path}/mlflow/runs.db" if uri.startswith("sqlite") else (tmp_path / uri).as_uri()
    client = mlflow.MlflowClient(tracking_uri=store)
    experiment = client.get_experiment_by_name("voices")
    (run,) = client.search_runs([experiment.experiment_id])
    entry = site.entry("one")
    assert run.info.status == "FINISHED" and run.info.run_name == "sarah on smoke, one"
    assert run.data.params["checkpoint"] == "sarah.pth" and run.data.params["passports"] == entry["passports"]
    assert run.data.params["fingerprint"] == entry["fingerprint"] and run.data.params["verdict"] == "pass"
    mean, (low, high) = entry["columns"]["dnsmos_ovrl"]["mean"], entry["columns"]["dnsmos_ovrl"]["ci95"]
    found = run.data.metrics
    assert found["dnsmos_ovrl"] == pytest.approx(mean) and found["coverage"] == 1.0
    assert (found["dnsmos_ovrl_low"], found["dnsmos_ovrl_high"]) == pytest.approx((low, high))
    assert [artifact.path for artifact in client.list_artifacts(run.info.run_id)] == ["report.html"]
    report = Path(client.download_artifacts(run.info.run_id, "report.html", str(tmp_path)))
    assert report.read_text() == (site.runs / entry["run"] / "report.html").read_text()


def test_wandb_offline_leaves_its_files(evalkit: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_SILENT", "true")
    site = Site(tmp_path, f'{ONE}\n[log.wandb]\nproject = "voices"\nfolder = "logs"\n')
    result = evalkit("nightly", site.config, "--night", "one")
    assert result.exit_code == 0 and site.night("one")["notices"] == [], result.output
    (run,) = (tmp_path / "logs" / "wandb").glob("offline-run-*")
    report = run / "files" / "report.html"
    assert not report.is_symlink()
    assert report.read_text() == (site.runs / site.entry("one")["run"] / "report.html").read_text()
    (stored,) = run.glob("*.wandb")
    content = stored.read_bytes()
    assert b"dnsmos_ovrl" in content and site.entry("one")["fingerprint"].encode() in content


@pytest.mark.parametrize(
    ("section", "package", "said"),
    [
        ('[log.mlflow]\nuri = "mlruns"', "mlflow", "MLflow is not installed: pip install 'evalkit[mlflow]'"),
        ('[log.wandb]\nproject = "p"', "wandb", "Weights & Biases is not installed: pip install 'evalkit[wandb]'"),
    ],
)
def test_a_package_that_is_missing_is_a_notice(
    evalkit: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, section: str, package: str, said: str
) -> None:
    real = builtins.__import__

    def missing(name: str, *rest: Any) -> Any:
        if name.split(".", maxsplit=1)[0] == package:
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", missing)
    site = Site(tmp_path, f"{ONE}\n{section}\n")
    assert evalkit("nightly", site.config, "--night", "one").exit_code == 0
    (notice,) = site.night("one")["notices"]
    assert said in notice and site.entry("one")["verdict"] == "pass"


def test_a_tracker_that_fails_never_fails_the_night(evalkit: Call, tmp_path: Path) -> None:
    pytest.importorskip("mlflow")
    (tmp_path / "taken").write_text("a file where a folder is needed")
    site = Site(tmp_path, f'{ONE}\n[log.mlflow]\nuri = "sqlite:///taken/runs.db"\n')
    result = evalkit("nightly", site.config, "--night", "one")
    assert result.exit_code == 0
    (notice,) = site.night("one")["notices"]
    assert notice.startswith("MLflow could not be written to:") and str(tmp_path) not in notice
    assert "MLflow could not be written to" in site.page("nights/one.html")
