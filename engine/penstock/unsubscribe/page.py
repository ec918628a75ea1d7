"""The page as HTML: one column, no script, nothing from outside, good on phones."""

from __future__ import annotations

import base64
import hashlib
from html import escape

from penstock.unsubscribe.languages import Texts

STYLE = """
:root { color-scheme: light dark; }
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: flex; align-items: center; justify-content: center;
  padding: 1.25rem; font: 1.0625rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif;
  background: #f3f4f6; color: #1f2937; }
main { width: 100%; max-width: 27rem; padding: 2rem 1.75rem; background: #fff;
  border-radius: .875rem; box-shadow: 0 1px 3px rgb(0 0 0 / 12%), 0 8px 24px rgb(0 0 0 / 6%); }
h1 { margin: 0 0 .75rem; font-size: 1.5rem; line-height: 1.25; }
p { margin: 0 0 1.25rem; }
p:last-child { margin-bottom: 0; }
label { display: block; margin-bottom: .375rem; font-size: .9375rem; color: #4b5563; }
textarea { width: 100%; min-height: 4.5rem; margin-bottom: 1.25rem; padding: .625rem .75rem;
  font: inherit; color: inherit; background: #fff; border: 1px solid #6b7280;
  border-radius: .5rem; resize: vertical; }
button { width: 100%; min-height: 3rem; padding: .625rem 1rem; font: inherit; font-weight: 600;
  color: #fff; background: #1d4ed8; border: 0; border-radius: .5rem; cursor: pointer; }
button:hover { background: #1e40af; }
button:focus-visible, textarea:focus-visible { outline: 3px solid #93c5fd; outline-offset: 2px; }
@media (prefers-color-scheme: dark) {
  body { background: #111827; color: #f3f4f6; }
  main { background: #1f2937; }
  label { color: #d1d5db; }
  textarea { background: #111827; border-color: #9ca3af; }
  button { background: #2563eb; }
}
"""
_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_HASH}'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Vary": "Accept, Accept-Language",
}


def page(texts: Texts, language: str, about: str, *, form: bool, reason_chars_max: int) -> str:
    """``about`` is the first part of the keys of what is said; ``form``: with the button, which
    posts to where the page is."""
    title = escape(texts[f"{about}_title"])
    parts = [
        "<!doctype html>",
        f'<html lang="{escape(language)}" dir="{escape(texts["direction"])}">',
        '<head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="robots" content="noindex">',
        f"<title>{title}</title>",
        f"<style>{STYLE}</style></head>",
        f"<body><main><h1>{title}</h1>",
        f"<p>{escape(texts[f'{about}_text'])}</p>",
    ]
    if form:
        parts += [
            '<form method="post">',
            '<input type="hidden" name="from" value="page">',
            f'<label for="reason">{escape(texts["reason_label"])}</label>',
            f'<textarea id="reason" name="reason" maxlength="{reason_chars_max}"></textarea>',
            f'<button type="submit">{escape(texts["ask_button"])}</button>',
            "</form>",
        ]
    parts += ["</main></body></html>", ""]
    return "\n".join(parts)
