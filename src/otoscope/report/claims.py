"""Whether a text says only what some facts bear out: its numbers, its links, its verdict.

``unfounded`` is strict on purpose: a text that is refused costs a fallback, one that is wrongly
let through misinforms. What it cannot see is a right number in the wrong place, and a false
statement without a number.
"""

import math
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from otoscope.evidence import Outcome
from otoscope.report.wording import SAID

_NUMBER = re.compile(
    r"(?P<sign>(?<![\w)\]])[-−])?"
    r"(?P<digits>\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?P<fraction>\.\d+)?(?P<power>e[-+]?\d{1,3})?"
    r"(?P<percent>\s?(?:%|percent\b|per cent\b))?",
    re.IGNORECASE,
)
_SMALL = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_WORDS = {word: Decimal(value) for value, word in enumerate(_SMALL) if word != "one"}
"""Numbers that may be written as words. "One" is not held for a number, since it is a pronoun."""

_LOOSE = re.compile(
    r"\b(eleven|twelve|\w+teen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|hundreds?|"
    r"thousands?|millions?|billions?|dozens?|half|halves|quarters?|twice|double|triple)\b",
    re.IGNORECASE,
)
_LINK = re.compile(r"://|www\.|\b[\w-]+\.(com|org|net|io|ai|dev)\b", re.IGNORECASE)
_PRAISE = re.compile(
    r"\b(is|are|was|were|be|been|seems?|appears?|looks?|considered|declared|proven|certified)\s+"
    r"(\w+\s+){0,2}(clean|safe|harmless|trustworthy|backdoor-free|free of)\b|\bsafe to\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Number:
    """A number as it stands in a text: its value, its decimals, whether per cent follows."""

    written: str
    value: Decimal
    decimals: int
    percent: bool


def unfounded(text: str, facts: Any, outcome: Outcome) -> str:
    """The first thing in ``text`` that ``facts`` (plain JSON values) do not bear out; "" if none.

    A whole number of the facts must be written exactly; any other may be rounded, but not to zero
    nor to a whole number, and one between 0 and 1 may be given in per cent. Numbers within texts of
    the facts, such as a class called "7", may be repeated as they stand.
    """
    loose = _LOOSE.search(text)
    if loose:
        return f"{loose[0]!r}, a number that cannot be checked"
    odd = next(
        (c for c in text if unicodedata.numeric(c, None) is not None and not c.isdecimal()), ""
    )
    if odd:
        return f"{odd!r}, a number that cannot be checked"
    known = list(_known(facts))
    for number in _numbers(text):
        if not any(_says(number, one) for one in known):
            return f"{number.written!r}, which is not in the verdict"
    return _misjudged(text, outcome)


def _misjudged(text: str, outcome: Outcome) -> str:
    """What of a text goes against the outcome or beyond it; "" if nothing does."""
    said = text.lower()
    if SAID[outcome].split(" of ")[0].lower() not in said:
        return f"no word of the outcome, {outcome.value}"
    if "backdoored" in said and outcome is not Outcome.BACKDOORED:
        return "'backdoored', which is not the outcome"
    if "no evidence" in said and outcome in (Outcome.BACKDOORED, Outcome.SUSPICIOUS):
        return "'no evidence', which is not the outcome"
    found = _PRAISE.search(text) or _LINK.search(text)
    return f"{found[0]!r}, which no audit says" if found else ""


def _numbers(text: str) -> Iterator[Number]:
    for found in _NUMBER.finditer(text):
        fraction, power = found["fraction"] or "", found["power"] or ""
        digits = found["digits"].replace(",", "") + fraction + power
        value = Decimal(digits) * (-1 if found["sign"] else 1)
        decimals = len(fraction[1:]) - int(power[1:] or 0)
        yield Number(found[0].strip(), value, decimals, bool(found["percent"]))
    for word in re.findall(r"[a-z]+", text.lower()):
        if word in _WORDS:
            yield Number(word, _WORDS[word], 0, False)


def _known(facts: Any) -> Iterator[int | float | Number]:
    """Every number of the facts, wherever it stands."""
    if isinstance(facts, dict):
        for key, value in facts.items():
            yield from _known(key)
            yield from _known(value)
    elif isinstance(facts, list):
        for value in facts:
            yield from _known(value)
    elif isinstance(facts, str):
        yield from _numbers(facts)
    elif isinstance(facts, int | float) and not isinstance(facts, bool) and math.isfinite(facts):
        yield facts


def _says(number: Number, fact: int | float | Number) -> bool:
    """Whether a written number is this fact, rounded where that is allowed."""
    if isinstance(fact, Number):
        return number.value == fact.value and number.percent == fact.percent
    value = Decimal(repr(fact)) * (100 if number.percent else 1)
    if number.percent and (isinstance(fact, int) or not 0 <= value <= 100):
        return False
    if number.value == value:
        return True
    rounded = isinstance(fact, float) and (number.percent or number.decimals > 0)
    near = abs(number.value - value) <= Decimal(5).scaleb(-number.decimals - 1)
    return rounded and near and number.value != 0
