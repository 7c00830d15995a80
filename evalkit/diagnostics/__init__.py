"""Diagnostics of what judges and is judged by: metrics and training data."""
