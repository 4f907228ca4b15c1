"""An HTML document that asks nobody for anything, and what may stand in it."""

from __future__ import annotations

import html
import json
from typing import Any

_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data: blob:; font-src data:"
)


def document(title: str, style: str, body: str) -> str:
    """One HTML document, which may load nothing."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<link rel="icon" href="data:,">\n'
        f"<title>{html.escape(title)}</title>\n<style>\n{style}\n</style>\n</head>\n"
        f"<body>\n{body}</body>\n</html>\n"
    )


def json_element(name: str, value: Any) -> str:
    """JSON in the page; "<" is written so that no text can end the element."""
    text = json.dumps(value, allow_nan=False, ensure_ascii=False).replace("<", "\\u003c")
    return f'<script type="application/json" id="{name}">{text}</script>'


def script_text(text: str) -> str:
    """Script text that cannot end its element: a backslash changes nothing within its strings."""
    return text.replace("</script", "<\\/script").replace("<!--", "<\\!--")
