"""A report written for people: whom it names, and what it says of each.

Programs that send no machine part agree on little, but nearly all name a recipient at the start of
a line, or in a local summary such as ``550 <a@b.example>... User unknown``, and say what happened
from there on. So the text is cut into blocks, one for each recipient; within a block the words of
the remote host are those behind a reply code.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import NamedTuple

from penstock.feedback.report_dsn import ADDRESS_CHARS_MAX
from penstock.mail.outcome import Phase

BLOCK_CHARS_MAX = 3000
_LINES_MAX = 2000
_ATOM = r"[\w.!#$%&'*+/=?^`{|}~-]"
_FOUND = rf"(?<!{_ATOM})({_ATOM}{{1,100}}@[\w.-]{{1,253}}\w)"
_ADDRESS = re.compile(_FOUND)
_AT_START = re.compile(
    rf"[\s*•·>|-]{{0,40}}(?:(?:recipient(?: address)?|address|user|e-?mail)\s?:\s{{0,8}})?"
    rf"[\"'<(\[]{{0,3}}(?:mailto:|rfc822;\s?)?{_FOUND}[\"'>)\]]{{0,3}}",
    re.IGNORECASE,
)
_NAMED_BEFORE = re.compile(
    rf"\s{{0,8}}[\w\"' -]{{1,80}}[:<(]{{1,2}}(?:mailto:)?<?{_FOUND}", re.ASCII
)
_SUMMARY = re.compile(rf"[45]\d\d[ -](?:[245]\.\d{{1,3}}\.\d{{1,3}} )?<?{_FOUND}>?\s?\.\.\.")
_SAID = re.compile(r"[ \t]{0,20}(?:<<<|Out:)\s?(.*)")
_ASKED = re.compile(r"[ \t]{0,20}(?:>>>|In:)\s?(.*)")
_RCPT = re.compile(rf"(?i)rcpt to:\s?<?{_FOUND}")
_OTHER = re.compile(
    r"(?i)^[ \t>]{0,12}(?:to|cc|bcc|subject|sent)\s?:|"
    r"\b(?:from|sender|reply-to|mail from|postmaster|contact|cc|helo|ehlo|received by)\b[^@]{0,40}$"
)
_PHASES = (
    (
        re.compile(
            r"(?i)(?:reply|response) to (?:the )?end of data|after end of data|final data|"
            r"after i sent the message|after (?:the )?(?:message )?(?:data|body)\b(?! command)|"
            r"\[(?:end_of_)?data\]|(?:>>>|in:)\s{1,3}data|end of message|reply to data|after data|"
            r"\(state 1[78]\)"
        ),
        Phase.FINAL,
    ),
    (
        re.compile(
            r"(?i)(?:reply|response) to rcpt|after rcpt|(?:\[|in |our |after |>>> {1,3}|"
            r"in: {1,3})rcpt[_ ]to\b|smtp[:;]\s?rcpt\b|does not like recipient|our rcpt|"
            r"recipient(?:s)? (?:was|were) rejected|in: +rcpt|\(state 14\)"
        ),
        Phase.RCPT,
    ),
    (
        re.compile(
            r"(?i)(?:reply|response) to mail|after mail from|(?:\[|in |>>> {1,3}|"
            r"in: {1,3})mail[_ ]from\b|sender was rejected|our mail from|\(state 13\)"
        ),
        Phase.MAIL,
    ),
    (re.compile(r"(?i)(?:reply|response) to (?:ehlo|helo)|after (?:ehlo|helo)"), Phase.EHLO),
    (
        re.compile(
            r"(?i)initial connection|refused to talk to me|greeting|banner|does not like us"
        ),
        Phase.BANNER,
    ),
)
_REPLY = re.compile(
    r"(?:^|(?<=[\s:'\"(\[<=;#]))([245]\d\d)(?=[ :,-]|$)(?:[ -]\1(?=[ -]))?"
    r"[ :,-]{0,4}(?:error_code\s?:)?\s?([^\n]*)",
    re.IGNORECASE,
)
_JOINED = re.compile(r"\n[ \t>]{0,80}(?=\S)")
_LINE = "\v"  # within a paragraph
_QUOTES = "'\" "
_REPLY_AFTER = re.compile(
    r"(?i)(?:said|says|was|returned|response|reason|code|error|failure|message|data|to|\]|"
    r">|,|reply|host [\w.-]{1,100}(?: ?[\[(][\w.:]{1,50}[\])])?|"
    r"respond(?:ed)?|from|command|failed|size=\d{1,12}|"
    r"connection)\s{0,2}[:=]?\s{0,80}['\"<(#]{0,2}$"
)


_HOST = re.compile(
    r"(?i)\b(?:host|server|talking to|relay|"
    r"mx)\b[ :]{1,3}(?:is )?<?([a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63}){1,8})"
)


class Block(NamedTuple):
    """What is said of ``recipient``. ``replies``: the host's own words, the most telling first;
    ``text``: all of it."""

    recipient: str
    replies: tuple[str, ...]
    text: str
    phase: Phase | None


def blocks_of(text: str, others: Collection[str], recipients_max: int) -> list[Block]:
    """In order of their appearance, one for each recipient; ``others``: addresses in lower case
    that are no recipients."""
    lines = text.split("\n")[:_LINES_MAX]
    pattern, starts = _starts(lines, others)
    found: dict[str, tuple[str, list[str]]] = {}
    for number, (place, address) in enumerate(starts):
        end = starts[number + 1][0] if number + 1 < len(starts) else len(lines)
        if pattern is _SUMMARY:  # it is complete
            end = place + 1
        known = found.setdefault(address.lower(), (address, []))
        known[1].append("\n".join(_behind(lines, place, end, address))[:BLOCK_CHARS_MAX])
        if len(found) >= recipients_max:
            break
    summaries = _summaries(lines)
    blocks = []
    for key, (address, texts) in found.items():
        whole = "\n".join(texts)[:BLOCK_CHARS_MAX]
        said, phase = summaries.get(key, ("", None))
        replies = (said, *replies_in(whole)) if said else replies_in(whole)
        blocks.append(Block(address, replies, whole, phase or phase_in(whole)))
    return blocks


def _starts(
    lines: Sequence[str], others: Collection[str]
) -> tuple[re.Pattern[str], list[tuple[int, str]]]:
    """Lines that begin with a recipient; where there are none, those that name one at all."""
    for pattern in (_AT_START, _SUMMARY, _NAMED_BEFORE, _RCPT, _ADDRESS):
        found = []
        for number, line in enumerate(lines):
            if pattern is _AT_START and (_SAID.match(line) or _ASKED.match(line)):
                continue
            at = pattern.search(line) if pattern in (_RCPT, _ADDRESS) else pattern.match(line)
            if not at or _is_other(at[1], others) or _OTHER.search(line[: at.start(1)]):
                continue
            found.append((number, at[1].rstrip(".")[:ADDRESS_CHARS_MAX]))
        if found:
            return pattern, found
    return _ADDRESS, []


def _is_other(address: str, others: Collection[str]) -> bool:
    folded = address.lower().rstrip(".")
    local = folded.partition("@")[0]
    return folded in others or local in ("mailer-daemon", "postmaster")


def _behind(lines: Sequence[str], start: int, end: int, address: str) -> list[str]:
    """The block's lines; of the first one what stands behind the address."""
    first = lines[start]
    place = first.find(address) + len(address)
    return [first[place:].lstrip(" >:\"')]\t"), *lines[start + 1 : end]]


def _summaries(lines: Sequence[str]) -> dict[str, tuple[str, Phase | None]]:
    """By recipient: what the host said before the program's own summary about that recipient, and
    whether that was to RCPT."""
    said: list[str] = []
    phase: Phase | None = None
    found: dict[str, tuple[str, Phase | None]] = {}
    for line in lines:
        host = _SAID.match(line)
        if host:
            said.append(host[1])
        elif asked := _ASKED.match(line):
            said, phase = [], Phase.RCPT if _RCPT.match(asked[1]) else None
        elif summary := _SUMMARY.match(line):
            found.setdefault(summary[1].lower(), (_first_reply(said) or line, phase))
            said = []
    return found


def _first_reply(said: Sequence[str]) -> str:
    """The first refusal among the lines of a host, all its lines joined."""
    code, kept = "", list[str]()
    for line in said:
        if code and line[:3] != code:
            break
        if line[:1] in "45" and line[:3].isdigit():
            code = line[:3]
            kept.append(line)
            if line[3:4] != "-":
                break
    return " ".join(kept)


def transcript_of(text: str) -> list[str]:
    """What hosts refused in a transcript of the session, reply by reply."""
    replies, said = list[str](), list[str]()
    for line in [*text.split("\n")[:_LINES_MAX], ">>> "]:
        host = _SAID.match(line)
        if host:
            said.append(host[1])
        elif said and line[:1] in " \t" and line.strip() and not _ASKED.match(line):
            said[-1] += " " + line.strip()
        elif said:
            reply = _first_reply(said)
            if reply:
                replies.append(reply)
            said = []
    return replies


def replies_in(text: str) -> tuple[str, ...]:
    """Replies with their codes that stand in ``text``, each to the end of its paragraph."""
    found = []
    flat = _JOINED.sub(_LINE, text)
    for at in _REPLY.finditer(flat):
        before = flat[max(at.start() - 90, 0) : at.start()]
        if not before or before.endswith(("\n", _LINE)) or _REPLY_AFTER.search(before):
            found.append(" ".join(f"{at[1]} {at[2].rstrip(_QUOTES)}".split()))
            if len(found) >= 4:
                break
    return tuple(found)


def host_in(text: str) -> str:
    """The name of the host that answered, where the text tells."""
    found = _HOST.search(text)
    return found[1] if found else ""


def phase_in(text: str) -> Phase | None:
    """When the host said it, where the text tells."""
    for pattern, phase in _PHASES:
        if pattern.search(text):
            return phase
    return None
