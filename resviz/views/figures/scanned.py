"""What the figures of a scan share: reading it, and the line that says what was scanned."""

from __future__ import annotations

from typing import Any

from resviz.views.records import is_scan


def check_scan(function: str, scan: Any) -> None:
    """Raise TypeError where it is no scan."""
    if not is_scan(scan):
        raise TypeError(f"{function}: a {type(scan).__name__}; a Scan is right. rv.scan makes one.")


def about(scan: Any) -> str:
    """The network, and over how many images."""
    said = scan.provenance
    count = f"{len(scan.images):,} images".replace(",", "\u2009")
    left = len(scan.skipped)
    untrained = "untrained" if said.get("untrained") else ""
    parts = (
        f"{said.get('network', 'network')} ({said.get('weights', 'own weights')})",
        count + (f", {left} left out" if left else ""),
        untrained,
        "" if said.get("complete", True) else "not finished",
    )
    return " · ".join(filter(None, parts))
