"""Which clips of a batch can be measured at all."""

from __future__ import annotations

from metrics.base import ClipBatch, MetricSpec

SILENCE_DBFS = -80.0


def require_rate(batch: ClipBatch, spec: MetricSpec) -> None:
    """Raise ValueError unless the batch has the sample rate that the metric declares."""
    if spec.sample_rate is not None and batch.sample_rate != spec.sample_rate:
        raise ValueError(
            f"The metric {spec.name} takes audio at {spec.sample_rate} Hz and got {batch.sample_rate} Hz: resample it."
        )


def broken(batch: ClipBatch) -> dict[int, str]:
    """Index -> reason, for every clip that is empty or not finite."""
    reasons: dict[int, str] = {}
    for index in range(len(batch)):
        clip = batch.clip(index)
        if clip.numel() == 0:
            reasons[index] = "the clip has no samples"
        elif not bool(clip.isfinite().all()):
            reasons[index] = "the clip has samples that are not finite numbers"
    return reasons


def unusable(batch: ClipBatch) -> dict[int, str]:
    """Index -> reason, for every clip that is broken or silent (no sample above -80 dBFS)."""
    reasons = broken(batch)
    for index in range(len(batch)):
        if index not in reasons and float(batch.clip(index).abs().max()) <= 10 ** (SILENCE_DBFS / 20):
            reasons[index] = f"the clip is silent: no sample above {SILENCE_DBFS:g} dBFS"
    return reasons
