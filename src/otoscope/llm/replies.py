"""What a reply says, read with suspicion: a JSON object in it, a refusal, printable text.

A reply is data. It is never run, and nothing of it goes into a later prompt.
"""

import json
import re
from collections.abc import Collection
from typing import Any

LONGEST = 20_000
"""Characters of a reply that are looked at."""

_DECLINED = re.compile(
    r"\b(i|we) (can(no|')?t|can not|won't|will not|(am|are) (unable|not able)|decline|refuse|"
    r"(must|have to) (decline|refuse))\b|\bi'?m (sorry|unable|not able)\b|\bas an ai\b",
    re.IGNORECASE,
)


def object_with(text: str, names: Collection[str]) -> dict[str, Any] | None:
    """The last JSON object in the text that holds all these names; None when there is none.

    The last, because models think aloud before they answer.
    """
    decoder = json.JSONDecoder()
    text = text[:LONGEST]
    found, at = None, text.find("{")
    while at >= 0:
        end = at + 1
        try:
            value, end = decoder.raw_decode(text, at)
            if isinstance(value, dict) and all(name in value for name in names):
                found = value
            else:
                end = at + 1  # what was asked for may lie inside it
        except (ValueError, RecursionError):
            pass
        at = text.find("{", end)
    return found


def declines(text: str) -> bool:
    """Whether prose reads as a refusal."""
    return _DECLINED.search(text[:LONGEST].replace("’", "'")) is not None


def printable(text: str) -> str:
    """The text for a terminal: no control, format or private characters but line breaks."""
    return "".join(c for c in text.expandtabs(1) if c == "\n" or c.isprintable()).strip()
