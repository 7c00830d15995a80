"""What `nightly.toml` may say: every fault in one sentence, before anything runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from commands import Call
from made_nights import NIGHTLY, Site

from evalkit.errors import EvalkitError
from evalkit.nightly.config import read_config
from evalkit.nightly.jobs import plan
from evalkit.nightly.schema import KeepEntry, ModelEntry, RunEntry, SuiteEntry

DOCS = Path(__file__).parents[2] / "docs"


def refused(tmp_path: Path, text: str) -> str:
    site = Site(tmp_path, text)
    with pytest.raises(EvalkitError) as error:
        plan(site.config, read_config(site.config))
    return str(error.value)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('path = "sarah.pth"', 'pth = "sarah.pth"', "[[model]] 'sarah': unknown key 'pth': did you mean 'path'?"),
        ('title = "Voices"', 'titel = "Voices"', "unknown key 'titel': did you mean 'title'?"),
        ("[run]", "[run]\ndevise = 'cpu'", "[run]: unknown key 'devise': did you mean 'device'?"),
        ("[run]", "[keep]\naudio_nights = -1\n[run]", "[keep]: 'audio_nights': Input should be greater than or equal"),
        ("[run]", "[log.mlflow]\nurl = 'x'\nuri = 'y'\n[run]", "[log.mlflow]: unknown key 'url': did you mean 'uri'?"),
        ('name = "smoke"', "limit = 3", "[[suite]] 1: give either a name or a path"),
        ('name = "smoke"', 'name = "smok"', "[[suite]] 'smok': Unknown suite 'smok': did you mean 'smoke'?"),
        ('name = "sumit"', 'name = "sarah"', "two [[model]] entries are called 'sarah'"),
        ('path = "sumit.pth"', 'path = "gone.pth"', "[[model]] 'sumit': the checkpoint"),
        ('path = "sumit.pth"', 'path = "sumit.pth"\nengine = "tinytss"', "did you mean 'tinytts'?"),
        ('path = "sumit.pth"', 'path = "sumit.pth"\nengine = "flite"', "takes no checkpoint: leave the path out"),
        ('path = "sumit.pth"', 'engine = "tinytts"', "needs a checkpoint: give its path"),
        ('path = "sumit.pth"', 'path = "sumit.pth"\nsuites = ["smke"]', "Unknown suite 'smke': did you mean 'smoke'?"),
        ('path = "sumit.pth"', 'path = "sumit.pth"\n[model.settings]\n"wer.model" = 1', "put it into [run] settings"),
        ('rules = "gate.toml"', 'rules = "gone.toml"', "gone.toml do not exist"),
        ('rules = "gate.toml"', 'items = ["s-9*"]', "Unknown item 's-9*'"),
        ('"dnsmos"', '"wada_snr"', "[[suite]] 'smoke': the rule 'DNS-MOS holds' is about the column 'dnsmos_ovrl'"),
        ('"dnsmos"', '"dnsmoss"', "[run]: Unknown metric 'dnsmoss': did you mean 'dnsmos'?"),
        ("[[suite]]", '[[suite]]\npath = "x"\n[[suite]]', "There is no suite at"),
        ("[[suite]]", '[[suite]]\nname = "smoke"\n[[suite]]', "the suite 'smoke' is listed twice"),
        ("[run]", "[run", "is not valid TOML"),
    ],
)
def test_a_fault_is_one_sentence_that_names_its_place(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert said in refused(tmp_path, NIGHTLY.replace(old, new, 1))


def test_every_fault_is_said_at_once(tmp_path: Path) -> None:
    said = refused(tmp_path, NIGHTLY.replace('"sarah.pth"', '"a.pth"').replace('"sumit.pth"', '"b.pth"')).splitlines()
    assert said[0].endswith("has 2 faults:")
    assert "'sarah'" in said[1] and "'sumit'" in said[2]


def test_a_file_without_models_or_suites_says_what_is_missing(tmp_path: Path) -> None:
    assert "no [[model]] is given" in refused(tmp_path, 'title = "x"')


def test_paths_are_relative_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = NIGHTLY.replace('path = "sarah.pth"', 'path = "sarah.pth"\nvoice = "clip.wav"\nvoice_text = "as it is"')
    site = Site(tmp_path, text.replace("[run]", '[log.mlflow]\nuri = "mlruns"\n[log.wandb]\nproject = "p"\n[run]'))
    (tmp_path / "clip.wav").touch()
    monkeypatch.chdir("/")
    file = read_config(site.config)
    assert file.out == site.out and file.suite[0].rules == tmp_path / "gate.toml"
    assert file.model[0].voice == str(tmp_path / "clip.wav") and file.model[0].voice_text == "as it is"
    assert file.log.mlflow and file.log.mlflow.uri == (tmp_path / "mlruns").as_uri()
    assert file.log.wandb and file.log.wandb.folder == tmp_path / "wandb"


def test_the_plan_is_models_times_suites_times_engines(tmp_path: Path) -> None:
    text = NIGHTLY.replace("[run]", '[[model]]\nname = "plain"\nengine = ["flite", "espeak-ng"]\n[run]')
    text = text.replace("[[suite]]", '[[suite]]\nname = "general"\nlimit = 5\n[[suite]]', 1)
    text = text.replace('path = "sumit.pth"', 'path = "sumit.pth"\nsuites = ["smoke"]')
    site = Site(tmp_path, text)
    jobs = plan(site.config, read_config(site.config))
    assert [(job.label, job.suite, job.engine) for job in jobs] == [
        ("sarah", "general", None),
        ("sarah", "smoke", None),
        ("sumit", "smoke", None),
        ("plain (flite)", "general", "flite"),
        ("plain (flite)", "smoke", "flite"),
        ("plain (espeak-ng)", "general", "espeak-ng"),
        ("plain (espeak-ng)", "smoke", "espeak-ng"),
    ]
    assert len({job.key for job in jobs}) == len(jobs)
    assert jobs[0].rules is not None and jobs[0].rules.origin.endswith("general/gate.toml")  # the suite's starter
    assert jobs[1].rules is not None and jobs[1].rules.origin == str(tmp_path / "gate.toml")


def test_a_suite_of_files_brings_its_rules_or_has_none(tmp_path: Path) -> None:
    site = Site(tmp_path, NIGHTLY.replace('name = "smoke"\nrules = "gate.toml"', 'path = "own"'))
    (tmp_path / "own").mkdir()
    header = {"name": "own", "version": "1", "description": "two", "language": "en", "licence": "CC0-1.0"}
    (tmp_path / "own" / "suite.toml").write_text("".join(f'{key} = "{value}"\n' for key, value in header.items()))
    (tmp_path / "own" / "items.jsonl").write_text('{"id": "a", "text": "One."}\n{"id": "b", "text": "Two."}\n')
    assert plan(site.config, read_config(site.config))[0].rules is None
    (tmp_path / "own" / "gate.toml").write_text("[[coverage]]\nmin = 1.0\n")
    rules = plan(site.config, read_config(site.config))[0].rules
    assert rules is not None and rules.coverage[0].min == 1.0


def test_the_file_in_the_documentation_is_right(tmp_path: Path) -> None:
    text = (DOCS / "nightly.md").read_text()
    (example,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    (tmp_path / "nightly.toml").write_text(example)
    file = read_config(tmp_path / "nightly.toml")
    assert [model.name for model in file.model] == ["sarah", "sarah-lora", "plain"]
    for table, model in {
        "[[model]]": ModelEntry,
        "[[suite]]": SuiteEntry,
        "[run]": RunEntry,
        "[keep]": KeepEntry,
    }.items():
        (line,) = (line for line in text.splitlines() if line.startswith(f"| `{table}`"))
        told = set(re.findall(r"`(\w+)`", line.split("|")[2])) - {"offline", "online"}
        assert told == model.model_fields.keys(), table


def test_the_documented_workflow_calls_commands_that_there_are() -> None:
    workflow = yaml.safe_load((DOCS / "nightly" / "github-actions.yml").read_text())
    steps = workflow["jobs"]["nightly"]["steps"]
    calls = [step["run"] for step in steps if "run" in step]
    assert [call.split()[:2] for call in calls if call.startswith("evalkit")] == [
        ["evalkit", "baseline"],
        ["evalkit", "nightly"],
        ["evalkit", "nightly"],
    ]
    after = steps[[step.get("name") for step in steps].index("Evaluate") + 1 :]
    assert after and all(step["if"] == "always()" for step in after)  # a blocked night is published too


def test_the_command_refuses_with_2_and_writes_nothing(evalkit: Call, tmp_path: Path) -> None:
    site = Site(tmp_path, NIGHTLY.replace('"sumit.pth"', '"gone.pth"'))
    result = evalkit("nightly", site.config)
    assert result.exit_code == 2 and "gone.pth does not exist" in result.output
    assert not site.out.exists()


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (
            '[[coverage]]\nmin = 1.0\ncolumn = "wer"',
            "the rule 'coverage of wer' is about the column 'wer', which is not",
        ),
        (
            '[[coverage]]\nmin = 1.0\ntag = "kind:nam"',
            "the rule 'coverage [kind:nam]' is about items with a tag that none",
        ),
        ('[[relative]]\ncolumn = "dnsmos_ovrl"\nmargin = 1\ntag = "no:such"', "Unknown tag 'no:such'"),
        ('[[item]]\ncolumn = "dnsmos_ovrl"\nitems = ["sm-9*"]', "Unknown item 'sm-9*'"),
    ],
)
def test_rules_that_could_not_be_judged_are_faults(tmp_path: Path, rule: str, said: str) -> None:
    site = Site(tmp_path)
    (tmp_path / "gate.toml").write_text(rule)
    with pytest.raises(EvalkitError) as error:
        plan(site.config, read_config(site.config))
    assert "[[suite]] 'smoke': " in str(error.value) and said in str(error.value)
    (tmp_path / "gate.toml").write_text(f"{rule}\noptional = true" if "relative" in rule else "[[coverage]]\nmin = 1.0")
    assert plan(site.config, read_config(site.config))
