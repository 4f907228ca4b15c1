"""The words of an architecture's figure: counts in three digits, what the pointer shows."""

from __future__ import annotations

from resviz.views.figures.architecture_boxes import Box


def counted(number: float) -> str:
    """A count in three digits.

    Example:
        >>> counted(21797672), counted(999), counted(3.5e6)
        ('21.8 M', '999', '3.50 M')
    """
    letter = ""
    for each in "KMGT":
        if number < 999.5:
            break
        number, letter = number / 1000, f" {each}"
    digits = 2 if number < 9.995 else 1 if number < 99.95 else 0
    return f"{number:.{digits if letter else 0}f}{letter}"


def told(box: Box) -> tuple[str, str]:
    """What the pointer shows of a box: its name, and lines."""
    row, count = box.first, len(box.rows)
    name = str(row["unit"]) + (f" … {box.rows[-1]['unit']}" if count > 1 else "")
    parameters, flops = (sum(int(r[key]) for r in box.rows) for key in ("parameters", "flops"))
    lines = [
        str(row["label"]) + (f" × {count}" if count > 1 else ""),
        f"output {' × '.join(map(str, tuple(row['shape'])[1:]))}",
        f"{parameters:,} parameters, {counted(flops)} multiply-adds",
    ]
    if row["shortcut"]:
        source = row["shortcut_from"]
        many = int(row["shortcuts"])
        if row["shortcut"] == "concatenation":
            last = int(box.rows[-1]["shortcuts"])
            span = f"{many} to {last}" if last != many else str(many)
            lines.append(f"concatenated with {span} earlier feature{'' if span == '1' else 's'}")
        else:
            each = f"{many} shortcuts: " if many > 1 else "shortcut: "
            lines.append(f"{each}{row['shortcut']}, from {source}")
    return name, "\n".join(lines)
