"""Whose wording a reply is: by the host that answered, else by the domain it answered for.

Names are those of ``policies/replies``. A report comes without a look-up of MX records, so this
short list of what providers call their hosts has to do; whoever is not on it is read by the rules
that hold for anybody.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from penstock.policy.matching import tails

PROVIDERS: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("google.com", "googlemail.com", "gmail.com", "googlegroups.com"), "gmail"),
        **dict.fromkeys(("yahoodns.net", "yahoo.com", "aol.com", "yahooinc.com"), "yahoo"),
        **dict.fromkeys(("olc.protection.outlook.com", "hotmail.com", "outlook.com"), "microsoft"),
        **dict.fromkeys(("live.com", "msn.com"), "microsoft"),
        "mail.protection.outlook.com": "microsoft365",
        "prod.outlook.com": "microsoft365",
        "mx.microsoft": "microsoft365-dane",
        **dict.fromkeys(("icloud.com", "apple.com", "me.com", "mac.com"), "apple"),
        **dict.fromkeys(("mail.ru", "bk.ru", "inbox.ru", "list.ru"), "mail.ru"),
        **dict.fromkeys(("yandex.ru", "yandex.net", "ya.ru", "yandex.com"), "yandex"),
        **dict.fromkeys(("rambler.ru", "lenta.ru"), "rambler"),
        **dict.fromkeys(("orange.fr", "wanadoo.fr"), "orange"),
        "laposte.net": "laposte",
        **dict.fromkeys(("sfr.fr", "neuf.fr"), "sfr"),
        "free.fr": "free.fr",
        **dict.fromkeys(("gmx.net", "gmx.de", "gmx.com", "gmx.at", "gmx.ch"), "gmx"),
        "web.de": "web.de",
        "t-online.de": "t-online",
        **dict.fromkeys(("qq.com", "foxmail.com"), "qq"),
        **dict.fromkeys(("163.com", "126.com", "yeah.net", "netease.com"), "163"),
        "naver.com": "naver",
        "yahoo.co.jp": "yahoo-japan",
        **dict.fromkeys(("docomo.ne.jp", "ezweb.ne.jp", "au.com"), "docomo"),
        **dict.fromkeys(("softbank.ne.jp", "softbank.jp", "disney.ne.jp"), "docomo"),
        **dict.fromkeys(("comcast.net", "xfinity.com"), "comcast"),
        "cox.net": "cox",
        **dict.fromkeys(("charter.net", "spectrum.net", "rr.com"), "spectrum"),
        **dict.fromkeys(("att.net", "prodigy.net", "sbcglobal.net"), "att"),
        "barracudanetworks.com": "barracuda",
        "mimecast.com": "mimecast",
        **dict.fromkeys(("pphosted.com", "ppe-hosted.com"), "proofpoint"),
        "secureserver.net": "godaddy",
        "libero.it": "libero",
        "seznam.cz": "seznam",
        "wp.pl": "wp.pl",
        "kpnmail.nl": "kpn",
        **dict.fromkeys(("zoho.com", "zohomail.com"), "zoho"),
    }
)
_CHARS_MAX = 253


def provider_of(host: str, recipient: str) -> str:
    """The provider's name, or ``""``."""
    name = host.strip().partition(" ")[0].rstrip(".").lower()
    for place in (name, recipient.rpartition("@")[2].rstrip(".").lower()):
        for tail in tails(place[:_CHARS_MAX]):
            if tail in PROVIDERS:
                return PROVIDERS[tail]
    return ""
