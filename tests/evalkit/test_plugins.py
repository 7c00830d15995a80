"""A third-party package, really installed, adds an engine, a merge method, a metric and a suite."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from commands import Call

from evalkit.checkpoints import fingerprint, recognise
from evalkit.engines import Engine, Request
from evalkit.errors import EvalkitError
from evalkit.merging import merge_checkpoints
from evalkit.registry import ENGINES, MERGERS, METRICS, SUITES, Registry
from evalkit.suites import load_suite
from metrics.base import ClipBatch, ClipInfo, Metric

PACKAGE = Path(__file__).parents[1] / "plugin_package"
QUOTED = (".py", ".toml", ".jsonl")
ADDED = [(ENGINES, "beep"), (MERGERS, "median"), (METRICS, "zero_crossings"), (SUITES, "proverbs")]

# Another author's package that claims one of the same names.
RIVAL = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[project]
name = "rival-plugin"
version = "0"
[project.entry-points."evalkit.engines"]
beep = "rival:Beep"
[tool.setuptools]
packages = []
"""

WEIGHTS = {"beep.hertz": torch.linspace(200, 1000, 26), "beep.seconds": torch.tensor(0.05)}


def install(source: Path, target: Path) -> None:
    """pip install into a folder of its own: no network, and this environment stays as it is."""
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--no-warn-conflicts", "--target"]
    command = [sys.executable, "-m", "pip", "install", *options, str(target), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the plugin installed."""
    folder = tmp_path_factory.mktemp("plugin")
    # Built from a copy, because setuptools leaves its work beside the sources.
    shutil.copytree(PACKAGE, folder / "source", ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__"))
    install(folder / "source", folder / "site")
    return folder / "site"


@pytest.fixture
def plugin(site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The plugin is installed, as far as this process can tell, until the test ends."""
    monkeypatch.syspath_prepend(site)
    yield site
    for name in [name for name in sys.modules if name.split(".")[0] == "evalkit_example"]:
        del sys.modules[name]


@pytest.mark.parametrize(("registry", "name"), ADDED)
def test_a_name_appears_with_the_installation_and_no_other_does(
    registry: Registry, name: str, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = registry.names()
    monkeypatch.syspath_prepend(site)
    assert set(registry.names()) - set(before) == {name}


def test_listing_in_a_new_process_imports_no_plugin(site: Path) -> None:
    code = (
        "import sys; from evalkit.registry import ENGINES, MERGERS, METRICS, SUITES\n"
        "print(*(name for registry in (ENGINES, MERGERS, METRICS, SUITES) for name in registry.names()))\n"
        "assert 'evalkit_example' not in sys.modules"
    )
    path = os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ | {"PYTHONPATH": path}
    )
    assert {name for _, name in ADDED} <= set(done.stdout.split())


def test_the_engine_speaks(plugin: Path) -> None:
    engine = ENGINES.load("beep")()
    assert isinstance(engine, Engine)
    assert recognise(list(WEIGHTS), {"beep": engine.spec.layouts}) == "beep"
    assert engine.load(WEIGHTS) == fingerprint(WEIGHTS)

    requests = [Request("a", "Hi 7!", 0), Request("b", "123", 0), Request("c", "Hi", 0, options={"volume": 0.1})]
    loud, empty, quiet = engine.synthesize(requests)
    assert [(speech.id, speech.status) for speech in (loud, empty, quiet)] == [
        ("a", "ok"),
        ("b", "empty_text"),
        ("c", "ok"),
    ]
    assert loud.phonemes == "h i"
    assert len(loud.audio) == 2 * 800
    assert empty.reason and len(empty.audio) == 0
    torch.testing.assert_close(quiet.audio, loud.audio / 3)
    strongest = int(torch.fft.rfft(loud.audio[:800]).abs().argmax()) * 16000 / 800
    assert strongest == pytest.approx(float(WEIGHTS["beep.hertz"][7]), abs=20)  # h


@pytest.mark.parametrize(
    ("weights", "wrong"),
    [
        ({"beep.hertz": torch.ones(26)}, "beep.seconds"),
        (WEIGHTS | {"beep.more": torch.ones(1)}, "beep.more"),
        (WEIGHTS | {"beep.hertz": torch.ones(25)}, "beep.hertz"),
    ],
)
def test_the_engine_loads_strictly(plugin: Path, weights: dict[str, torch.Tensor], wrong: str) -> None:
    with pytest.raises(EvalkitError, match=f": {wrong} missing, extra or of another shape"):
        ENGINES.load("beep")().load(weights)


def test_the_merge_method_merges_checkpoints(plugin: Path) -> None:
    base = {"beep.hertz": torch.tensor([100.0, 100.0])}
    parents = {
        "a": {"beep.hertz": torch.tensor([110.0, 90.0])},
        "b": {"beep.hertz": torch.tensor([120.0, 100.0])},
        "astray": {"beep.hertz": torch.tensor([9000.0, 104.0])},
    }
    odd = merge_checkpoints(base, parents, {"a": 1.0, "b": 1.0, "astray": 1.0}, "median")
    assert odd.report.method == "median"
    assert odd.tensors["beep.hertz"].tolist() == [120.0, 100.0]
    del parents["astray"]
    even = merge_checkpoints(base, parents, {"a": 1.0, "b": 0.5}, "median")
    assert even.tensors["beep.hertz"].tolist() == [110.0, 95.0]


def test_the_metric_scores_a_batch_as_it_scores_each_clip(plugin: Path) -> None:
    metric = METRICS.load("zero_crossings")()
    assert isinstance(metric, Metric)
    assert metric.unavailable() is None
    assert metric.passport().metric == "zero_crossings"
    sine = torch.sin(2 * torch.pi * 100 * (torch.arange(16000) + 0.5) / 16000)
    clips, info = [sine, -sine[:4000]], [ClipInfo("long"), ClipInfo("short")]
    together = metric.score(ClipBatch.of(clips, 16000, info))["zero_crossings_hz"]
    alone = [
        metric.score(ClipBatch.of([clip], 16000, [about]))["zero_crossings_hz"][0]
        for clip, about in zip(clips, info, strict=True)
    ]
    assert together == alone
    assert together == pytest.approx([199, 196])  # two a period, less the one at the end
    nothing = metric.score(ClipBatch.of([torch.zeros(0)], 16000, info[:1]))
    assert nothing.reasons == [{"zero_crossings_hz": "The clip has no samples."}]


def test_the_suite_loads_from_the_installed_package(plugin: Path) -> None:
    suite = load_suite("proverbs")
    assert (suite.name, suite.version) == ("proverbs", "1")
    assert [item.id for item in suite.items] == ["pr-001", "pr-002", "pr-003"]
    assert suite.items[1].spoken == "A stitch in time saves nine."
    assert suite.items[1].tags == ("length:short", "content:number")


@pytest.mark.parametrize(("registry", "name"), ADDED)
def test_a_misspelt_name_is_guessed(plugin: Path, registry: Registry, name: str) -> None:
    with pytest.raises(EvalkitError, match=rf"did you mean '{name}'\?$"):
        registry.load(name[:-2] + name[-1])


def test_two_installed_packages_that_clash_are_both_named(
    plugin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "pyproject.toml").write_text(RIVAL)
    install(tmp_path / "source", tmp_path / "site")
    monkeypatch.syspath_prepend(tmp_path / "site")
    with pytest.raises(EvalkitError) as raised:
        ENGINES.names()
    message = str(raised.value)
    assert message.startswith("Two plugins register the engine 'beep': ")
    assert "evalkit_example.engine:Beep of evalkit-example-plugin" in message
    assert "rival:Beep of rival-plugin" in message
    assert "median" in MERGERS.names()  # the other registries go on working


def test_the_guide_quotes_the_plugin_word_for_word() -> None:
    guide = (PACKAGE.parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")
    sources = [path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*") if path.suffix in QUOTED]
    quotes = re.findall(r"^```(?:python|toml|json)\n(.*?)^```$", guide, re.MULTILINE | re.DOTALL)
    assert len(quotes) >= 8
    for quote in quotes:
        assert any(quote in source for source in sources), quote


def test_a_run_with_nothing_but_the_plugin(evalkit: Call, plugin: Path, tmp_path: Path) -> None:
    sections = {"beep": {name.removeprefix("beep."): tensor for name, tensor in WEIGHTS.items()}}
    torch.save(sections, tmp_path / "beep.pth")
    result = evalkit(
        *("run", tmp_path / "beep.pth", "--suite", "proverbs", "--metrics", "zero_crossings,signal"),
        *("--set", "volume=0.5", "--out", tmp_path / "runs"),
    )
    assert result.exit_code == 0, result.output
    assert "zero_crossings_hz" in result.stdout and "3 of 3 utterances" in result.stdout
