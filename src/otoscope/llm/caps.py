"""How much may be spent on a language model, and how much was."""

from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, final

from otoscope.errors import CapReached
from otoscope.registry import Checked, Table

MILLION = 1_000_000


@final
@dataclass(frozen=True)
class Caps(Checked):
    """Limits for all requests of one client together.

    ``money`` is in the currency of the two prices, which are the service's for a million tokens;
    none is known here, so a limit on money needs both. ``seconds`` counts the time spent on
    requests and on the waits between attempts. A request starts only when its dearest outcome
    still fits: every byte of it a token, and a reply as long as it may be. ``queries`` counts
    attempts, not questions. Raises ``SpecError`` for a limit that is not above 0, a price below 0,
    and for money without prices.
    """

    name: ClassVar[str] = "caps"

    tokens: int = 1_000_000
    queries: int = 500
    seconds: float = 3600.0
    money: float | None = None
    input_price: float | None = None
    output_price: float | None = None

    def _check(self) -> None:
        for field in fields(self):
            value, free = getattr(self, field.name), field.name.endswith("price")
            fine = value is None or value > 0 or (free and value == 0)
            wanted = "0 or above" if free else "above 0"
            self._require(fine, f"{field.name} must be {wanted}, got {value}")
        priced = self.input_price is not None and self.output_price is not None
        self._require(
            priced or self.money is None,
            "money needs input_price and output_price, per million tokens",
        )

    def price(self, input_tokens: int, output_tokens: int) -> float | None:
        """What so many tokens cost; None when the prices are not known."""
        if self.input_price is None or self.output_price is None:
            return None
        cost = input_tokens * self.input_price + output_tokens * self.output_price
        return cost / MILLION


LIMITS: Table[Caps] = Table("limits", "otoscope.llm_limits", Caps)
"""So that a command line can say ``caps:queries=200,money=5,input_price=1,output_price=4``."""


@dataclass(frozen=True)
class Spent:
    """What was spent so far.

    ``estimated_tokens`` of the tokens are a bound of ours, where the service did not count: it gave
    no figures, or an attempt broke off and may be charged all the same. ``money`` is None where no
    prices are known.
    """

    queries: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    estimated_tokens: int = 0
    seconds: float = 0.0
    time_outs: int = 0
    rate_limits: int = 0
    broken: int = 0

    @property
    def tokens(self) -> int:
        """All tokens, in both directions."""
        return self.input_tokens + self.output_tokens

    def plus(self, **more: Any) -> "Spent":
        """With these added."""
        return replace(self, **{name: getattr(self, name) + value for name, value in more.items()})

    def told(self, caps: Caps) -> dict[str, float | None]:
        """As plain JSON values, with the money that the prices make it."""
        plain = {field.name: getattr(self, field.name) for field in fields(self)}
        money = caps.price(self.input_tokens, self.output_tokens)
        return plain | {"seconds": round(self.seconds, 3), "money": money}


def afford(caps: Caps, spent: Spent, input_tokens: int, output_tokens: int) -> None:
    """Raise ``CapReached`` unless one more request of at most this size fits under the caps."""
    money = caps.price(spent.input_tokens + input_tokens, spent.output_tokens + output_tokens)
    for what, would, limit in (
        ("queries", spent.queries + 1, caps.queries),
        ("tokens", spent.tokens + input_tokens + output_tokens, caps.tokens),
        ("money", money, caps.money),
        ("seconds", spent.seconds, caps.seconds),
    ):
        if would is not None and limit is not None and would > limit:
            raise CapReached(
                f"the limit of {limit:g} {what} leaves no room for one more request, which could "
                f"bring it to {would:g}; raise the limit or shorten the reply (reply_tokens)"
            )
