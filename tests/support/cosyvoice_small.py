"""A CosyVoice of small modules: the names, the calls and the order of CosyVoice ace7c47, written from reading it.

`checkout` and `model_folder` write what the engine's assets name. What is imitated: a language model that runs in a
thread and draws from the global random state (`cli/model.py:100-130`), the hop that doubles (360), the vocoder's noise
(`hifigan/generator.py:184`), weight norm of both spellings, tied embeddings, the seeds that the YAML sets.
"""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

WIDTH, CODES, MELS, HOP = 8, 20, 6, 480
END, END_OF_PROMPT = CODES, 99


class Llm(nn.Module):
    def __init__(self, version: int) -> None:
        super().__init__()
        self.version = version
        self.llm = nn.Module()
        self.llm.model = nn.Module()
        self.llm.model.model = nn.Module()
        self.llm.model.model.embed_tokens = nn.Embedding(100, WIDTH)
        self.llm.model.lm_head = nn.Linear(WIDTH, 100, bias=False)
        self.llm.model.lm_head.weight = self.llm.model.model.embed_tokens.weight
        if version == 2:
            self.llm_embedding = nn.Embedding(2, WIDTH)
        self.speech_embedding = nn.Embedding(CODES + 3, WIDTH)
        self.llm_decoder = nn.Linear(WIDTH, CODES + 3)
        self.fails_after: int | None = None
        self.ends = True

    @torch.inference_mode()
    def inference(
        self,
        text: Tensor,
        text_len: Tensor,
        prompt_text: Tensor,
        prompt_text_len: Tensor,
        prompt_speech_token: Tensor,
        prompt_speech_token_len: Tensor,
        embedding: Tensor,
        sampling: int = 25,
        max_token_text_ratio: float = 20,
        min_token_text_ratio: float = 2,
        uuid: str = "",
    ) -> Iterator[int]:
        text = torch.cat([prompt_text, text], dim=1)
        text_len += prompt_text_len
        if self.version == 3:
            assert END_OF_PROMPT in text, "<|endofprompt|> not detected in CosyVoice3 text or prompt_text"
        state = self.llm.model.model.embed_tokens(text).mean(dim=1)
        if self.version == 2:
            state = state + self.llm_embedding.weight.sum(dim=0)
        own = text_len - prompt_text_len
        for step in range(int(own * max_token_text_ratio)):
            if self.fails_after is not None and step >= self.fails_after:
                raise RuntimeError("no more tokens")
            scores = self.llm_decoder(state)[0, : CODES + 1]
            scores[END] = 3.0 if self.ends and step >= int(own * min_token_text_ratio) else -torch.inf
            token = int(torch.multinomial(scores.softmax(dim=0), 1))
            if token == END:
                return
            yield token
            state = 0.5 * state + self.speech_embedding.weight[token]


class Flow(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.input_frame_rate, self.token_mel_ratio, self.pre_lookahead_len = 25, 2, 3
        self.input_embedding = nn.Embedding(CODES, WIDTH)
        self.spk_embed_affine_layer = nn.Linear(4, WIDTH)
        self.encoder = nn.Linear(WIDTH, WIDTH)
        self.encoder_proj = nn.Linear(WIDTH, WIDTH)
        self.decoder = nn.Module()
        self.decoder.estimator = nn.Module()
        self.decoder.estimator.time_mlp = nn.Module()
        self.decoder.estimator.time_mlp.linear_1 = nn.Linear(WIDTH, MELS)

    @torch.inference_mode()
    def inference(self, token: Tensor, embedding: Tensor, finalize: bool) -> Tensor:
        state = self.input_embedding(token.long()) + self.spk_embed_affine_layer(embedding)[:, None]
        mel = self.decoder.estimator.time_mlp.linear_1(torch.tanh(self.encoder_proj(self.encoder(state))))
        mel = mel.repeat_interleave(self.token_mel_ratio, dim=1).transpose(1, 2)
        return mel if finalize else mel[:, :, : -self.pre_lookahead_len * self.token_mel_ratio]


class Hift(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        normed, legacy = nn.utils.parametrizations.weight_norm, nn.utils.weight_norm
        self.conv_pre = normed(nn.Conv1d(MELS, WIDTH, 3, padding=1))
        self.ups = nn.ModuleList([normed(nn.ConvTranspose1d(WIDTH, WIDTH, HOP, HOP))])
        self.source_downs = nn.ModuleList([nn.Conv1d(1, WIDTH, 1)])
        self.resblocks = nn.ModuleList([normed(nn.Conv1d(WIDTH, WIDTH, 3, padding=1))])
        self.conv_post = legacy(nn.Conv1d(WIDTH, 1, 1))
        self.m_source = nn.Module()
        self.m_source.l_linear = nn.Linear(1, 1)
        self.f0_predictor = nn.Module()
        self.f0_predictor.classifier = nn.Linear(MELS, 1)

    @torch.inference_mode()
    def inference(self, speech_feat: Tensor) -> Tensor:
        state = self.ups[0](self.conv_pre(speech_feat))
        pitch = self.f0_predictor.classifier(speech_feat.transpose(1, 2)).repeat_interleave(HOP, dim=1)
        source = self.m_source.l_linear(pitch + 0.1 * torch.randn_like(pitch)).transpose(1, 2)
        state = self.resblocks[0](torch.tanh(state + self.source_downs[0](source)))
        return torch.tanh(self.conv_post(state))[0]


class Model:
    def __init__(self, version: int) -> None:
        self.device = torch.device("cpu")
        self.llm, self.flow, self.hift = Llm(version).eval(), Flow().eval(), Hift().eval()
        self.token_hop_len, self.token_max_hop_len, self.stream_scale_factor = 25, 100, 2
        self.lock = threading.Lock()
        self.tts_speech_token_dict: dict[str, list[int]] = {}
        self.llm_end_dict: dict[str, bool] = {}
        self.hift_cache_dict: dict[str, Any] = {}
        self.asked_hops: list[int] = []

    def llm_job(self, text: Tensor, prompt_text: Tensor, prompt_token: Tensor, embedding: Tensor, uuid: str) -> None:
        def length(tensor: Tensor) -> Tensor:
            return torch.tensor([tensor.shape[1]], dtype=torch.int32)

        for token in self.llm.inference(
            text=text,
            text_len=length(text),
            prompt_text=prompt_text,
            prompt_text_len=length(prompt_text),
            prompt_speech_token=prompt_token,
            prompt_speech_token_len=length(prompt_token),
            embedding=embedding,
            uuid=uuid,
        ):
            self.tts_speech_token_dict[uuid].append(token)
        self.llm_end_dict[uuid] = True

    def _sound(self, tokens: list[int], embedding: Tensor, offset: int, finalize: bool) -> dict[str, Tensor]:
        mel = self.flow.inference(torch.tensor([tokens]), embedding, finalize)
        return {"tts_speech": self.hift.inference(mel[:, :, offset * self.flow.token_mel_ratio :])}

    def tts(
        self, text: Tensor, prompt_text: Tensor, prompt_token: Tensor, embedding: Tensor, stream: bool, speed: float
    ) -> Iterator[dict[str, Tensor]]:
        own = str(uuid.uuid1())
        with self.lock:
            self.tts_speech_token_dict[own], self.llm_end_dict[own], self.hift_cache_dict[own] = [], False, None
        thread = threading.Thread(target=self.llm_job, args=(text, prompt_text, prompt_token, embedding, own))
        thread.start()
        tokens, offset = self.tts_speech_token_dict[own], 0
        ahead = self.flow.pre_lookahead_len
        while stream:
            time.sleep(0.001)
            hop = self.token_hop_len
            if len(tokens) - offset >= hop + ahead:
                self.asked_hops.append(hop)
                made = self._sound(tokens[: offset + hop + ahead], embedding, offset, finalize=False)
                offset += hop
                self.token_hop_len = min(self.token_max_hop_len, hop * self.stream_scale_factor)
                yield made
            if self.llm_end_dict[own] and len(tokens) - offset < hop + ahead:
                break
        thread.join()
        assert speed == 1.0 or not stream
        made = self._sound(tokens, embedding, offset, finalize=True)
        yield {"tts_speech": made["tts_speech"][:, :: max(1, round(speed))]}
        with self.lock:
            for kept in (self.tts_speech_token_dict, self.llm_end_dict, self.hift_cache_dict):
                kept.pop(own)


class FrontEnd:
    text_frontend = ""

    def __init__(self) -> None:
        self.spk2info: dict[str, dict[str, Tensor]] = {}

    def tokens(self, text: str) -> Tensor:
        head, mark, tail = text.rpartition("<|endofprompt|>")
        ids = [ord(c) % 90 for c in head] + [END_OF_PROMPT] * bool(mark) + [ord(c) % 90 for c in tail]
        return torch.tensor([ids], dtype=torch.int32)

    def text_normalize(self, text: str, split: bool = True, text_frontend: bool = True) -> Any:
        if not text_frontend or not text or ("<|" in text and "|>" in text):
            return [text] if split else text
        parts = [part.strip() for part in text.split(".") if any(c.isalnum() for c in part)]
        return parts if split else text.strip()


class Tts:
    """What `AutoModel` returns; the engine tells versions apart by the class's name."""

    def __init__(self, version: int) -> None:
        random.seed(1986)
        torch.manual_seed(1986)
        self.sample_rate = 24000
        self.frontend, self.model = FrontEnd(), Model(version)

    def add_zero_shot_spk(self, prompt_text: str, prompt_wav: str, zero_shot_spk_id: str) -> bool:
        data = Path(prompt_wav).read_bytes()
        embedding = torch.tensor([[data[44 + n] / 256 for n in range(4)]])
        self.frontend.spk2info[zero_shot_spk_id] = {
            "prompt_text": self.frontend.tokens(prompt_text),
            "prompt_token": torch.tensor([[b % CODES for b in data[44:60]]]),
            "embedding": embedding,
        }
        return True

    def inference_zero_shot(
        self,
        tts_text: str,
        prompt_text: str,
        prompt_wav: str,
        zero_shot_spk_id: str = "",
        stream: bool = False,
        speed: float = 1.0,
        text_frontend: bool = True,
    ) -> Iterator[dict[str, Tensor]]:
        for part in self.frontend.text_normalize(tts_text, split=True, text_frontend=text_frontend):
            given = self.frontend.spk2info[zero_shot_spk_id]
            yield from self.model.tts(text=self.frontend.tokens(part), stream=stream, speed=speed, **given)


CosyVoice2 = type("CosyVoice2", (Tts,), {})
CosyVoice3 = type("CosyVoice3", (Tts,), {})


def auto_model(model_dir: str) -> Tts:
    version = 3 if (Path(model_dir) / "cosyvoice3.yaml").is_file() else 2
    made: Tts = (CosyVoice3 if version == 3 else CosyVoice2)(version)
    for name in ("llm", "flow", "hift"):
        state = torch.load(Path(model_dir) / f"{name}.pt", weights_only=True)
        getattr(made.model, name).load_state_dict(state, strict=True)
    return made


def checkout(folder: Path) -> Path:
    """A source checkout whose code is this module."""
    for name in ("cosyvoice", "cosyvoice/cli", "third_party/Matcha-TTS/matcha"):
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / "__init__.py").touch()
    (folder / "cosyvoice" / "cli" / "cosyvoice.py").write_text(
        "import logging\nfrom tqdm import tqdm\nfrom modelscope import snapshot_download\n"
        "from cosyvoice_small import auto_model\n\nlogging.getLogger().setLevel(logging.DEBUG)\n\n\n"
        "def AutoModel(**given):\n    snapshot_download('grammars')\n    return auto_model(**given)\n"
    )
    (folder / "modelscope.py").write_text(
        "def snapshot_download(name, local_files_only=False):\n    assert local_files_only, 'would download'\n"
    )
    (folder / "tqdm.py").write_text("tqdm = iter\n")
    return folder


def model_folder(folder: Path, version: int = 2, seed: int = 0) -> Path:
    """llm.pt, flow.pt, hift.pt with random weights, and the other files' names."""
    folder.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Model(version)
    for name in ("llm", "flow", "hift"):
        torch.save(getattr(model, name).state_dict(), folder / f"{name}.pt")
    (folder / f"cosyvoice{version}.yaml").touch()
    (folder / "campplus.onnx").touch()
    return folder


def sections(folder: Path) -> SimpleNamespace:
    """The raw state of each file."""
    return SimpleNamespace(**{n: torch.load(folder / f"{n}.pt", weights_only=True) for n in ("llm", "flow", "hift")})
