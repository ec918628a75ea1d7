"""What is wrong in the settings: the same value that policies use, see ``policy.problem``."""

from __future__ import annotations

from penstock.policy.problem import Problem, in_order, render

__all__ = ["Problem", "in_order", "render"]
