"""What is taken for said where a message says nothing of itself."""

from __future__ import annotations

from typing import NamedTuple


class Defaults(NamedTuple):
    """Of a listener, or of an account on it; ``""``: none."""

    tenant: str = ""
    campaign: str = ""
    class_: str = ""
    pool: str = ""

    def over(self, other: Defaults) -> Defaults:
        """These where there are any, else those of ``other``."""
        return Defaults(*(mine or theirs for mine, theirs in zip(self, other, strict=True)))


NOTHING = Defaults()
