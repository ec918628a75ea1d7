"""The page of the OpenAPI document: plain HTML that needs no script and nothing from elsewhere.

Everything in it comes from the document, which our own code declares; it is escaped all the same.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from html import escape
from importlib.resources import files
from typing import Any, Final

from penstock.api.page_schema import Row, Schemas
from penstock.api.problem import MEDIA_TYPE
from penstock.api.problem_kinds import KINDS

_STYLE: Final = files("penstock.api").joinpath("page.css").read_text("utf-8")
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
HEADERS: Final = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
_INTRO: Final = """\
Requests carry a key, `Authorization: Bearer psk_...`, as `penstock key create` shows it once; in
the sandbox, clients on the same machine need none. Bodies are JSON. What goes wrong is told as a
problem document, whose `type` leads to [the page of problems](/docs/problems).

The machine-readable form of this page is [/openapi.json](/openapi.json)."""


def reference_page(document: Mapping[str, Any]) -> str:
    """One page for all operations, by their tags."""
    schemas = Schemas(document.get("components", {}).get("schemas", {}))
    by_tag = _by_tag(document)
    info = document["info"]
    parts = [f"<h1>{escape(info['title'])} API <small>{escape(info['version'])}</small></h1>"]
    parts.append(f'<div class="intro">{prose(_INTRO)}</div>')
    about = {tag["name"]: tag.get("description", "") for tag in document.get("tags", ())}
    for tag, operations in by_tag.items():
        parts.append(f'<h2 id="{_anchor(tag)}">{escape(tag)}</h2>{prose(about.get(tag, ""))}')
        parts += [_operation(one, schemas) for one in operations]
    return _page(f"{info['title']} API", _contents(by_tag), "\n".join(parts))


def problems_page() -> str:
    """One section for each kind; its anchor is what a problem's ``type`` ends with."""
    links = "".join(f'<li><a href="#{slug}">{slug}</a></li>' for slug in KINDS)
    parts = ["<h1>Problems</h1>", '<div class="intro">']
    parts.append(
        prose(
            f"What goes wrong is told as `{MEDIA_TYPE}` (RFC 9457). Its `type` ends with one of "
            "these names, which stay the same; `detail` is for people."
        )
    )
    parts.append("</div>")
    for kind in KINDS.values():
        parts.append(
            f'<section id="{kind.slug}"><h3>{escape(kind.title)}</h3>'
            f'<div class="at">{kind.status} {kind.slug}</div>{prose(kind.meaning)}</section>'
        )
    nav = f'<h2><a href="/docs">API</a></h2><h2>Problems</h2><ul>{links}</ul>'
    return _page("Problems", nav, "\n".join(parts))


def _page(title: str, nav: str, main: str) -> str:
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>"
        f'<body><div class="page"><nav>{nav}</nav><main>{main}</main></div></body></html>\n'
    )


def _by_tag(document: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {tag["name"]: [] for tag in document.get("tags", ())}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            one = {**operation, "path": path, "method": method}
            for tag in operation.get("tags") or ["Other"]:
                found.setdefault(tag, []).append(one)
    return {tag: operations for tag, operations in found.items() if operations}


def _contents(by_tag: Mapping[str, list[dict[str, Any]]]) -> str:
    parts = ['<a href="/docs/problems">Problems</a>']
    for tag, operations in by_tag.items():
        links = "".join(
            f'<li><a href="#{_anchor(one["operationId"])}">{_method(one["method"])}'
            f"{escape(one.get('summary', one['path']))}</a></li>"
            for one in operations
        )
        parts.append(f"<h2>{escape(tag)}</h2><ul>{links}</ul>")
    return "".join(parts)


def _operation(one: Mapping[str, Any], schemas: Schemas) -> str:
    parts = [
        f'<section id="{_anchor(one["operationId"])}"><h3>{escape(one.get("summary", ""))}</h3>',
        f'<div class="at">{_method(one["method"])}{escape(one["path"])}</div>',
        f'<div class="about">{prose(one.get("description", ""))}</div>',
    ]
    parts += _parameters(one, schemas)
    bodies = one.get("requestBody", {}).get("content", {})
    for media, content in bodies.items():
        schema = content.get("schema", {})
        parts.append(f"<h4>Body: {escape(media)}</h4>{_table(schemas.rows(schema))}")
    parts.append(f"<h4>Example</h4><pre><code>{escape(_curl(one, schemas))}</code></pre>")
    for status, response in one["responses"].items():
        parts.append(_response(status, response, schemas))
    return "".join(parts) + "</section>"


def _parameters(one: Mapping[str, Any], schemas: Schemas) -> Iterator[str]:
    rows = [
        Row(
            parameter["name"],
            f"{schemas.kind(parameter.get('schema', {}))}, in the {parameter['in']}",
            bool(parameter.get("required")),
            str(parameter.get("description", "")),
        )
        for parameter in one.get("parameters", ())
    ]
    if rows:
        yield f"<h4>Parameters</h4>{_table(rows)}"


def _response(status: str, response: Mapping[str, Any], schemas: Schemas) -> str:
    if status == "default":
        return ""  # the intro says it for all
    parts = [f"<h4>{escape(status)}: {escape(response.get('description', ''))}</h4>"]
    for media, content in response.get("content", {}).items():
        if media == MEDIA_TYPE:
            continue
        schema = content.get("schema", {})
        example = _example(content, schemas)
        if example is not None:
            parts.append(f"<pre><code>{escape(_json(example))}</code></pre>")
        rows = list(schemas.rows(schema))
        if rows:
            parts.append(f"<details><summary>Fields</summary>{_table(rows)}</details>")
    return "".join(parts)


def _curl(one: Mapping[str, Any], schemas: Schemas) -> str:
    path = one["path"]
    for parameter in one.get("parameters", ()):
        if parameter["in"] == "path":
            example = parameter.get("example") or schemas.example(parameter.get("schema", {}))
            path = path.replace(f"{{{parameter['name']}}}", str(example))
    method = one["method"].upper()
    lines = [f'curl {"" if method == "GET" else f"-X {method} "}"$PENSTOCK{path}"']
    lines.append('  -H "Authorization: Bearer $KEY"')
    content = one.get("requestBody", {}).get("content", {}).get("application/json")
    if content is not None:
        lines.append('  -H "Content-Type: application/json"')
        body = _json(_example(content, schemas)).replace("'", "'\\''")
        lines.append(f"  -d '{body}'")
    return " \\\n".join(lines)


def _example(content: Mapping[str, Any], schemas: Schemas) -> Any:
    if "example" in content:
        return content["example"]
    for one in content.get("examples", {}).values():
        return one.get("value")
    return schemas.example(content.get("schema", {}))


def _table(rows: Iterable[Row]) -> str:
    lines = "".join(
        f"<tr><td><code>{escape(row.name)}</code>"
        f"{' <span class=need>required</span>' if row.required else ''}</td>"
        f"<td>{escape(row.kind)}</td><td>{inline(row.text)}</td></tr>"
        for row in rows
    )
    if not lines:
        return ""
    return f'<div class="wide"><table><tr><th>Name<th>Type<th>Meaning</tr>{lines}</table></div>'


def prose(text: str) -> str:
    """Paragraphs and lists of the little Markdown that descriptions use."""
    found = []
    for block in re.split(r"\n\s*\n", text.strip()):
        lines = [line.strip() for line in block.splitlines() if line.strip()]
        if lines and all(line.startswith(("- ", "* ")) for line in lines):
            items = "".join(f"<li>{inline(line[2:])}</li>" for line in lines)
            found.append(f"<ul>{items}</ul>")
        elif lines:
            found.append(f"<p>{inline(' '.join(lines))}</p>")
    return "".join(found)


def inline(text: str) -> str:
    """Code, bold and links; everything else is escaped."""
    html = escape(text)
    html = re.sub(r"(`+)([^`]+)\1", r"<code>\2</code>", html)
    html = re.sub(r"\*\*([^*]+)\*\*", r"<b>\1</b>", html)
    return re.sub(r"\[([^\]]+)\]\((/[A-Za-z0-9/#._-]*)\)", r'<a href="\2">\1</a>', html)


def _method(method: str) -> str:
    return f'<span class="method {escape(method)}">{escape(method.upper())}</span>'


def _anchor(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
