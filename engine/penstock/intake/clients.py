"""How many connections each client has."""

from __future__ import annotations

from penstock.intake.networks import client_key


class Clients:
    """Counts seats. The table holds only clients that have one: connections bound it."""

    __slots__ = ("_per_client_max", "_seats")

    def __init__(self, per_client_max: int) -> None:
        self._per_client_max = per_client_max
        self._seats: dict[str, int] = {}

    def enter(self, address: str) -> str | None:
        """A seat, to be left with :meth:`leave`; ``None`` where the client has all of its own."""
        key = client_key(address)
        seats = self._seats.get(key, 0)
        if seats >= self._per_client_max:
            return None
        self._seats[key] = seats + 1
        return key

    def leave(self, seat: str) -> None:
        seats = self._seats[seat] - 1
        if seats:
            self._seats[seat] = seats
        else:
            del self._seats[seat]

    def __len__(self) -> int:
        """Clients with a connection."""
        return len(self._seats)
