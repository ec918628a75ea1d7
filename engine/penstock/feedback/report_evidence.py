"""What a bounce says of each recipient, gathered from the places where it may stand.

The machine part names the recipients where there is one. Its diagnostic is often cut to one line,
or says only that the mail failed; then the text for people, which has the whole reply, says more.
"""

from __future__ import annotations

from collections.abc import Sequence

from penstock.feedback.report_dsn import Group, address_of, addresses_of, status_of
from penstock.feedback.report_judge import Evidence
from penstock.feedback.report_mime import Fields
from penstock.feedback.report_values import Original, ReportLimits
from penstock.feedback.report_words import (
    BLOCK_CHARS_MAX,
    Block,
    blocks_of,
    host_in,
    phase_in,
    replies_in,
    transcript_of,
)
from penstock.policy.patterns import TEXT_CHARS_MAX

_DELAYED = ("delayed", "warning", "still being tried", "will keep trying", "not yet been delivered")


def from_groups(groups: Sequence[Group], text: str, fields: Fields) -> list[Evidence]:
    """One for each group, in their order."""
    blocks = {block.recipient.lower(): block for block in blocks_of(text, (), len(groups) + 20)}
    transcript = transcript_of(text)
    failed = addresses_of(fields.get("x-failed-recipients"))
    found = []
    for group in groups:
        block = blocks.get(group.final.lower()) or blocks.get(group.recipient.lower())
        alone = len(groups) == 1
        if block is None and alone and len(blocks) == 1:
            block = next(iter(blocks.values()))
        recipient = group.recipient
        if "@" not in recipient and len(failed) == 1:
            recipient = failed[0]
        said = _said(group.diagnostic, block, transcript)
        if alone:
            said = tuple(dict.fromkeys((*said, *replies_in(text[:BLOCK_CHARS_MAX]))))
        told = (
            group.comment,
            *((block.text,) if block else ()),
            *(_whole(text) if alone else ()),
        )
        phase = block.phase if block else None
        if phase is None and alone:
            phase = phase_in(f"{group.diagnostic}\n{text}")
        found.append(
            Evidence(
                recipient,
                group.action or "failed",
                group.status,
                group.host or host_in(text),
                said,
                told,
                phase,
                address_of(fields.get("from")),
            )
        )
    return found


def _said(diagnostic: str, block: Block | None, transcript: Sequence[str]) -> tuple[str, ...]:
    """The host's words, whole where the diagnostic has only their first line."""
    said = list[str]()
    begin = " ".join(diagnostic.split())[:40]
    if begin.isdigit():  # the exit code of a program
        begin = ""
    if begin:
        longer = next((reply for reply in transcript if reply.startswith(begin)), "")
        said.append(longer or diagnostic)
    said.extend(block.replies if block else ())
    said.extend(transcript if not begin else ())
    return tuple(dict.fromkeys(said))


def from_words(
    text: str, fields: Fields, original: Original, limits: ReportLimits
) -> list[Evidence]:
    """For a report without a machine part."""
    others = {
        one.lower()
        for name in ("to", "from", "delivered-to", "x-original-to", "reply-to")
        for one in addresses_of(fields.get(name))
    } | {original.sender.lower(), original.return_path.lower()}
    failed = addresses_of(fields.get("x-failed-recipients"))[: limits.recipients_max]
    blocks = blocks_of(text, others - {one.lower() for one in failed}, limits.recipients_max)
    if failed:
        known = {one.lower() for one in failed}
        named = [block for block in blocks if block.recipient.lower() in known]
        whole = text.strip()[:BLOCK_CHARS_MAX]
        missing = [one for one in failed if one.lower() not in {b.recipient.lower() for b in named}]
        blocks = [
            *named,
            *(Block(one, replies_in(whole), whole, phase_in(whole)) for one in missing),
        ]
    transcript = transcript_of(text)
    if not blocks:
        whole = text.strip()[:BLOCK_CHARS_MAX]
        replies = (*transcript, *replies_in(whole))
        to = original.recipients[:1] or ("",)
        blocks = [Block(one, replies, whole, phase_in(whole)) for one in to]
    action = _action(text, fields)
    alone = len(blocks) == 1
    return [
        Evidence(
            block.recipient,
            action,
            next((s for s in map(status_of, (*block.replies, block.text)) if s), ""),
            host_in(block.text) or host_in(text),
            (*transcript, *block.replies, *replies_in(text)) if alone else block.replies,
            (block.text, *(_whole(text) if alone else ())),
            block.phase or (phase_in(text) if alone else None),
            address_of(fields.get("from")),
        )
        for block in blocks
    ]


def _whole(text: str) -> tuple[str, ...]:
    """All of it, and its end where that would not be searched."""
    text = " ".join(text[:BLOCK_CHARS_MAX].split())
    return (text, text[-TEXT_CHARS_MAX:]) if len(text) > TEXT_CHARS_MAX else (text,)


def _action(text: str, fields: Fields) -> str:
    """Whether it is only put off."""
    subject = fields.get("subject").lower()
    head = f"{subject}\n{text[:1500].lower()}"
    return (
        "delayed" if any(word in head for word in _DELAYED) and "fail" not in subject else "failed"
    )
