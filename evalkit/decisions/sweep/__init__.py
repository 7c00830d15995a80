"""Sweeps: merge coefficients, layers, ranks, sampling options and voices, measured point by point.

The choice is made on one part of the suite and the figure quoted comes from the other.
"""
