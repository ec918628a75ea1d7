"""Classes of mail at one site: the urgent before the less urgent, which keep a floor."""

from __future__ import annotations

from typing import Any

from penstock.schedule.branch import Branch
from penstock.schedule.shares import Shares


class MailClass(Shares):
    """A class of mail. ``every``: of so many refs taken from the site one is its own, by its floor,
    0 for no floor; ``since``: the count of refs up to which it has had its own."""

    __slots__ = ("every", "since", "urgency")

    def __init__(self, urgency: int, every: float) -> None:
        super().__init__("class")
        self.urgency = urgency  # 0 is the most urgent
        self.every = every
        self.since = 0.0


class Classes(Branch):
    """The site: the most urgent class first, unless a less urgent one is owed its floor.

    A floor is a share of all the refs taken while the class has something to send: joining, it is
    owed nothing, so a floor cannot be saved up. A large transaction is paid in advance by as many
    refs of others; what a class takes while nobody more urgent waits is free.
    """

    __slots__ = ("_classes", "_floors", "_taken")

    def __init__(self, floors: tuple[float, float, float]) -> None:
        super().__init__("site")
        self._floors = floors
        self._classes: list[MailClass] = []  # those there has been mail of, the most urgent first
        self._taken = 0

    def set_floors(self, floors: tuple[float, float, float]) -> None:
        """Other floors from now on."""
        self._floors = floors
        for each in self._classes:
            each.every = _every(floors[each.urgency])

    def of(self, urgency: int) -> MailClass:
        """A class, from now on one of these."""
        for each in self._classes:
            if each.urgency == urgency:
                return each
        added = MailClass(urgency, _every(self._floors[urgency]))
        added.parent = self
        self._classes = sorted([*self._classes, added], key=lambda each: each.urgency)
        return added

    def turn(self) -> MailClass:
        """The class whose turn it is."""
        urgent: MailClass | None = None
        for each in self._classes:
            if each.following is not None:
                if urgent is None:
                    urgent = each
                    if each.following is each:
                        break
                elif each.every and self._taken + 1 - each.since >= each.every:
                    return each
        assert urgent is not None
        return urgent

    def charge(self, child: MailClass, n: int) -> None:
        """``child`` has had ``n`` refs."""
        self._taken += n
        if not child.every:
            return
        paid = child.since + n * child.every
        for each in self._classes:
            if each is child:
                if child.since < self._taken:
                    child.since = min(paid, self._taken)
                return
            if each.following is not None:
                child.since = paid
                return

    def refund(self, child: MailClass) -> None:
        """One ref that ``child`` was charged for was not sent; it is owed at most that one."""
        self._taken -= 1
        child.since = max(child.since, self._taken) - child.every

    def give_turn_back(self, child: MailClass) -> None:
        """The next turn is that of ``child`` again; another that is owed one has the turn after."""
        urgent = True
        for each in self._classes:
            if each.following is None:
                continue
            if not urgent and each.every:
                due = self._taken + 1 - each.every
                if each is child:
                    each.since = min(each.since, due)
                elif each.since <= due:
                    each.since = due + 0.5
            urgent = False

    def link(self, child: Any) -> None:
        Branch.link(self, child)
        if child.since < self._taken:
            child.since = self._taken


def _every(floor: float) -> float:
    return 1 / floor if floor else 0.0
