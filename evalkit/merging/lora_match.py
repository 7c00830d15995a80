"""An adapter's tensor names as its base spells them."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from evalkit.errors import EvalkitError, some

# (what stands before the adapter's names in the base, what stands before the base's names in the adapter)
Prefix = tuple[str, str]


def spelled_as_base(keys: Sequence[str], base: Collection[str], adapter: str) -> dict[str, str]:
    """Key of the base -> key of the adapter, for every key of the adapter.

    An adapter that was trained on a part of the model, or on a wrapper around it, has names that lack leading parts or
    have more: F5-TTS `transformer_blocks.0...` for `transformer.transformer_blocks.0...`, CosyVoice `model.layers...`
    for `llm.model.model.layers...`. The same prefix must explain all keys; the same spelling goes before any prefix.

    adapter: its name, for messages. Raises EvalkitError if no prefix does, or several do.
    """
    known = set(base)
    prefixes = [("", "")] if _hits(("", ""), keys, known) == len(keys) else _prefixes(keys, known)
    fitting = [prefix for prefix in prefixes if _hits(prefix, keys, known) == len(keys)]
    if len(fitting) == 1:
        return {spelled: key for key in keys if (spelled := _spell(fitting[0], key)) is not None}
    if fitting:
        places = some(sorted(str(_spell(prefix, keys[0])) for prefix in fitting))
        raise EvalkitError(
            f"The adapter {adapter} fits the base in {len(fitting)} places ('{keys[0]}' could be {places}); give its "
            "tensors the names of the base's."
        )
    best = max([("", ""), *prefixes], key=lambda prefix: _hits(prefix, keys, known))
    missing = [key for key in keys if _spell(best, key) not in known]
    raise EvalkitError(
        f"The base lacks {len(missing)} of {len(keys)} tensors that the adapter {adapter} changes: {some(missing)} "
        f"(the base has {some(list(base))}); name the base it was trained on."
    )


def _prefixes(keys: Sequence[str], known: Collection[str]) -> list[Prefix]:
    """Every prefix that gives the first key a partner in the base."""
    first = keys[0]
    added = [(key.removesuffix(first), "") for key in known if key.endswith(f".{first}")]
    cuts = [first[: index + 1] for index, sign in enumerate(first) if sign == "."]
    return added + [("", cut) for cut in cuts if first.removeprefix(cut) in known]


def _spell(prefix: Prefix, key: str) -> str | None:
    added, removed = prefix
    return added + key.removeprefix(removed) if key.startswith(removed) else None


def _hits(prefix: Prefix, keys: Sequence[str], known: Collection[str]) -> int:
    return sum(_spell(prefix, key) in known for key in keys)
