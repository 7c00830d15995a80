"""What a selection says in sentences: which checkpoint to take, and what its losses would not have told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evalkit.decisions.select.ranking import names_in_words
from reports.values import decimals, interval, number, signed


def advise(result: Mapping[str, Any]) -> list[str]:
    """result: as select.json holds it, but for its advice."""
    return [*_choice(result), *_divergence(result), *_outcasts(result)]


def _choice(result: Mapping[str, Any]) -> list[str]:
    if result["chosen"] is None:
        blocked = [one["name"] for one in result["checkpoints"] if one["state"] == "blocked"]
        return [f"Choose none: {names_in_words(blocked)} did not pass the gate." if blocked else "Choose none."]
    of = {one["name"]: one for one in result["checkpoints"]}
    chosen, best, primary = result["chosen"], result["best"], result["primary"]
    said = [f"Choose {chosen}: {primary['column']} {_mean(of[chosen], primary)}"]
    if chosen == best:
        ranked = len(result["ranking"])
        said = [f"{said[0]}, the best of {ranked}." if ranked > 1 else f"{said[0]}."]
    else:
        said = [
            f"{said[0]}.",
            f"{best} has the better mean ({_mean(of[best], primary)}), but the difference "
            f"({_difference(of[chosen]['to_best'], primary)}) is not clear or within the margin, and {chosen} is the "
            "earlier.",
        ]
    alike = [name for name in result["indistinguishable"] if name != chosen]
    unclear = [name for name in alike if of[name]["to_best"]["answer"] != "equivalent"]
    equal = [name for name in alike if name not in unclear]
    if equal:
        said.append(f"{_sentence_start(equal)} as good as the best, within the margin.")
    if unclear:
        said.append(f"{names_in_words(unclear)} cannot be told from the best with {result['items']} items.")
    return said


def _divergence(result: Mapping[str, Any]) -> list[str]:
    found = result["divergence"]
    if found is None or found["answer"] != "found":
        return []
    last, primary = found["later"][-1], result["primary"]
    losses = [_loss(one) for one in found["losses"] if one["percent"] is not None]
    return [
        f"From {found['start']['name']} on the loss misleads: from {found['best']['name']} to {last['name']} "
        f"{' and '.join(losses)}, while {primary['column']} gets worse by {_difference(last, primary)}."
    ]


def _loss(one: Mapping[str, Any]) -> str:
    percent = one["percent"]
    return f"{one['name']} {'falls' if percent < 0 else 'rises'} by {abs(percent):.3g} %"


def _outcasts(result: Mapping[str, Any]) -> list[str]:
    failed = [one["name"] for one in result["checkpoints"] if one["state"] == "failed"]
    return [f"Not evaluated: {names_in_words(failed)}."] if failed else []


def _mean(checkpoint: Mapping[str, Any], primary: Mapping[str, Any]) -> str:
    found = checkpoint["means"][primary["column"]]
    digits = decimals({"mean": found["mean"], "unit": primary["unit"]})
    unit = f" {primary['unit']}" if primary["unit"] else ""
    bounds = f" {interval(found['ci95'], digits)}" if found["ci95"] else ""
    return f"{number(found['mean'], digits)}{unit}{bounds}"


def _difference(found: Mapping[str, Any], primary: Mapping[str, Any]) -> str:
    digits = 3 if not primary["unit"] or abs(found["difference"]) < 1 else 2
    bounds = f" {interval(found['ci95'], digits, sign=True)}" if found["ci95"] else ""
    return f"{signed(found['difference'], digits)}{bounds}"


def _sentence_start(names: Sequence[str]) -> str:
    return f"{names_in_words(names)} {'is' if len(names) == 1 else 'are'}"
