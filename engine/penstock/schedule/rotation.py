"""Whose turn it is: the branches of a ready queue's tree, and how each shares out its turns.

    Classes                strict priority, with floors
      Shares  (class)      deficit round robin between tenants, by weight
        Shares  (tenant)   deficit round robin between campaigns, by weight
          Ring  (campaign) lanes in turn
            Lane

Those of a branch's children that can be taken from stand in a ring, linked through the children
themselves: to join, to leave and to pass the turn on is O(1), and who is held, asleep or empty is
not in it and is never looked at. The costs are counted in refs: a transaction of n costs n.

Every message passes here twice, so what runs for each is one loop over the levels and calls nothing
unless something runs empty.
"""

from __future__ import annotations

from typing import Any

from penstock.schedule.lane import Lane, Node


class Branch(Node):
    """A node with others below it. ``weight``: its share among its siblings; ``credit``: what it
    may still take in this turn, below 0 what it took too much."""

    __slots__ = ("clear_at", "credit", "head", "members", "name", "weight")

    def __init__(self, level: str, name: str = "", weight: int = 1) -> None:
        super().__init__(level)
        self.name = name
        self.weight = weight
        self.credit = 0.0
        self.clear_at = 0.0
        self.members = 0  # children, with and without messages
        self.head: Any = None  # the child whose turn it is, of the kind that belongs below this

    def link(self, child: Any) -> None:
        """``child`` gets the last turn."""
        head = self.head
        if head is None:
            self.head = child.preceding = child.following = child
        else:
            last = head.preceding
            child.preceding, child.following = last, head
            last.following = head.preceding = child

    def unlink(self, child: Any) -> None:
        """``child``, which is in the ring, has no turn any more."""
        following = child.following
        if following is child:
            self.head = None
        else:
            child.preceding.following = following
            following.preceding = child.preceding
            if self.head is child:
                self.head = following
        child.preceding = child.following = None


class Ring(Branch):
    """A campaign: its lanes take turns, a transaction each."""

    __slots__ = ()


class Shares(Branch):
    """Deficit round robin (Shreedhar and Varghese, 1995), in the variant that pays afterwards: how
    many refs a transaction has is known only when it is taken, so the last one of a turn may take
    more than the child has left, and the child pays for that in its next turns.

    A child that leaves the ring loses what it had left, so nobody saves up turns; but what it took
    too much it still owes when it comes back, or whoever never has more than one large transaction
    waiting would have the largest share. It is forgiven as fast as it would have been paid:
    ``served`` is the refs taken so far for a weight of one, and ``clear_at`` where a child's debt
    ends on that axis. Once nobody waits, nobody owes anything.
    """

    __slots__ = ("_clear_at_most", "children", "granted", "served", "unit", "weights")

    def __init__(self, level: str, name: str = "", weight: int = 1) -> None:
        super().__init__(level, name, weight)
        self.children: dict[str, Any] = {}
        self.unit = 0  # the smallest weight among the children since there have been any
        self.weights = 0  # of the children in the ring
        self.served = 0.0
        self.granted: Any = None  # the child that last had its share, as its turn began
        self._clear_at_most = 0.0

    def add(self, child: Branch) -> None:
        self.unit = min(self.unit, child.weight) if self.children else child.weight
        self.children[child.name] = child
        child.parent = self
        self.members += 1

    def remove(self, child: Branch) -> None:
        """``child``, which has no members any more, is forgotten."""
        del self.children[child.name]
        self.members -= 1
        child.parent = None
        child.asleep = child.blocked = False

    def weigh(self, child: Branch, weight: int) -> None:
        """Another weight from now on."""
        if weight != child.weight:
            if child.following is not None:
                self.weights += weight - child.weight
            child.weight = weight
            self.unit = min(self.unit, weight)

    def skip(self) -> None:
        """All owe something still after a round: gives them at once what they would get in all the
        rounds in which nobody could take anything."""
        first = child = self.head
        rounds = float("inf")
        while True:
            rounds = min(rounds, -child.credit * self.unit // child.weight)
            child = child.following
            if child is first:
                break
        while rounds:
            child.credit += rounds * child.weight / self.unit
            child = child.following
            if child is first:
                break

    def link(self, child: Any) -> None:
        Branch.link(self, child)
        self.weights += child.weight
        owes = child.clear_at > self.served
        child.credit = (self.served - child.clear_at) * child.weight if owes else 0.0

    def unlink(self, child: Any) -> None:
        Branch.unlink(self, child)
        self.weights -= child.weight
        if child.credit < 0:
            child.clear_at = self.served - child.credit / child.weight
            if child.clear_at > self._clear_at_most:
                self._clear_at_most = child.clear_at
        if self.head is None and self.served < self._clear_at_most:
            self.served = self._clear_at_most


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

    def of(self, urgency: int) -> MailClass:
        """A class, from now on one of these."""
        for each in self._classes:
            if each.urgency == urgency:
                return each
        floor = self._floors[urgency]
        added = MailClass(urgency, 1 / floor if floor else 0.0)
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

    def link(self, child: Any) -> None:
        Branch.link(self, child)
        if child.since < self._taken:
            child.since = self._taken


def turn(root: Branch) -> Lane:
    """The lane whose turn it is, where ``root.ready`` > 0. Asked twice it says the same.

    Where nobody is in the midst of a turn, each child gets its share as it is come to, and who
    still owes is passed over: in all at most once for each ref that was taken, and at once no more
    than a few times each.
    """
    node: Any = root
    if isinstance(root, Classes):
        node = root.turn()
        while node.level != "campaign":
            child = node.head
            if child.credit <= 0 or child is not node.granted:
                unit = node.unit
                if child.following is child:
                    child.credit = child.weight / unit  # alone, it owes nobody
                else:
                    first = child
                    credit = child.credit = child.credit + child.weight / unit
                    while credit <= 0:
                        child = child.following
                        if child is first:
                            node.skip()
                        credit = child.credit = child.credit + child.weight / unit
                    node.head = child
                node.granted = child
            node = child
    lane: Lane = node.head
    return lane


def arrive(lane: Lane) -> None:
    """One message more in ``lane``: :func:`gain`, level by level."""
    had = lane.ready
    lane.ready = had + 1
    if lane.blocked:
        return
    ring: Any = lane.parent
    if not had:
        ring.link(lane)
    had = ring.ready
    ring.ready = had + 1
    tenant = ring.parent
    if tenant is None or ring.blocked:
        return
    if not had:
        tenant.link(ring)
    had = tenant.ready
    tenant.ready = had + 1
    if tenant.blocked:
        return
    klass = tenant.parent
    if not had:
        klass.link(tenant)
    had = klass.ready
    klass.ready = had + 1
    if klass.blocked:
        return
    site = klass.parent
    if not had:
        site.link(klass)
    site.ready += 1


def pay(lane: Lane, n: int) -> None:
    """``lane``, whose turn it was, has given ``n`` refs: :func:`lose`, level by level, and turns
    pass on."""
    ring: Any = lane.parent
    ring.head = lane.following
    left = lane.ready = lane.ready - n
    if not left:
        ring.unlink(lane)
    left = ring.ready = ring.ready - n
    tenant = ring.parent
    if tenant is None:
        return
    tenant.served += n / tenant.weights
    credit = ring.credit = ring.credit - n
    if credit <= 0:
        tenant.head = ring.following
    if not left:
        tenant.unlink(ring)
    left = tenant.ready = tenant.ready - n
    klass = tenant.parent
    klass.served += n / klass.weights
    credit = tenant.credit = tenant.credit - n
    if credit <= 0:
        klass.head = tenant.following
    if not left:
        klass.unlink(tenant)
    left = klass.ready = klass.ready - n
    site = klass.parent
    site.charge(klass, n)
    if not left:
        site.unlink(klass)
    site.ready -= n


def refund(lane: Lane) -> None:
    """One ref that :func:`pay` was called for is in ``lane`` again: it costs nobody anything. Who
    is out of the ring has lost what it had, and this with it."""
    node: Any = lane.parent
    while node.parent is not None and node.following is not None:
        above = node.parent
        if above.level == "site":
            above.refund(node)
        else:
            node.credit = min(node.credit + 1, node.weight / above.unit)
        node = above


def gain(node: Node, n: int) -> None:
    """``node`` has ``n`` >= 1 messages more; who is above it hears of it, unless it is blocked."""
    while True:
        had = node.ready
        node.ready = had + n
        parent = node.parent
        if node.blocked or parent is None:
            return
        if not had:
            parent.link(node)
        node = parent


def lose(node: Node, n: int) -> None:
    """``node`` has ``n`` >= 1 messages less, which were not taken in its turn."""
    while True:
        node.ready -= n
        parent = node.parent
        if node.blocked or parent is None:
            return
        if not node.ready:
            parent.unlink(node)
        node = parent


def block(node: Node) -> None:
    """No turns for ``node`` until :func:`unblock`; both are O(depth)."""
    if not node.blocked:
        node.blocked = True
        if node.ready and node.parent is not None:
            node.parent.unlink(node)
            lose(node.parent, node.ready)


def unblock(node: Node) -> None:
    if node.blocked:
        node.blocked = False
        if node.ready and node.parent is not None:
            node.parent.link(node)
            gain(node.parent, node.ready)
