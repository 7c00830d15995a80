"""The same six clips, written in every format that training sets come in, are read as the same six clips."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from evalkit.diagnostics.corpus.clip import Clip, File
from evalkit.diagnostics.corpus.decoding import decode
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


def manifest(path: Path, *lines: dict[str, object]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_lines_of_a_manifest_need_not_have_the_same_fields(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "long.wav", np.concatenate([sound("a1"), sound("a2")]), RATE, subtype="FLOAT")
    start, seconds = len(sound("a1")) / RATE, len(sound("a2")) / RATE
    part = {"audio_filepath": "long.wav", "offset": start, "duration": seconds, "speaker": "zoe", "who": "eve"}
    path = manifest(tmp_path / "m.jsonl", {"audio_filepath": "long.wav", "text": "all"}, part)
    whole, cut = open_corpus(path).clips()
    assert (whole.speaker, whole.audio.seconds, cut.speaker) == (tmp_path.name, None, "zoe")
    np.testing.assert_allclose(samples(cut), sound("a2"), atol=1e-4)
    assert [clip.speaker for clip in open_corpus(path, {"speaker": "who"}).clips()] == [tmp_path.name, "eve"]
    with pytest.raises(EvalkitError, match="Unknown field 'whose': did you mean 'who'"):
        list(open_corpus(path, {"speaker": "whose"}).clips())


def test_a_part_can_be_said_by_its_end(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "long.wav", np.concatenate([sound("a1"), sound("a2")]), RATE, subtype="FLOAT")
    middle, end = len(sound("a1")) / RATE, (len(sound("a1")) + len(sound("a2"))) / RATE
    (tmp_path / "m.csv").write_text(f"path,start,end\nlong.wav,0,{middle}\nlong.wav,{middle},{end}\n")
    first, second = open_corpus(tmp_path / "m.csv").clips()
    np.testing.assert_allclose(samples(first), sound("a1"), atol=1e-4)
    np.testing.assert_allclose(samples(second), sound("a2"), atol=1e-4)


def test_a_table_names_parts_of_files_too(tmp_path: Path) -> None:
    rows = {"path": ["long.wav"], "offset": [0.5], "duration": [0.25]}
    pq.write_table(pa.table(rows), tmp_path / "a.parquet")
    (clip,) = open_corpus(tmp_path / "a.parquet").clips()
    assert (clip.audio.start_s, clip.audio.seconds) == (0.5, 0.25)


def test_audio_in_a_table_is_cut_only_where_the_user_says_so(tmp_path: Path) -> None:
    audio = [{"bytes": encoded("a1"), "path": "a1.flac"}]
    pq.write_table(
        pa.table({"audio": audio, "offset": [30.0], "duration": [0.5], "at": [0.25]}), tmp_path / "a.parquet"
    )
    (clip,) = open_corpus(tmp_path / "a.parquet").clips()
    np.testing.assert_allclose(samples(clip), sound("a1"), atol=1e-4)
    (clip,) = open_corpus(tmp_path / "a.parquet", {"start": "at"}).clips()
    assert (clip.audio.start_s, clip.audio.seconds) == (0.25, 0.5)


def test_a_segment_without_an_end_goes_to_the_end_of_its_file_and_may_be_of_a_channel(tmp_path: Path) -> None:
    (tmp_path / "wav.scp").write_text("r a.wav\n")
    (tmp_path / "segments").write_text("u r 0.5 -1\nv r 0.5 1 1\n")
    to_the_end, channel = (clip.audio for clip in open_corpus(tmp_path).clips())
    assert to_the_end == File(tmp_path / "a.wav", 0.5) and channel == File(tmp_path / "a.wav", 0.5, 0.5, (1,))


@pytest.mark.parametrize("kind", ["supervisions", "cuts"])
def test_a_speaker_on_a_channel_of_a_call_is_that_channel(kind: str, tmp_path: Path) -> None:
    call = np.stack([sound("a1"), sound("b1")[: len(sound("a1"))]], axis=1)
    soundfile.write(tmp_path / "call.wav", call, RATE, subtype="FLOAT")
    source = {"type": "file", "channels": [0, 1], "source": "call.wav"}
    record = {"id": "call", "sources": [source], "sampling_rate": RATE, "duration": len(call) / RATE}
    said = [
        {
            "id": str(name),
            "recording_id": "call",
            "start": 0,
            "duration": len(call) / RATE,
            "channel": name,
            "speaker": who,
        }
        for name, who in ((0, "anna"), (1, "bert"), ([0, 1], "both"))
    ]
    if kind == "cuts":
        manifest(tmp_path / "cuts.jsonl", *({**one, "recording": record, "supervisions": [one]} for one in said))
    else:
        manifest(tmp_path / "recordings.jsonl", record)
        manifest(tmp_path / "supervisions.jsonl", *said)
    found = {clip.speaker: decode(clip) for clip in open_corpus(tmp_path).clips()}
    assert len({one.key for one in found.values()}) == 3
    for who, expected in (("anna", call[:, 0]), ("bert", call[:, 1]), ("both", call.mean(axis=1))):
        np.testing.assert_allclose(found[who].samples, expected, atol=1e-4)
    assert "channel 1" in found["bert"].clip.audio.where


def test_a_lone_quote_in_a_table_of_tabs_or_bars_is_a_sign_like_any_other(tmp_path: Path) -> None:
    rows = (
        ('"Never, he said.', '"Never, he said.'),
        ('A "third" one', 'A "third" one'),
        ('"He said ""no""."', 'He said "no".'),
    )
    for delimiter, name in (("\t", "m.tsv"), ("|", "m.csv")):
        lines = [delimiter.join(("path", "text", "speaker"))]
        lines += [delimiter.join((f"{number}.wav", written, "anna")) for number, (written, _) in enumerate(rows)]
        (tmp_path / name).write_text("\n".join(lines))
        clips = list(open_corpus(tmp_path / name).clips())
        assert [(clip.text, clip.speaker) for clip in clips] == [(read, "anna") for _, read in rows]


def test_a_text_between_quotes_may_span_lines(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text('path,text,speaker\na.wav,"Never,\nhe said and left.",anna\nb.wav,yes,bert\n')
    clips = list(open_corpus(tmp_path / "m.csv").clips())
    assert [clip.text for clip in clips] == ["Never,\nhe said and left.", "yes"]


def test_a_long_text_is_read_and_leaves_the_limit_of_other_tables_alone(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text(f"path,text\na.wav,{200_000 * 'x'}\n")
    before = csv.field_size_limit()
    clips, others = open_corpus(tmp_path / "m.csv").clips(), open_corpus(tmp_path / "m.csv").clips()
    for passing in (clips, others):
        text = next(iter(passing)).text
        assert text is not None and len(text) == 200_000 > before
        assert csv.field_size_limit() == before, "while the pass is not over yet"


def test_blanks_around_the_names_of_a_heading_are_not_part_of_them(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("path, text, speaker\na.wav, hello, anna\n")
    (clip,) = open_corpus(tmp_path / "m.csv").clips()
    assert (clip.text, clip.speaker) == ("hello", "anna")


def test_common_voice_lies_in_clips_beside_its_table(tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    soundfile.write(tmp_path / "clips" / "a.wav", sound("a1"), RATE)
    (tmp_path / "validated.tsv").write_text("client_id\tpath\tsentence\nanna\ta.wav\tyes\nanna\tmissing.wav\tno\n")
    there, missing = open_corpus(tmp_path / "validated.tsv").clips()
    assert len(samples(there)) == len(sound("a1"))
    assert missing.audio.where == str(tmp_path / "missing.wav")


@pytest.mark.parametrize("name", ["filename", "audio_file", "wav_path", "audio_filepath"])
def test_a_heading_with_bars_is_no_clip_of_ljspeech(name: str, tmp_path: Path) -> None:
    for heading, row in ((f"{name}|text|speaker", "a.wav|yes|anna"), (f"speaker|{name}|text", "anna|a.wav|yes")):
        (tmp_path / "metadata.csv").write_text(f"{heading}\n{row}\n")
        (clip,) = open_corpus(tmp_path).clips()
        assert (clip.audio.where, clip.speaker, clip.text) == (str(tmp_path / "a.wav"), "anna", "yes")


@pytest.mark.parametrize("encoding", ["latin1", "utf16"])
@pytest.mark.parametrize("name", ["m.csv", "metadata.csv", "m.jsonl", "text"])
def test_a_text_of_another_encoding_is_one_sentence(encoding: str, name: str, tmp_path: Path) -> None:
    written = {"m.csv": "path,text\na.wav,caf\xe9\n", "metadata.csv": "a|caf\xe9\n", "text": "a caf\xe9\n"}
    (tmp_path / "wav.scp").write_text("a a.wav\n")
    (tmp_path / name).write_bytes(written.get(name, '{"path": "a.wav", "text": "caf\xe9"}\n').encode(encoding))
    with pytest.raises(EvalkitError, match=f"{name} is not UTF-8"):
        list(open_corpus(tmp_path if name == "text" else tmp_path / name).clips())


def test_a_text_that_may_not_be_read_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(path: Path, *arguments: object, **named: object) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    as_folder(tmp_path)
    monkeypatch.setattr(Path, "read_text", forbidden)  # root may read whatever it wants
    with pytest.raises(EvalkitError, match=r"a1.txt cannot be read \(Permission denied\)"):
        list(open_corpus(tmp_path).clips())


@pytest.mark.parametrize("name", ["folder", "kaldi", "lhotse cuts", "webdataset"])
def test_fields_are_not_named_where_there_are_none(name: str, tmp_path: Path) -> None:
    write, called = FORMATS[name]
    with pytest.raises(EvalkitError, match=rf"--field speaker=who: .* \({called}\) has no fields to name"):
        open_corpus(write(tmp_path), {"speaker": "who"})


def test_links_are_followed_and_what_cannot_be_read_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    as_folder(tmp_path / "elsewhere")
    root = tmp_path / "set"
    (root / "shut").mkdir(parents=True)
    (root / "anna").symlink_to(tmp_path / "elsewhere" / "anna")
    (root / "anna" / "chapter" / "round").symlink_to(root)
    (root / "bert.wav").symlink_to(tmp_path / "nowhere.wav")
    scandir = os.scandir

    def refusing(path: Path) -> object:
        if Path(path) == root / "shut":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)  # root may read whatever it wants
    corpus = open_corpus(root)
    found = {clip.id: decode(clip).problem for clip in corpus.clips()}
    assert [name for name, problem in found.items() if problem] == ["bert", "shut"]
    assert {name for name, problem in found.items() if not problem} == {f"anna/chapter/a{n}" for n in (1, 2, 3)}


def test_what_a_diagnosis_left_in_the_set_is_no_part_of_it(tmp_path: Path) -> None:
    before = list(open_corpus(as_folder(tmp_path)).clips())
    left = tmp_path / "diagnoses" / "set-1"
    left.mkdir(parents=True)
    for name in ("measured.jsonl", "clips.parquet", "page.wav"):
        (left / name).write_text("")
    assert list(open_corpus(tmp_path).clips()) == before


def test_a_diagnosis_in_a_set_of_tables_is_no_shard(tmp_path: Path) -> None:
    left = as_parquet(tmp_path) / "diagnoses" / "set-1"
    left.mkdir(parents=True)
    (left / "measured.jsonl").write_text("")
    (left / "clips.parquet").write_text("")
    assert open_corpus(tmp_path).count() == len(WHO)


def as_splits(root: Path) -> Path:
    for split in ("train", "test"):
        (root / split).mkdir()
        without = table().drop_columns(["id"])
        with (
            pa.OSFile(str(root / split / "data-0.arrow"), "wb") as file,
            pa.ipc.new_stream(file, without.schema) as writer,
        ):
            writer.write_table(without)
        (root / split / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data-0.arrow"}]}))
    return root


def as_equal_shards(root: Path) -> Path:
    as_webdataset(root)
    (root / "shard-1.tar").write_bytes((root / "shard-0.tar").read_bytes())
    return root


def as_equal_stems(root: Path) -> Path:
    for suffix in ("wav", "flac", "ogg"):
        soundfile.write(root / f"a.{suffix}", sound("a1"), RATE)
    return root


def as_equal_lines(root: Path) -> Path:
    return manifest(root / "m.jsonl", *({"audio": name} for name in ("a.wav", "a.wav#2", "a.wav", "b.wav", "a.wav")))


TWICE: dict[str, tuple[Callable[[Path], Path], list[str]]] = {
    "splits": (as_splits, [f"{split}/data-0/{row}" for split in ("test", "train") for row in range(6)]),
    "shards": (as_equal_shards, [f"shard-{shard}/{name}" for shard in (0, 1) for name in ("a1", "a2", "a3", "b1")]),
    "stems": (as_equal_stems, ["a", "a#2", "a#3"]),
    "lines": (as_equal_lines, ["a.wav", "a.wav#2", "a.wav#3", "b.wav", "a.wav#4"]),
}


@pytest.mark.parametrize("name", TWICE)
def test_no_two_clips_have_the_same_id(name: str, tmp_path: Path) -> None:
    write, ids = TWICE[name]
    corpus = open_corpus(write(tmp_path))
    assert [clip.id for clip in corpus.clips()] == ids
    assert [clip.id for clip in corpus.clips()] == ids, "a pass repeats"


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
    "a mixed cut": (
        {"cuts.jsonl": json.dumps({"id": "c", "tracks": []})},
        r"no cut of a single recording: save what it mixes as a recording of its own \(cuts.save_audios\)",
    ),
    "a segment that ends too soon": ({"wav.scp": "r a.wav\n", "segments": "u r 0 1\n\nv r 2 0.5\n"}, "segments line 3"),
    "a segment without an end": ({"wav.scp": "r a.wav\n", "segments": "u r 0 inf\n"}, "segments line 1"),
    "a segment before the start": ({"wav.scp": "r a.wav\n", "segments": "u r -1 1\n"}, "segments line 1"),
    "a start alone": ({"metadata.csv": "path,start\na.wav,1\n"}, "line 2: .* neither its length nor its end"),
    "an end before its start": (
        {"metadata.csv": "path,start,end\na.wav,2,1\n"},
        "line 2: .* begins at 2 s and ends at 1 s",
    ),
    "a comma without quotes": (
        {"metadata.csv": "path,text\na.wav,Yes, sir.\n"},
        "line 2 has 3 cells, and the heading 2",
    ),
    "a quote over other clips": (
        {"metadata.csv": 'path,text\na.wav,"Never\nb.wav,hello\nc.wav,"yes"\n'},
        "line 2: a quote opens there, and what it holds up to line 4",
    ),
    "a supervision without a start": (
        {
            "recordings.jsonl": json.dumps(
                {"id": "r", "sources": [{"type": "file", "source": "a.wav", "channels": [0]}]}
            ),
            "supervisions.jsonl": json.dumps({"id": "s", "recording_id": "r", "duration": 1}),
        },
        "supervisions.jsonl line 1 has no start",
    ),
    "a channel that is not there": (
        {
            "recordings.jsonl": json.dumps(
                {"id": "r", "sources": [{"type": "file", "source": "a.wav", "channels": [0]}]}
            ),
            "supervisions.jsonl": json.dumps({"id": "s", "recording_id": "r", "start": 0, "duration": 1, "channel": 1}),
        },
        "there is no channel 1 in the recording 'r'",
    ),
    "a tar beside audio": ({"old.tar": "", "anna/a.wav": ""}, r"holds old.tar and anna/a.wav"),
    "a table beside audio": ({"old/a.parquet": "", "a.wav": ""}, r"holds old/a.parquet and a.wav"),
    "a broken parquet": ({"a.parquet": "no table"}, "cannot be read as a table"),
    "a broken tar": ({"a.tar": "no tar" * 200}, "cannot be read as a plain tar"),
}


@pytest.mark.parametrize("what", BAD)
def test_what_cannot_be_read_is_one_sentence(what: str, tmp_path: Path) -> None:
    files, says = BAD[what]
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
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
    """Neither the headers of a tar nor the rows of a table pile up; of a clip a hash stays, to tell its id again."""
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
    assert large < small + 200 * 5000
