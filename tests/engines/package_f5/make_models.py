"""Files that people merge: a base, two fine-tunes as the package's trainer saves them, and peft's adapters of the base.

Beside each adapter lies what peft's runtime model says (`heard.npy`), spoken by the package's own code.
"""

from __future__ import annotations

import copy
import json
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import SEED, System, package_speech
from torch import nn

from evalkit.engines.f5.example import TEXTS, write_checkpoint

TARGETS = ["to_q", "to_k", "to_v", "to_out.0", "ff.ff.0.0", "ff.ff.2"]  # f5-tts pull request 1296


def fine_tune(system: System, seed: int, path: Path) -> None:
    """`Trainer.save_checkpoint` (trainer.py:150), with an average that is not the last step's weights."""
    from ema_pytorch import EMA

    model = copy.deepcopy(system.cfm)
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=draw))
    average = EMA(model, include_online_model=False).state_dict()
    raw = {key: tensor + 1 for key, tensor in model.state_dict().items()}
    torch.save(
        {
            "model_state_dict": raw,
            "optimizer_state_dict": {"state": {}, "param_groups": []},
            "ema_model_state_dict": average,
            "scheduler_state_dict": {"last_epoch": 3},
            "update": 3,
        },
        path,
    )


def adapter(system: System, folder: Path, utils: Any, part: str) -> None:
    """An adapter of the CFM, or of its transformer alone; random, for peft starts with one that does nothing."""
    from peft import LoraConfig, get_peft_model

    cfm = copy.deepcopy(system.cfm)
    config = LoraConfig(r=4, lora_alpha=12, target_modules=TARGETS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wrapped = get_peft_model(cfm if part == "cfm" else cfm.transformer, config)
        draw = torch.Generator().manual_seed(SEED)
        with torch.no_grad():
            for name, parameter in wrapped.named_parameters():
                if "lora_" in name:
                    parameter.copy_(0.1 * torch.randn(parameter.shape, generator=draw))
        wrapped.save_pretrained(folder)
    speaking = copy.copy(system)
    speaking.cfm = cfm.eval()
    assert any(isinstance(module, nn.Module) and hasattr(module, "lora_A") for module in cfm.modules())
    np.save(folder / "heard.npy", speaking.package(utils, TEXTS[2], SEED, nfe_step=4).numpy())


def main(folder: Path) -> None:
    utils = package_speech()
    system = System(folder / "system")
    fine_tune(system, 1, folder / "dialect.pt")
    fine_tune(system, 2, folder / "emotion.pt")
    adapter(system, folder / "lora-cfm", utils, "cfm")
    adapter(system, folder / "lora-dit", utils, "transformer")
    write_checkpoint(
        folder / "base.safetensors", dict(system.cfm.state_dict())
    )  # with the table, as released files are
    print(json.dumps({"base": str(folder / "base.safetensors")}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
