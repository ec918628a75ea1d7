"""What it costs to build a message, and to render one of a mailing.

Structured messages with text only, and with HTML; copies of a newsletter (3 KiB of text and 10 KiB
of HTML with six variables) as a mailing makes them; compiling its templates; an attachment of
20 MiB; a small message by the standard library's generator. CPU time of one process, best of
several rounds.

    python -m bench.build [--seconds 1.0]
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import sys
from collections.abc import Callable
from dataclasses import replace
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from typing import Any

from bench.sign import cpu_us
from penstock.mail.build import Attachment, Draft, Mailbox, build
from penstock.mail.mailing import Mailing
from penstock.mail.template import Meter, Templates, TemplateSet

SMALL_TEXT = "Your order has left our house and should be with you in two days.\n" * 6
WORDS = "Here is what is new this week and what you may want to know about it "
FROM = Mailbox("Example Shop", "news@example.com")
DRAFT = Draft(FROM, date=1_790_000_000.0, subject="Your order has shipped")


def newsletter() -> Templates:
    """Lines that differ from each other, as in real ones."""
    text = ["Hello {{ first_name }},\n"]
    text += [f"{number}. {WORDS[number % 40 :]}\n" for number in range(58)]
    text += ["{{ link }}\n{{ title }} in {{ city }}, {{ points }} points, {{ day }}\n"]
    html = ["<html><body>\n<h1>Hello {{ first_name }}</h1>\n"]
    html += [
        f'<p style="color:#333;font-size:14px" id="p{number}">{WORDS[number % 40 :]}</p>\n'
        for number in range(96)
    ]
    html += [
        '<a href="{{ link }}">{{ title }}</a> in {{ city }}\n',
        "{% if points > 100 %}<b>{{ points }} points</b>{% endif %} until {{ day }}\n",
        "</body></html>\n",
    ]
    return Templates(subject="News for {{ first_name }}", text="".join(text), html="".join(html))


def recipient(number: int) -> tuple[Mailbox, dict[str, Any], str]:
    variables = {
        "first_name": f"Zoë {number}",
        "link": f"https://example.com/offer?r={number}&c=7",
        "title": "Pens & ink",
        "city": "Köln",
        "points": number % 200,
        "day": "Friday",
    }
    to = Mailbox(f"Zoë {number}", f"zoe.{number}@example.net")
    return to, variables, f"{number}.abc@example.com"


def by_standard_library() -> bytes:
    message = EmailMessage(policy=SMTP)
    message["From"] = Address("Example Shop", "news", "example.com")
    message["To"] = Address("Zoë 1", "zoe.1", "example.net")
    message["Subject"] = "Your order has shipped"
    message["Date"] = "Mon, 21 Sep 2026 14:13:20 +0000"
    message["Message-ID"] = "<1.abc@example.com>"
    message.set_content(SMALL_TEXT)
    return message.as_bytes()


def jobs() -> dict[str, Callable[[], object]]:
    templates = newsletter()
    compiled = TemplateSet(templates)
    to, variables, message_id = recipient(7)
    assert compiled.text is not None
    assert compiled.html is not None
    text = compiled.text.render(variables, Meter())
    html = compiled.html.render(variables, Meter())
    recipients = itertools.cycle([recipient(number) for number in range(10_000)])
    mailing = Mailing(DRAFT, compiled, steps_max=1 << 60, output_chars_max=1 << 60)
    addressed = replace(DRAFT, to=(to,), message_id=message_id)
    small = replace(addressed, text=SMALL_TEXT)
    whole = replace(addressed, text=text, html=html)
    content = hashlib.shake_256(b"bench").digest(20 << 20)
    large = replace(small, attachments=(Attachment(content, "a.bin"),))
    return {
        "text only": lambda: build(small),
        f"text and HTML ({(len(text) + len(html)) >> 10} KiB)": lambda: build(whole),
        "a copy of a mailing, templated": lambda: mailing.render(*next(recipients)),
        "compiling its templates": lambda: TemplateSet(templates),
        "with 20 MiB attached": lambda: build(large),
        "text only, by the standard library": by_standard_library,
    }


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.build")
    parser.add_argument("--seconds", type=float, default=1.0, help="for each figure")
    seconds = parser.parse_args(arguments).seconds
    print(f"{'CPU microseconds a message':<40}")
    for name, job in jobs().items():
        print(f"{name:<40}{cpu_us(job, seconds):>12.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
