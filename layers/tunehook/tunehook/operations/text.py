"""Text for people: names from outside made visible, lengths of time, counted nouns."""

from __future__ import annotations


def visible(text: str) -> str:
    r"""Write control characters as escapes, as what providers and users write must not steer a terminal.

    >>> print(visible("a\x1b[31m"))
    a\x1b[31m
    """
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text
    )


def duration(seconds: float) -> str:
    """Write a length of time in its two largest units.

    >>> duration(42), duration(200), duration(7500)
    ('42 s', '3 min 20 s', '2 h 5 min')
    """
    total = max(round(seconds), 0)
    parts: list[str] = []
    for name, size in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        count, total = divmod(total, size)
        if count or (not parts and name == "s"):
            parts.append(f"{count} {name}")
        elif parts:
            break
    return " ".join(parts[:2])


def counted(number: int, noun: str, plural: str = "") -> str:
    """Write a number and what it counts.

    >>> counted(1, "clip"), counted(2, "delivery", "deliveries")
    ('1 clip', '2 deliveries')
    """
    return f"{number} {noun}" if number == 1 else f"{number} {plural or noun + 's'}"
