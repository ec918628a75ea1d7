"""Whose turn it is, over all levels of a ready queue's tree.

    Classes                strict priority, with floors
      MailClass            shares between tenants, by weight
        Shares  (tenant)   shares between campaigns, by weight
          Ring  (campaign) lanes in turn
            Lane

or, while there is one campaign only, its ring alone. The costs are counted in refs: a transaction
of n costs n. Every message passes :func:`arrive`, :func:`turn` and :func:`pay`, so these are
written out level by level and call nothing unless something runs empty.
"""

from __future__ import annotations

from typing import Any

from penstock.schedule.branch import Branch
from penstock.schedule.classes import Classes
from penstock.schedule.lane import Lane
from penstock.schedule.node import Node


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


def give_turn_back(lane: Lane) -> None:
    """The next turn is that of ``lane`` again, wherever there are turns on the way to it."""
    node: Any = lane
    while node.parent is not None:
        if node.following is not None:
            if node.parent.level == "site":
                node.parent.give_turn_back(node)
            else:
                node.parent.head = node
        node = node.parent


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
