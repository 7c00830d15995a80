"""The registry: lazy, loud on a clash, helpful on a miss. Packages are made up as metadata on a path of their own."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from evalkit.errors import CoverageError, EvalkitError
from evalkit.registry import ENGINES, MERGERS, METRICS, SUITES, Registry, unknown

GADGETS = Registry("evalkit_tests.gadgets", "gadget")


def install(folder: Path, package: str, entries: dict[str, str], modules: dict[str, str] | None = None) -> None:
    """Make `package` look installed in `folder`, with these entry points in the group of GADGETS and these modules."""
    metadata = folder / f"{package}-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    lines = [f"{name} = {value}" for name, value in entries.items()]
    (metadata / "entry_points.txt").write_text(f"[{GADGETS.group}]\n" + "\n".join(lines) + "\n")
    for name, source in (modules or {}).items():
        (folder / f"{name}.py").write_text(source)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that Python looks for packages in."""
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_nothing_registered(site: Path) -> None:
    assert GADGETS.names() == []
    with pytest.raises(EvalkitError, match="Unknown gadget 'x': known: none"):
        GADGETS.load("x")


def test_names_are_listed_without_importing_anything(site: Path) -> None:
    modules = {"gadgets_lazy": "raise RuntimeError('imported too early')"}
    install(site, "lazy", {"b": "gadgets_lazy:B", "a": "gadgets_lazy:A"}, modules)
    assert GADGETS.names() == ["a", "b"]
    assert "gadgets_lazy" not in sys.modules


def test_load_returns_the_object(site: Path) -> None:
    install(
        site, "works", {"spanner": "gadgets_work:Tools.spanner"}, {"gadgets_work": "class Tools:\n    spanner = 13\n"}
    )
    assert GADGETS.load("spanner") == 13


def test_a_misspelt_name(site: Path) -> None:
    install(site, "tools", {"spanner": "x:y", "hammer": "x:y"})
    with pytest.raises(EvalkitError, match=r"^Unknown gadget 'spaner': did you mean 'spanner'\?$"):
        GADGETS.load("spaner")
    with pytest.raises(EvalkitError, match=r"^Unknown gadget 'zzz': known: hammer, spanner\.$"):
        GADGETS.load("zzz")


def test_two_packages_that_register_one_name_are_both_named(site: Path) -> None:
    install(site, "first", {"saw": "first_module:Saw"})
    install(site, "second", {"saw": "second_module:Saw", "axe": "second_module:Axe"})
    for use in (GADGETS.names, lambda: GADGETS.load("axe")):
        with pytest.raises(EvalkitError) as raised:
            use()
        message = str(raised.value)
        for part in ("the gadget 'saw'", "first_module:Saw of first", "second_module:Saw of second", "uninstall one"):
            assert part in message


def test_one_package_found_twice_is_no_clash(site: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """An editable install beside a built one registers everything twice, alike."""
    again = tmp_path_factory.mktemp("again")
    sys.path.append(str(again))
    try:
        for folder in (site, again):
            install(folder, "same", {"saw": "same_module:Saw"})
        assert GADGETS.names() == ["saw"]
    finally:
        sys.path.remove(str(again))


@pytest.mark.parametrize(
    ("value", "source", "reason"),
    [
        ("gadgets_gone:Saw", None, "No module named 'gadgets_gone'"),
        ("gadgets_dep:Saw", "import a_package_nobody_has\n", "No module named 'a_package_nobody_has'"),
        ("gadgets_attr:Saw", "Sow = 1\n", "has no attribute 'Saw'"),
    ],
)
def test_a_broken_plugin_is_named_with_the_reason(site: Path, value: str, source: str | None, reason: str) -> None:
    module = value.partition(":")[0]
    install(site, "broken", {"saw": value}, {module: source} if source else None)
    with pytest.raises(EvalkitError) as raised:
        GADGETS.load("saw")
    message = str(raised.value)
    assert message.startswith(f"The gadget 'saw' ({value} of broken) does not import: ")
    assert reason in message


def test_unknown_without_anything_close() -> None:
    assert unknown("suite", "indian-name", ["smoke", "indian-names"]) == (
        "Unknown suite 'indian-name': did you mean 'indian-names'?"
    )
    assert unknown("suite", "x", []) == "Unknown suite 'x': known: none."


def test_everything_that_evalkit_registers_itself_is_there() -> None:
    assert "tinytts" in ENGINES.names()
    assert {"linear", "task_arithmetic"} <= set(MERGERS.names())
    assert {"dnsmos", "wada_snr", "energy", "signal"} <= set(METRICS.names())
    assert {"smoke", "general", "indian-names"} <= set(SUITES.names())


def test_exit_statuses() -> None:
    assert EvalkitError("x").exit_status == 2
    assert CoverageError("x").exit_status == 3
    assert isinstance(CoverageError("x"), EvalkitError)
