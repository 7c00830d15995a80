"""A model folder of CosyVoice 2 or 3 with small random networks of the real classes, and stand-ins for two encoders.

Written from the configurations in a checkout (`examples/libritts/cosyvoice{2,3}/conf`) and from what
`cosyvoice/cli/cosyvoice.py` reads of a folder.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

SPECIAL_AT = 151643  # where Qwen's special tokens begin; CosyVoice 3 looks for 151646 (llm.py:479)
WIDTH = 32

COMMON = """\
__set_seed1: !apply:random.seed [1986]
__set_seed2: !apply:numpy.random.seed [1986]
__set_seed3: !apply:torch.manual_seed [1986]
sample_rate: 24000
qwen_pretrain_path: ''
llm: !new:cosyvoice.llm.llm.{lm}
    llm_input_size: {width}
    llm_output_size: {width}
    speech_token_size: 6561
    llm: !new:cosyvoice.llm.llm.Qwen2Encoder
        pretrain_path: !ref <qwen_pretrain_path>
    sampling: !name:cosyvoice.utils.common.ras_sampling
        top_p: 0.8
        top_k: 25
        win_size: 10
        tau_r: 0.1
"""

CFM = """\
        cfm_params: !new:omegaconf.DictConfig
            content: {sigma_min: 1e-06, solver: euler, t_scheduler: cosine, training_cfg_rate: 0.2,
                      inference_cfg_rate: 0.7, reg_loss_type: l1}
"""

FLOW_2 = """\
flow: !new:cosyvoice.flow.flow.CausalMaskedDiffWithXvec
    input_size: 512
    output_size: 80
    vocab_size: 6561
    input_frame_rate: 25
    token_mel_ratio: 2
    pre_lookahead_len: 3
    encoder: !new:cosyvoice.transformer.upsample_encoder.UpsampleConformerEncoder
        input_size: 512  # its layer that looks ahead has no other width
        output_size: 512
        attention_heads: 2
        linear_units: 64
        num_blocks: 1
        input_layer: linear
        pos_enc_layer_type: rel_pos_espnet
        selfattention_layer_type: rel_selfattn
        use_cnn_module: False
        macaron_style: False
        static_chunk_size: 25
    decoder: !new:cosyvoice.flow.flow_matching.CausalConditionalCFM
        in_channels: 240
        n_spks: 1
        spk_emb_dim: 80
{cfm}\
        estimator: !new:cosyvoice.flow.decoder.CausalConditionalDecoder
            in_channels: 320
            out_channels: 80
            channels: [{width}]
            dropout: 0.0
            attention_head_dim: 16
            n_blocks: 1
            num_mid_blocks: 1
            num_heads: 2
            act_fn: gelu
            static_chunk_size: 50
            num_decoding_left_chunks: -1
"""

FLOW_3 = """\
flow: !new:cosyvoice.flow.flow.CausalMaskedDiffWithDiT
    input_size: 80
    output_size: 80
    vocab_size: 6561
    input_frame_rate: 25
    token_mel_ratio: 2
    pre_lookahead_len: 3
    pre_lookahead_layer: !new:cosyvoice.transformer.upsample_encoder.PreLookaheadLayer
        in_channels: 80
        channels: {width}
        pre_lookahead_len: 3
    decoder: !new:cosyvoice.flow.flow_matching.CausalConditionalCFM
        in_channels: 240
        n_spks: 1
        spk_emb_dim: 80
{cfm}\
        estimator: !new:cosyvoice.flow.DiT.dit.DiT
            dim: {width}
            depth: 2
            heads: 2
            dim_head: 16
            ff_mult: 2
            mel_dim: 80
            mu_dim: 80
            spk_dim: 80
            out_channels: 80
            static_chunk_size: 50
            num_decoding_left_chunks: -1
"""

HIFT = """\
hift: !new:cosyvoice.hifigan.generator.{generator}
    in_channels: 80
    base_channels: {width}
    nb_harmonics: 8
    sampling_rate: 24000
    nsf_alpha: 0.1
    nsf_sigma: 0.003
    nsf_voiced_threshold: 10
    upsample_rates: [8, 5, 3]
    upsample_kernel_sizes: [16, 11, 7]
    istft_params: {{n_fft: 16, hop_len: 4}}
    resblock_kernel_sizes: [3]
    resblock_dilation_sizes: [[1, 3]]
    source_resblock_kernel_sizes: [7, 7, 11]
    source_resblock_dilation_sizes: [[1], [1], [1]]
    lrelu_slope: 0.1
    audio_limit: 0.99
{look_right}\
    f0_predictor: !new:cosyvoice.hifigan.f0_predictor.{predictor}
        num_class: 1
        in_channels: 80
        cond_channels: {width}
"""

FRONT_END = """\
feat_extractor: !name:matcha.utils.audio.mel_spectrogram
    n_fft: 1920
    num_mels: 80
    sampling_rate: 24000
    hop_size: 480
    win_size: 1920
    fmin: 0
    fmax: null
    center: False
get_tokenizer: !name:cosyvoice.tokenizer.tokenizer.get_qwen_tokenizer
    token_path: !ref <qwen_pretrain_path>
    skip_special_tokens: True
{version}\
allowed_special: all
"""


def write(folder: Path, version: int, seed: int) -> None:
    """All but the networks (see `write_networks`): the YAML, Qwen's tokenizer and configuration, the encoders."""
    three = version == 3
    text = COMMON.format(lm="CosyVoice3LM" if three else "Qwen2LM", width=WIDTH)
    text += (FLOW_3 if three else FLOW_2).format(width=WIDTH, cfm=CFM)
    text += HIFT.format(
        generator="CausalHiFTGenerator" if three else "HiFTGenerator",
        predictor="CausalConvRNNF0Predictor" if three else "ConvRNNF0Predictor",
        look_right="    conv_pre_look_right: 4\n" if three else "",
        width=WIDTH,
    )
    text += FRONT_END.format(version="    version: cosyvoice3\n" if three else "")
    (folder / f"cosyvoice{version}.yaml").write_text(text)
    _write_qwen(folder / "CosyVoice-BlankEN", seed)
    _write_encoders(folder, version, seed)


def write_networks(folder: Path, version: int, seed: int) -> None:
    """llm.pt, flow.pt and hift.pt, from networks that the YAML makes. Needs the checkout in sys.path."""
    from hyperpyyaml import load_hyperpyyaml

    qwen = str(folder / "CosyVoice-BlankEN")
    with (folder / f"cosyvoice{version}.yaml").open() as file:
        made = load_hyperpyyaml(file, overrides={"qwen_pretrain_path": qwen})
    torch.manual_seed(seed)
    for name in ("llm", "flow", "hift"):
        for parameter in made[name].parameters():
            if parameter.ndim > 1:  # louder than a fresh network, so that every section can be heard
                parameter.data.add_(torch.randn_like(parameter) * 0.02)
        if name == "llm":
            _make_it_end(made[name])
        torch.save(made[name].state_dict(), folder / f"{name}.pt")


@torch.no_grad()
def _make_it_end(llm: torch.nn.Module, loudness: float = 1.5) -> None:
    """A random language model hardly ever draws the token that ends a sentence. In this one, the first dimension is the
    same in every state, and makes that token one of the likely ones at every step.
    """
    for name, parameter in llm.named_parameters():
        if name.endswith(("embedding.weight", "embed_tokens.weight")):
            parameter[:, 0] = 1.0
        elif name.endswith(("o_proj.weight", "down_proj.weight")):
            parameter[0] = 0.0
    stops = llm.llm_decoder.weight[6561:]
    stops[:] = 0.0
    llm.llm_decoder.weight[:, 0] = 0.0
    llm.llm_decoder.weight[llm.eos_token, 0] = loudness


def _write_qwen(folder: Path, seed: int) -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

    letters = pre_tokenizers.ByteLevel.alphabet()
    vocabulary = {letter: index for index, letter in enumerate(sorted(letters))}
    vocabulary |= {f"<unused{index}>": index for index in range(len(vocabulary), SPECIAL_AT)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|im_start|>", "<|im_end|>", "<|endofprompt|>"]
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>", pad_token="<|endoftext|>")
    fast.add_special_tokens({"additional_special_tokens": special})
    assert fast.convert_tokens_to_ids("<|endofprompt|>") == SPECIAL_AT + 3
    fast.save_pretrained(folder)
    torch.manual_seed(seed)
    config = Qwen2Config(
        vocab_size=SPECIAL_AT + 500,
        hidden_size=WIDTH,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
    )
    Qwen2ForCausalLM(config).save_pretrained(folder)
    assert json.loads((folder / "config.json").read_text())["model_type"] == "qwen2"


def _write_encoders(folder: Path, version: int, seed: int) -> None:
    """campplus: fbank [1, T, 80] -> [1, 192]; speech tokenizer: log mel [1, 128, T] -> tokens [1, T / 4]."""
    from onnx import TensorProto, helper, numpy_helper, save

    def model(name: str, nodes: list, inputs: list, outputs: list, constants: dict[str, np.ndarray]) -> None:
        held = [numpy_helper.from_array(value, key) for key, value in constants.items()]
        graph = helper.make_graph(nodes, name, inputs, outputs, held)
        opset = [helper.make_opsetid("", 17)]
        save(helper.make_model(graph, opset_imports=opset, ir_version=8), str(folder / f"{name}.onnx"))

    value, node = helper.make_tensor_value_info, helper.make_node
    projection = np.random.default_rng(seed).standard_normal((80, 192)).astype(np.float32)
    model(
        "campplus",
        [node("ReduceMean", ["fbank", ], ["mean"], axes=[1], keepdims=0), node("MatMul", ["mean", "w"], ["embedding"])],
        [value("fbank", TensorProto.FLOAT, [1, "T", 80])],
        [value("embedding", TensorProto.FLOAT, [1, 192])],
        {"w": projection},
    )  # fmt: skip
    model(
        f"speech_tokenizer_v{version}",
        [
            node("ReduceSum", ["mel", "one"], ["sum"], keepdims=0),
            node("Slice", ["sum", "zero", "end", "one", "four"], ["slow"]),
            node("Mul", ["slow", "loud"], ["large"]),
            node("Cast", ["large"], ["whole"], to=TensorProto.INT32),
            node("Mod", ["whole", "codes"], ["tokens"]),
            node("Identity", ["length"], ["unused"]),
        ],
        [value("mel", TensorProto.FLOAT, [1, 128, "T"]), value("length", TensorProto.INT32, [1])],
        [value("tokens", TensorProto.INT32, [1, "N"]), value("unused", TensorProto.INT32, [1])],
        {
            "one": np.array([1]), "zero": np.array([0]), "end": np.array([2**31]), "four": np.array([4]),
            "loud": np.float32(97.0), "codes": np.int32(6561),
        },
    )  # fmt: skip
