"""What breaks task arithmetic, told from the figures: vectors too long, vectors that conflict, parents of another base.

The thresholds were set on the voices in `fixtures/voices` (1.6 M parameters, float16). "Typical" is the median, over
parameters, of their layer's relative norm.

| against its base | relative norm | typical | largest layer | cosine |
| --- | --- | --- | --- | --- |
| sarah, merges well | 0.157 | 0.22 | 0.29 | 0.15 with sumit |
| sumit, merges well | 0.134 | 0.20 | 0.22 | |
| overlong, step 800 of 1600 | 0.183 | 0.25 | 0.52 | 0.90 with step 1600 |
| overlong, step 1600, forgot how to read | 0.261 | 0.37 | 0.82 | 0.19 with sarah |
| the same tensors with their elements shuffled | 1.18 | 1.19 | 1.42 | |
| two random initialisations of one network | 0.99 | 1.13 | 1.49 | 0.50 with a third |

A larger network usually moves less for the same change, so the distance is a lenient judge there.
"""

from __future__ import annotations

from collections.abc import Sequence

from evalkit.checkpoints.inspection.report import Group, Judgement, Level, PairFigures, Partners

# Relative norm of a whole task vector: between the fixtures that merge well (0.16) and the over-long one (0.26). At
# half the base's own length a vector is no small step, whatever the network.
FAR, TOO_FAR = 0.20, 0.50
# Of one layer: above what any good fixture has (0.29); the over-long one reaches it from step 800 on.
LAYER_FAR = 0.50
# Layers with a smaller share of the parameters are not held against a model: a few biases near zero move by multiples.
LAYER_SHARE = 0.001
# Typical relative norm: at least 1.1 measured for unrelated weights (sqrt(2) in theory, for equal norms), 0.37 for the
# farthest fine-tune. 0.7 lies between; equal norms then have a cosine of 0.75 between the weights themselves.
UNRELATED = 0.70
# The sum of two vectors of one length keeps 1 + cosine of the squared norm that independent ones would have.
CONFLICT, STRONG_CONFLICT = -0.10, -0.30
# Standard errors of a pair with random signs. Elements of a layer are not independent: this only guards small layers.
CERTAIN = 4.0
# For equal lengths, a cosine above 0.5 is the same as ||a - b|| < ||a - base||.
SHARED_WAY = 0.50
# Of the base's parameters: with a smaller share in common, figures over that share say nothing of the whole.
ENOUGH_SHARED = 0.50
SHOWN = 3


def typical_norm(layers: Sequence[Group], model: int) -> float | None:
    """Median over parameters of their layer's relative norm; unlike the whole norm, no few large numbers rule it."""
    vectors = [layer.vectors[model] for layer in layers]
    return _weighted_median([(v.relative_norm, v.elements) for v in vectors if v.relative_norm is not None])


def distance(overall: Group, layers: Sequence[Group]) -> list[Judgement]:
    """Which fine-tunes went too far, as a whole or in a layer, and which did not move at all."""
    found = [
        said for model in range(len(overall.vectors)) if (said := _distance_of(model, overall, layers)) is not None
    ]
    if found or not overall.parameters:
        return found
    longest = max(range(len(overall.vectors)), key=lambda model: overall.vectors[model].relative_norm or 0)
    vector, furthest = overall.vectors[longest], _furthest(layers, overall.parameters, longest)
    says = (
        f"No fine-tune went too far: the longest vector is {vector.model} with a relative norm of "
        f"{vector.relative_norm or 0:.3f} (caution from {FAR:.2f}), furthest in "
        f"{_listed(furthest[:1], longest) or 'no layer'}."
    )
    return [Judgement("ok", "distance", says)]


def _distance_of(model: int, overall: Group, layers: Sequence[Group]) -> Judgement | None:
    vector, furthest = overall.vectors[model], _furthest(layers, overall.parameters, model)
    name, norm = vector.model, vector.relative_norm or 0.0
    if not vector.elements:
        return None  # nothing to compare; `same_base` says so
    if not vector.norm:
        says = f"{name} differs from the base nowhere: there is nothing to merge; was its training or its adapter lost?"
        return Judgement("caution", "distance", says)
    if norm >= FAR:
        level: Level = "problem" if norm >= TOO_FAR else "caution"
        advice = f"take an earlier snapshot, or a coefficient near {FAR / norm:.1f}, which brings it to {FAR:.2f}"
        if (typical_norm(layers, model) or 0) >= UNRELATED:
            advice = "no fine-tune goes so far, so see to the base first"
        says = (
            f"{name} went far: its relative norm is {norm:.3f} (caution from {FAR:.2f}, problem from {TOO_FAR:.2f}), "
            f"furthest in {_listed(furthest, model)}; {advice}."
        )
        return Judgement(level, "distance", says)
    moved = [layer for layer in furthest if (layer.vectors[model].relative_norm or 0) >= LAYER_FAR]
    if moved:
        says = (
            f"{name} is near the base as a whole (relative norm {norm:.3f}) but moved {_listed(moved, model)} by "
            f"{LAYER_FAR:.2f} or more; if these were trained afresh, copy them from one parent instead of adding."
        )
        return Judgement("caution", "distance", says)
    return None


def conflict(overall: Group, layers: Sequence[Group]) -> list[Judgement]:
    """Which pairs of vectors point against each other, as a whole or in layers."""
    if not overall.pairs:
        return [Judgement("ok", "conflict", "There is only one task vector, so none to conflict with.")]
    found = [said for place in range(len(overall.pairs)) if (said := _conflict_of(place, overall, layers)) is not None]
    if found:
        return found
    lowest = min(overall.pairs, key=lambda pair: 0.0 if pair.cosine is None else pair.cosine)
    return [Judgement("ok", "conflict", f"No vectors conflict: at worst {_names(lowest)}, {_signs(lowest)}.")]


def _conflict_of(place: int, overall: Group, layers: Sequence[Group]) -> Judgement | None:
    pair = overall.pairs[place]
    against = [layer for layer in _large(layers, overall.parameters) if _opposed(layer.pairs[place])]
    against.sort(key=lambda layer: layer.pairs[place].cosine or 0.0)
    where = ", ".join(f"{layer.name} ({layer.pairs[place].cosine or 0:+.2f})" for layer in against[:SHOWN])
    advice = "try smaller coefficients, a method that settles signs (ties), or one parent alone in these layers"
    if _opposed(pair):
        level: Level = "problem" if (pair.cosine or 0) <= STRONG_CONFLICT else "caution"
        most = f", most in {where}" if where else ""
        return Judgement(level, "conflict", f"{_names(pair)} conflict: {_signs(pair)}{most}; {advice}.")
    if against:
        says = f"{_names(pair)} conflict in {len(against)} of {len(layers)} layers ({where}), though not as a whole"
        return Judgement("caution", "conflict", f"{says} ({_signs(pair)}); {advice}.")
    return None


def same_base(base: str, partners: Sequence[Partners], overall: Group, layers: Sequence[Group]) -> list[Judgement]:
    """Which models are no fine-tunes of the base, and which pairs share a way that the base has not gone."""
    typical = [typical_norm(layers, model) or 0.0 for model in range(len(overall.vectors))]
    found = []
    for partner, norm in zip(partners, typical, strict=True):
        share = partner.shared_parameters / max(1, partner.base_parameters)
        if share < ENOUGH_SHARED:
            says = (
                f"{partner.model} is hardly of the kind of {base}: only {100 * share:.1f} % of the base's parameters "
                "have a partner of the same name and shape; name the checkpoint that it was fine-tuned from."
            )
            found.append(Judgement("problem", "base", says))
        elif norm >= UNRELATED:
            says = (
                f"{partner.model} does not come from {base}: its typical layer is {norm:.2f} of the layer's norm away "
                f"(problem from {UNRELATED:.2f}, unrelated weights are 1 or more away); name the checkpoint that it "
                "was fine-tuned from."
            )
            found.append(Judgement("problem", "base", says))
    found += [_shared_way(base, pair, overall) for pair in overall.pairs if _aligned(pair)]
    if found:
        return found
    says = (
        f"All come from {base}: a typical layer moved by at most {max(typical):.2f} of its norm (problem from "
        f"{UNRELATED:.2f}, unrelated weights are 1 or more away)."
    )
    return [Judgement("ok", "base", says)]


def _shared_way(base: str, pair: PairFigures, overall: Group) -> Judgement:
    norms = {vector.model: vector.relative_norm or 0.0 for vector in overall.vectors}
    says = (
        f"{_names(pair)} went the same way from {base}: cosine {pair.cosine or 0:.2f}, {pair.distance or 0:.2f} apart "
        f"where the base is {norms[pair.first]:.2f} and {norms[pair.second]:.2f} away; if both come from a later "
        "checkpoint, take that as the base, and of two snapshots of one training take one, for a sum has what they "
        "share twice."
    )
    return Judgement("caution", "base", says)


def related(overall: Group, layers: Sequence[Group]) -> list[Judgement]:
    """Without a base: which pairs of weights have nothing to do with each other."""
    found = []
    for place, pair in enumerate(overall.pairs):
        apart = [(layer.pairs[place].distance, layer.parameters) for layer in layers]
        typical = _weighted_median([(value, weight) for value, weight in apart if value is not None]) or 0.0
        if typical >= UNRELATED:
            says = (
                f"{_names(pair)} are unrelated weights: a typical layer of one is {typical:.2f} of its norm from the "
                f"other's (problem from {UNRELATED:.2f}); their average would be noise."
            )
            found.append(Judgement("problem", "base", says))
    return found or [Judgement("ok", "base", "Any two are near enough to have one base; --base tells more.")]


def _furthest(layers: Sequence[Group], parameters: int, model: int) -> list[Group]:
    """The few layers with the largest relative norms, tiny ones left out."""
    return sorted(
        _large(layers, parameters), key=lambda layer: layer.vectors[model].relative_norm or 0.0, reverse=True
    )[:SHOWN]


def _large(layers: Sequence[Group], parameters: int) -> list[Group]:
    return [layer for layer in layers if layer.parameters >= LAYER_SHARE * parameters]


def _listed(layers: Sequence[Group], model: int) -> str:
    return ", ".join(f"{layer.name} ({layer.vectors[model].relative_norm or 0:.3f})" for layer in layers)


def _opposed(pair: PairFigures) -> bool:
    return pair.cosine is not None and pair.cosine <= CONFLICT and _beyond_chance(pair)


def _aligned(pair: PairFigures) -> bool:
    return pair.cosine is not None and pair.cosine >= SHARED_WAY and _beyond_chance(pair)


def _beyond_chance(pair: PairFigures) -> bool:
    """Do the signs agree or differ more than random ones would over so few, or so uneven, elements?"""
    if pair.weighted_conflict is None or pair.standard_error is None:
        return False
    return abs(pair.weighted_conflict - 0.5) >= CERTAIN * pair.standard_error


def _names(pair: PairFigures) -> str:
    return f"{pair.first} and {pair.second}"


def _signs(pair: PairFigures) -> str:
    if pair.cosine is None or pair.weighted_conflict is None:
        return "which moved no element in common"
    return (
        f"cosine {pair.cosine:+.2f}, signs differ in {pair.weighted_conflict:.2f} of the weight, where independent "
        f"vectors have 0.50 ± {pair.standard_error or 0:.2g}"
    )


def _weighted_median(values: Sequence[tuple[float, int]]) -> float | None:
    half = sum(weight for _, weight in values) / 2
    for value, weight in sorted(values):
        half -= weight
        if half <= 0:
            return value
    return None
