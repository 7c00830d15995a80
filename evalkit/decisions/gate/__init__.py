"""The gate: rules over a run and its baseline, and the verdict that they come to."""
