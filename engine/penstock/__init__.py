"""Penstock: a high-throughput email sending engine."""

__version__ = "0.1.0"
