"""Options of the commands that ask a language model."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from otoscope.llm import Client

Llm = Annotated[
    str | None,
    typer.Option(
        help="Language model to ask: SERVICE:model=MODEL, such as local or gemini:model=NAME."
    ),
]
LlmLimits = Annotated[
    str,
    typer.Option(
        help="Its limits: tokens=N,queries=N,seconds=S,money=M,input_price=P,output_price=P, "
        "prices per million tokens."
    ),
]


def client_of(llm: str, limits: str) -> "Client":
    """A client for the service that an option names."""
    from otoscope.llm import SERVICES, Client
    from otoscope.llm.caps import LIMITS
    from otoscope.registry import build

    return Client(build(SERVICES, llm), build(LIMITS, f"caps:{limits}"))


def cost_line(client: "Client") -> str:
    """What was asked and what it cost, in one line."""
    spent, told = client.spent, client.spent.told(client.caps)
    money = "" if told["money"] is None else f", {told['money']:.4f} by your prices"
    guessed = f" ({spent.estimated_tokens} of them estimated)" if spent.estimated_tokens else ""
    return (
        f"asked {client.service.name}: {spent.queries} queries, {spent.tokens} tokens{guessed}, "
        f"{spent.seconds:.1f} s{money}"
    )
