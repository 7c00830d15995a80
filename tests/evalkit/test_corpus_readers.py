"""The same six clips, written in every format that training sets come in, are read as the same six clips."""

from __future__ import annotations

import csv
import gzip
import io
import json
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from evalkit.diagnostics.corpus.clip import Clip
from evalkit.diagnostics.corpus.opening import open_corpus
from evalkit.errors import EvalkitError

RATE = 8000
WHO = {"a1": "anna", "a2": "anna", "a3": "anna", "b1": "bert", "b2": "bert", "b3": "bert"}
SAID = {name: f"Sentence {name}, with a comma." for name in WHO} | {"b3": None}


def sound(name: str) -> np.ndarray:
    """Another tone for every clip, of another length."""
    place = sorted(WHO).index(name)
    return (0.3 * np.sin(2 * np.pi * (200 + 50 * place) * np.arange(RATE // 2 + 800 * place) / RATE)).astype(np.float32)


def encoded(name: str) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, sound(name), RATE, format="FLAC")
    return buffer.getvalue()


def as_folder(root: Path) -> Path:
    for name, speaker in WHO.items():
        place = root / speaker / "chapter"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{name}.flac").write_bytes(encoded(name))
        if SAID[name]:
            (place / f"{name}.txt").write_text(f"{SAID[name]}\n")
    return root


def as_librispeech(root: Path) -> Path:
    for name, speaker in WHO.items():
        place = root / speaker / "7"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{name}.flac").write_bytes(encoded(name))
        if SAID[name]:
            with (place / f"{speaker}-7.trans.txt").open("a") as file:
                file.write(f"{name} {SAID[name]}\n")
    return root


def written(root: Path) -> None:
    (root / "audio").mkdir()
    for name in WHO:
        (root / "audio" / f"{name}.flac").write_bytes(encoded(name))


def as_csv(root: Path, name: str = "set.csv", delimiter: str = ",") -> Path:
    written(root)
    with (root / name).open("w", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(["path", "sentence", "client_id", "id"])
        writer.writerows([f"audio/{name}.flac", SAID[name] or "", speaker, name] for name, speaker in WHO.items())
    return root / name


def as_jsonl(root: Path) -> Path:
    written(root)
    with gzip.open(root / "manifest.jsonl.gz", "wt") as file:
        for name, speaker in WHO.items():
            line = {"audio_filepath": f"audio/{name}.flac", "text": SAID[name], "speaker": speaker, "id": name}
            file.write(json.dumps(line) + "\n")
    return root / "manifest.jsonl.gz"


def as_kaldi(root: Path) -> Path:
    written(root)
    (root / "wav.scp").write_text("".join(f"{name} audio/{name}.flac\n" for name in WHO))
    (root / "utt2spk").write_text("".join(f"{name} {speaker}\n" for name, speaker in WHO.items()))
    (root / "text").write_text("".join(f"{name} {said}\n" for name, said in SAID.items() if said))
    return root


def as_kaldi_segments(root: Path) -> Path:
    """One recording of all clips end to end."""
    whole = np.concatenate([sound(name) for name in WHO])
    soundfile.write(root / "all.flac", whole, RATE)
    at, lines = 0, []
    for name in WHO:
        lines.append(f"{name} rec {at / RATE:.6f} {(at + len(sound(name))) / RATE:.6f}\n")
        at += len(sound(name))
    (root / "wav.scp").write_text("rec all.flac\n")
    (root / "segments").write_text("".join(lines))
    (root / "utt2spk").write_text("".join(f"{name} {speaker}\n" for name, speaker in WHO.items()))
    (root / "text").write_text("".join(f"{name} {said}\n" for name, said in SAID.items() if said))
    return root


def recording(name: str) -> dict[str, object]:
    sources = [{"type": "file", "channels": [0], "source": f"audio/{name}.flac"}]
    return {"id": name, "sources": sources, "sampling_rate": RATE, "duration": len(sound(name)) / RATE}


def as_lhotse_cuts(root: Path) -> Path:
    written(root)
    with gzip.open(root / "cuts_train.jsonl.gz", "wt") as file:
        for name, speaker in WHO.items():
            seconds = len(sound(name)) / RATE
            said = {"id": f"s-{name}", "recording_id": name, "start": 0, "duration": seconds, "speaker": speaker}
            cut = {"id": name, "start": 0, "duration": seconds, "channel": 0, "recording": recording(name)}
            cut |= {"supervisions": [said | ({"text": SAID[name]} if SAID[name] else {})], "type": "MonoCut"}
            file.write(json.dumps(cut) + "\n")
    return root


def as_lhotse_recordings(root: Path) -> Path:
    written(root)
    with (root / "set_recordings_train.jsonl").open("w") as file:
        file.writelines(json.dumps(recording(name)) + "\n" for name in WHO)
    with (root / "set_supervisions_train.jsonl").open("w") as file:
        for name, speaker in WHO.items():
            seconds = len(sound(name)) / RATE
            said = {"id": name, "recording_id": name, "start": 0.0, "duration": seconds, "speaker": speaker}
            file.write(json.dumps(said | ({"text": SAID[name]} if SAID[name] else {})) + "\n")
    return root


def table() -> pa.Table:
    audio = [{"bytes": encoded(name), "path": f"{name}.flac"} for name in WHO]
    columns = {"id": list(WHO), "audio": audio, "text": list(SAID.values()), "speaker_id": list(WHO.values())}
    return pa.table(columns)


def as_parquet(root: Path) -> Path:
    (root / "data").mkdir()
    pq.write_table(table().slice(0, 4), root / "data" / "train-00000-of-00002.parquet", row_group_size=2)
    pq.write_table(table().slice(4), root / "data" / "train-00001-of-00002.parquet")
    return root


def as_saved_dataset(root: Path) -> Path:
    place = root / "train"
    place.mkdir()
    for number, part in enumerate((table().slice(0, 4), table().slice(4))):
        path = str(place / f"data-0000{number}-of-00002.arrow")
        with pa.OSFile(path, "wb") as file, pa.ipc.new_stream(file, part.schema) as writer:
            writer.write_table(part)
    files = [{"filename": f"data-0000{number}-of-00002.arrow"} for number in (0, 1)]
    (place / "state.json").write_text(json.dumps({"_data_files": files}))
    (place / "dataset_info.json").write_text("{}")
    (root / "dataset_dict.json").write_text('{"splits": ["train"]}')
    return root


def as_webdataset(root: Path) -> Path:
    for number, names in enumerate((list(WHO)[:4], list(WHO)[4:])):
        with tarfile.open(root / f"shard-{number}.tar", "w") as tar:
            for name in names:
                about = json.dumps({"speaker": WHO[name], "duration": 1.0}).encode()
                said = (SAID[name] or "").encode()
                for suffix, data in (("json", about), ("flac", encoded(name)), ("txt", said)):
                    member = tarfile.TarInfo(f"{name}.{suffix}")
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))
    return root


def samples(clip: Clip) -> np.ndarray:
    audio, rate = soundfile.read(io.BytesIO(clip.audio.encoded()), dtype="float32")
    start = round(clip.audio.start_s * rate)
    return audio[start : None if clip.audio.seconds is None else start + round(clip.audio.seconds * rate)]


FORMATS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "folder": (as_folder, "folder of audio"),
    "librispeech": (as_librispeech, "folder of audio"),
    "csv": (as_csv, "CSV manifest"),
    "tsv": (lambda root: as_csv(root, "validated.tsv", "\t"), "CSV manifest"),
    "bars": (lambda root: as_csv(root, "bars.csv", "|"), "CSV manifest"),
    "jsonl": (as_jsonl, "JSONL manifest"),
    "kaldi": (as_kaldi, "Kaldi"),
    "kaldi segments": (as_kaldi_segments, "Kaldi"),
    "lhotse cuts": (as_lhotse_cuts, "Lhotse"),
    "lhotse recordings": (as_lhotse_recordings, "Lhotse"),
    "parquet": (as_parquet, "Hugging Face dataset"),
    "save_to_disk": (as_saved_dataset, "Hugging Face dataset"),
    "webdataset": (as_webdataset, "WebDataset"),
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_the_same_set(name: str, tmp_path: Path) -> None:
    write, called = FORMATS[name]
    corpus = open_corpus(write(tmp_path))
    assert corpus.format == called
    clips = {Path(clip.id).name: clip for clip in corpus.clips()}
    assert {key: clip.speaker for key, clip in clips.items()} == WHO
    assert {key: clip.text for key, clip in clips.items()} == SAID
    for key, clip in clips.items():
        np.testing.assert_allclose(samples(clip), sound(key), atol=1e-4)
        assert key in clip.audio.where or "row" in clip.audio.where or "all.flac" in clip.audio.where
    assert [clip.id for clip in corpus.clips()] == [clip.id for clip in corpus.clips()], "a pass repeats"
    assert corpus.count() == len(WHO)


def test_ljspeech_has_one_speaker_and_takes_the_normalised_text(tmp_path: Path) -> None:
    root = tmp_path / "LJSpeech-1.1"
    (root / "wavs").mkdir(parents=True)
    soundfile.write(root / "wavs" / "LJ001-0001.wav", sound("a1"), RATE)
    (root / "metadata.csv").write_text('LJ001-0001|Printing, in 1455|Printing, in "fourteen fifty-five"\n')
    for path in (root, root / "metadata.csv"):
        (clip,) = open_corpus(path).clips()
        assert (clip.id, clip.speaker) == ("LJ001-0001", "LJSpeech-1.1")
        assert clip.text == 'Printing, in "fourteen fifty-five"'
        np.testing.assert_allclose(samples(clip), sound("a1"), atol=1e-4)


def test_a_nemo_manifest_with_offsets_names_parts_of_files(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "long.wav", np.concatenate([sound("a1"), sound("a2")]), RATE, subtype="FLOAT")
    lines = [
        {"audio_filepath": "long.wav", "offset": 0.0, "duration": len(sound("a1")) / RATE},
        {"audio_filepath": "long.wav", "offset": len(sound("a1")) / RATE, "duration": len(sound("a2")) / RATE},
    ]
    (tmp_path / "m.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    clips = list(open_corpus(tmp_path / "m.jsonl").clips())
    assert len({clip.id for clip in clips}) == 2
    np.testing.assert_allclose(samples(clips[1]), sound("a2"), atol=1e-4)


def test_a_length_without_a_start_cuts_nothing(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", sound("a1"), RATE)
    (tmp_path / "m.jsonl").write_text(json.dumps({"audio_filepath": "a.wav", "duration": 0.2}) + "\n")
    (clip,) = open_corpus(tmp_path / "m.jsonl").clips()
    assert len(samples(clip)) == len(sound("a1"))


def test_fields_can_be_named(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", sound("a1"), RATE)
    (tmp_path / "m.csv").write_text("clip,words,who\na.wav,hello,zoe\n")
    with pytest.raises(EvalkitError, match=r"no field for the audio \(clip, words, who\)"):
        list(open_corpus(tmp_path / "m.csv").clips())
    with pytest.raises(EvalkitError, match="did you mean 'words'"):
        list(open_corpus(tmp_path / "m.csv", {"audio": "clip", "text": "wordz"}).clips())
    fields = {"audio": "clip", "text": "words", "speaker": "who"}
    (clip,) = open_corpus(tmp_path / "m.csv", fields).clips()
    assert (clip.text, clip.speaker) == ("hello", "zoe")


def test_flat_files_are_one_speaker(tmp_path: Path) -> None:
    root = tmp_path / "zoe"
    root.mkdir()
    soundfile.write(root / "a.wav", sound("a1"), RATE)
    assert [clip.speaker for clip in open_corpus(root).clips()] == ["zoe"]


BAD: dict[str, tuple[dict[str, str], str]] = {
    "a command in wav.scp": ({"wav.scp": "a sph2pipe -f wav a.sph |\n"}, "runs nothing"),
    "an unknown recording": ({"wav.scp": "r a.wav\n", "segments": "u other 0 1\n"}, "segments line 1"),
    "no JSON": ({"metadata.jsonl": '{"audio": "a.wav"}\n{oops\n'}, "line 2 is no JSON"),
    "an empty path": ({"metadata.csv": "audio,text\n,hello\n"}, "line 2: the field 'audio' is empty"),
    "no number": ({"metadata.csv": "audio,start,duration\na.wav,soon,1\n"}, "'soon' in 'start' is no number"),
    "a bar without a text": ({"metadata.csv": "a|b\njust this\n"}, "metadata.csv line 2"),
    "several sources": (
        {"cuts.jsonl": json.dumps({"id": "c", "start": 0, "duration": 1, "recording": {"id": "r", "sources": []}})},
        "is not one file",
    ),
    "a mixed cut": ({"cuts.jsonl": json.dumps({"id": "c", "tracks": []})}, "no cut of a single recording"),
    "a broken parquet": ({"a.parquet": "no table"}, "cannot be read as a table"),
    "a broken tar": ({"a.tar": "no tar" * 200}, "cannot be read as a plain tar"),
}


@pytest.mark.parametrize("what", BAD)
def test_what_cannot_be_read_is_one_sentence(what: str, tmp_path: Path) -> None:
    files, says = BAD[what]
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(EvalkitError, match=says) as caught:
        list(open_corpus(tmp_path).clips())
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)


def test_nothing_there_and_nothing_known(tmp_path: Path) -> None:
    with pytest.raises(EvalkitError, match="no training set at"):
        open_corpus(tmp_path / "missing")
    (tmp_path / "notes.md").write_text("hello")
    with pytest.raises(EvalkitError, match="is no training set that evalkit reads"):
        open_corpus(tmp_path / "notes.md")


def test_a_shard_is_passed_over_in_little_memory(tmp_path: Path) -> None:
    """Neither the headers of a tar nor the rows of a table pile up."""
    data = bytes(2000)

    def peak(count: int) -> int:
        with tarfile.open(tmp_path / f"{count}.tar", "w") as tar:
            for number in range(count):
                member = tarfile.TarInfo(f"{number:06d}.wav")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
        tracemalloc.start()
        assert sum(1 for _ in open_corpus(tmp_path / f"{count}.tar").clips()) == count
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    small, large = peak(500), peak(5000)
    assert large < 1.5 * small + 20_000
