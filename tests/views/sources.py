"""Where the JavaScript of the views is, as it is written and as it is bundled."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FRONTEND = ROOT / "resviz" / "views" / "widgets" / "frontend"
BUILT = FRONTEND.parent / "built"
BESIDE = ("build.mjs", "package-lock.json")


def sources_hash(frontend: Path = FRONTEND, root: Path = ROOT) -> str:
    """Of all that build.mjs reads, as it works it out."""
    files = [file for file in frontend.rglob("*") if file.suffix in (".js", ".css")]
    named = [(file.relative_to(frontend).as_posix(), file) for file in files]
    return _hash([*named, *((name, root / name) for name in BESIDE)])


def built_hash(built: Path = BUILT) -> str:
    """Of all that build.mjs wrote and that is committed."""
    files = [file for file in built.iterdir() if file.suffix != ".map"]
    return _hash((file.name, file) for file in files if file.name != "hashes.json")


def _hash(named: Iterable[tuple[str, Path]]) -> str:
    found = hashlib.sha256()
    for name, file in sorted(named):
        found.update(f"{name}\0{file.read_text(encoding='utf-8')}\0".encode())
    return found.hexdigest()
