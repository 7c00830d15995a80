"""The built-in merge methods: a file for each, and what they share in sums.py, sparsify.py and consensus.py."""
