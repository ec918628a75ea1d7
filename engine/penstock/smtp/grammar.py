"""MAIL and RCPT commands: path and parameters, into one value or one refusal.

RFC 5321 4.1.1, with SIZE (RFC 1870), BODY (RFC 6152), SMTPUTF8 (RFC 6531), the DSN parameters
(RFC 3461), REQUIRETLS (RFC 8689) and AUTH (RFC 4954, read and ignored). Nearly every command has
the plain form, which one precompiled expression takes whole; it accepts nothing that the full
grammar would refuse.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from penstock.smtp.path import Fault, read_path
from penstock.smtp.reply import Reply

ENVID_MAX = 100
ORCPT_MAX = 500
# An address this short can break none of the length limits.
_PLAIN_MAX = 64

_ATOM = rb"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]++"
_LABEL = rb"[A-Za-z0-9]++(?:-++[A-Za-z0-9]++)*+"
_ADDRESS = rb"(%b(?:\.%b)*+@%b(?:\.%b)*+)" % (_ATOM, _ATOM, _LABEL, _LABEL)
_PLAIN_MAIL = re.compile(
    rb"[Mm][Aa][Ii][Ll] [Ff][Rr][Oo][Mm]:<%b>(?: [Ss][Ii][Zz][Ee]=([0-9]{1,20}))?\r\n" % _ADDRESS
)
_PLAIN_RCPT = re.compile(rb"[Rr][Cc][Pp][Tt] [Tt][Oo]:<%b>\r\n" % _ADDRESS)
_MAIL_HEAD = re.compile(r"MAIL +FROM: *(?=<)", re.IGNORECASE)
_RCPT_HEAD = re.compile(r"RCPT +TO: *(?=<)", re.IGNORECASE)
_POSTMASTER = re.compile(r"<postmaster>", re.IGNORECASE)
_PARAMETER = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*+)(?:=([!-<>-~]++))?")
_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*+")
_ORCPT = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*+;(?:[!-*,-<>-~]|\+[0-9A-F]{2})++")
_NOTIFY = frozenset({"SUCCESS", "FAILURE", "DELAY"})

MAIL_SYNTAX = Reply.of(501, "5.5.4 Syntax: MAIL FROM:<address> [parameters]")
RCPT_SYNTAX = Reply.of(501, "5.5.4 Syntax: RCPT TO:<address> [parameters]")
UTF8_NEEDED = Reply.of(553, "5.6.7 Non-ASCII addresses need SMTPUTF8")
NOT_UTF8 = Reply.of(501, "5.5.2 Command is not valid UTF-8")
NO_PARAMETERS = Reply.of(555, "5.5.4 Parameters need EHLO")
NULL_RECIPIENT = Reply.of(553, "5.1.3 A recipient needs an address")
_SENDER_FAULT = {fault: Reply.of(553, f"5.1.7 {fault.value}") for fault in Fault}
_RECIPIENT_FAULT = {fault: Reply.of(553, f"5.1.3 {fault.value}") for fault in Fault}


class MailCommand(NamedTuple):
    """``sender`` is ``""`` for ``<>``; ``size`` in bytes, 0 where none was announced."""

    sender: str
    size: int = 0
    eightbit: bool = False
    smtputf8: bool = False
    ret: str = ""
    envid: str = ""
    requiretls: bool = False


class RcptCommand(NamedTuple):
    """``address`` has no domain for ``<Postmaster>``; see ``Recipient`` for the others."""

    address: str
    notify: tuple[str, ...] = ()
    orcpt: str = ""


def parse_mail(line: bytes, *, esmtp: bool = True, secured: bool = False) -> MailCommand | Reply:
    """``line`` with its CRLF; ``esmtp``: the client has said EHLO, so parameters may follow;
    ``secured``: under TLS, so that REQUIRETLS may be one of them."""
    plain = _PLAIN_MAIL.fullmatch(line)
    if plain is not None:
        address, size = plain.groups()
        if len(address) <= _PLAIN_MAX:
            if size is None:
                return MailCommand(address.decode("ascii"))
            return MailCommand(address.decode("ascii"), int(size)) if esmtp else NO_PARAMETERS
    text = _text(line)
    if isinstance(text, Reply):
        return text
    head = _MAIL_HEAD.match(text)
    if head is None:
        return MAIL_SYNTAX
    path = read_path(text, head.end())
    if isinstance(path, Fault):
        return _SENDER_FAULT[path]
    address, end = path
    parameters = _parameters(text, end, MAIL_SYNTAX, esmtp)
    if isinstance(parameters, Reply):
        return parameters
    command = _mail_parameters(address, parameters, secured)
    if isinstance(command, MailCommand) and not command.smtputf8 and not address.isascii():
        return UTF8_NEEDED
    return command


def parse_rcpt(line: bytes, *, esmtp: bool = True, smtputf8: bool = False) -> RcptCommand | Reply:
    """``line`` with its CRLF; ``smtputf8``: announced by this transaction's MAIL."""
    plain = _PLAIN_RCPT.fullmatch(line)
    if plain is not None and len(plain[1]) <= _PLAIN_MAX:
        return RcptCommand(plain[1].decode("ascii"))
    text = _text(line)
    if isinstance(text, Reply):
        return text
    head = _RCPT_HEAD.match(text)
    if head is None:
        return RCPT_SYNTAX
    postmaster = _POSTMASTER.match(text, head.end())
    path = ("postmaster", postmaster.end()) if postmaster else read_path(text, head.end())
    if isinstance(path, Fault):
        return _RECIPIENT_FAULT[path]
    address, end = path
    if not address:
        return NULL_RECIPIENT
    if not smtputf8 and not address.isascii():
        return UTF8_NEEDED
    parameters = _parameters(text, end, RCPT_SYNTAX, esmtp)
    if isinstance(parameters, Reply):
        return parameters
    return _rcpt_parameters(address, parameters)


def _text(line: bytes) -> str | Reply:
    try:
        return line.decode("utf-8").rstrip("\r\n ")
    except UnicodeDecodeError:
        return NOT_UTF8


def _parameters(text: str, start: int, syntax: Reply, esmtp: bool) -> Mapping[str, str] | Reply:
    """Upper-case keyword -> value, ``""`` where it has none."""
    rest = text[start:]
    if not rest:
        return {}
    if not rest.startswith(" "):
        return syntax
    if not esmtp:
        return NO_PARAMETERS
    parameters: dict[str, str] = {}
    for word in rest.split(" "):
        if not word:
            continue
        found = _PARAMETER.fullmatch(word)
        if found is None and "=" in word and word.partition("=")[0].upper() in ("ORCPT", "ENVID"):
            return Reply.of(501, f"5.5.4 Malformed {word.partition('=')[0].upper()}")
        if found is None:
            return syntax
        keyword = found[1].upper()
        if keyword in parameters:
            return Reply.of(501, f"5.5.4 {keyword[:20]} given twice")
        parameters[keyword] = found[2] or ""
    return parameters


def _mail_parameters(
    sender: str, parameters: Mapping[str, str], secured: bool
) -> MailCommand | Reply:
    size, eightbit, smtputf8, ret, envid, requiretls = 0, False, False, "", "", False
    for keyword, value in parameters.items():
        well = True
        if keyword == "SIZE":
            well = value.isascii() and value.isdigit() and len(value) <= 20
            size = int(value) if well else 0
        elif keyword == "BODY":
            well = value.upper() in ("7BIT", "8BITMIME")
            eightbit = value.upper() == "8BITMIME"
        elif keyword == "SMTPUTF8":
            well = smtputf8 = not value
        elif keyword == "RET":
            ret = value.upper()
            well = ret in ("FULL", "HDRS")
        elif keyword == "ENVID":
            envid = value
            well = 0 < len(value) <= ENVID_MAX and _XTEXT.fullmatch(value) is not None
        elif keyword == "REQUIRETLS" and secured:
            well = requiretls = not value
        elif keyword != "AUTH":
            return Reply.of(555, f"5.5.4 Unsupported parameter {keyword[:40]}")
        if not well:
            return Reply.of(501, f"5.5.4 Malformed {keyword}")
    return MailCommand(sender, size, eightbit, smtputf8, ret, envid, requiretls)


def _rcpt_parameters(address: str, parameters: Mapping[str, str]) -> RcptCommand | Reply:
    notify: tuple[str, ...] = ()
    orcpt = ""
    for keyword, value in parameters.items():
        if keyword == "NOTIFY":
            notify = tuple(value.upper().split(","))
            well = notify == ("NEVER",) or (
                len(set(notify)) == len(notify) and _NOTIFY.issuperset(notify)
            )
        elif keyword == "ORCPT":
            orcpt = value
            well = len(value) <= ORCPT_MAX and _ORCPT.fullmatch(value) is not None
        else:
            return Reply.of(555, f"5.5.4 Unsupported parameter {keyword[:40]}")
        if not well:
            return Reply.of(501, f"5.5.4 Malformed {keyword}")
    return RcptCommand(address, notify, orcpt)
