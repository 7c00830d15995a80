"""A LoRA adapter extracted from a full fine-tune."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from torch import Tensor

from evalkit.checkpoints import CanonicalTensors, non_finite
from evalkit.errors import EvalkitError, some
from evalkit.merging.lora_svd import truncate
from evalkit.merging.lora_update import Adapter, LowRank

WEIGHT = ".weight"
# An embedding cannot be told from a Linear by its shape: names end like `text_embed`, `embed_tokens`, `wte`.
EMBEDDING = re.compile(r"(?:^|[._])(?:emb|embed|embeds|embedding|embeddings|embed_tokens|wte|wpe)$", re.IGNORECASE)


@dataclass(frozen=True)
class Energies:
    """How much of the fine-tune's change (squared differences from the base) the adapter holds.

    kept: module -> share of its change that is left at this rank; left_out: canonical key -> share of the whole change
    that lies in a tensor which is not in the adapter; total: share of the whole change that the adapter holds.
    """

    kept: Mapping[str, float]
    left_out: Mapping[str, float]
    total: float


def extract_adapter(
    base: Mapping[str, Tensor], tuned: Mapping[str, Tensor], rank: int, targets: Collection[str] | None = None
) -> tuple[Adapter, Energies]:
    """The adapter of this rank that comes closest to a fine-tune: a truncated SVD of every changed weight's difference.

    base, tuned: tensors of checkpoints in any spelling, compared as canonical, effective weights. Linear and
    convolution weights are taken, a convolution's flattened to [out, in * kernel]; embeddings, biases, norms and
    recurrent weights are not, and stand in the energies' `left_out`. targets: as peft's `target_modules`, names of
    modules or ends of them ("to_q"); None takes all. The rank of a layer is at most what its shape allows; full rank
    gives the fine-tune back. A grouped convolution cannot be told from a plain one: evalkit folds its update, peft
    refuses it, so leave it out by `targets` if peft is to load the adapter.

    Source: Eckart & Young 1936, and sqrt(S) in each factor as LoRA extraction is usually written. Raises EvalkitError
    if the checkpoints' tensors do not match, if nothing changed, and if a target names no changed weight.
    """
    if rank < 1:
        raise EvalkitError(f"An adapter cannot have rank {rank}; give 1 or more.")
    before, after = CanonicalTensors(base), CanonicalTensors(tuned)
    _check_alike(before, after)
    updates: dict[str, LowRank] = {}
    kept: dict[str, float] = {}
    energy: dict[str, float] = {}
    for key in before:
        if not before.is_floating(key):
            continue
        delta = after[key].double() - before[key].double()
        energy[key] = float(delta.square().sum())
        if energy[key] > 0 and _is_target(key, delta, targets):
            module = key.removesuffix(WEIGHT)
            updates[module], kept[module] = truncate(delta, rank)
    _check_found(updates, energy, targets)
    total = sum(energy.values())
    left_out = {key: e / total for key, e in energy.items() if e > 0 and key.removesuffix(WEIGHT) not in updates}
    held = sum(share * energy[f"{module}{WEIGHT}"] for module, share in kept.items()) / total
    return Adapter("extracted adapter", updates, kept=kept), Energies(kept, left_out, held)


def _is_target(key: str, delta: Tensor, targets: Collection[str] | None) -> bool:
    module = key.removesuffix(WEIGHT)
    if not key.endswith(WEIGHT) or delta.ndim < 2 or EMBEDDING.search(module):
        return False
    return targets is None or any(module == target or module.endswith(f".{target}") for target in targets)


def _check_alike(before: CanonicalTensors, after: CanonicalTensors) -> None:
    unpaired = sorted(set(before) ^ set(after))
    if unpaired:
        raise EvalkitError(
            f"Base and fine-tune differ in {len(unpaired)} tensors: {some(unpaired)}; name the base it was tuned from."
        )
    reshaped = [key for key in before if before.shape(key) != after.shape(key)]
    if reshaped:
        raise EvalkitError(
            f"Base and fine-tune differ in the shapes of {some(reshaped)} (the first: "
            f"{list(before.shape(reshaped[0]))} and {list(after.shape(reshaped[0]))}); name the base it was tuned from."
        )
    for name, tensors in (("base", before), ("fine-tune", after)):
        broken = non_finite(tensors)
        if broken:
            raise EvalkitError(f"The {name} holds NaN or infinity in {some(broken)}; no adapter can be extracted.")


def _check_found(updates: Collection[str], energy: Mapping[str, float], targets: Collection[str] | None) -> None:
    changed = [key for key, value in energy.items() if value > 0]
    if not changed:
        raise EvalkitError("The fine-tune equals its base, so there is no adapter to extract; name another checkpoint.")
    unused = [target for target in targets or () if not any(m == target or m.endswith(f".{target}") for m in updates)]
    if unused:
        raise EvalkitError(
            f"No Linear or Conv weight that changed is called {some(unused)}; the changed tensors are {some(changed)}."
        )
    if not updates:
        raise EvalkitError(f"Nothing that changed is a Linear or Conv weight: {some(changed)}; no LoRA can hold it.")
