"""Benchmarks, and the harness that the tests against real programs share with them.

``python -m bench`` runs all of them; each also runs alone, as ``python -m bench.relay`` and so on.
"""
