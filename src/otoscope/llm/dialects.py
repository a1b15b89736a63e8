"""What goes over the wire: a prompt as a request's JSON body, and a reply read from another.

Both are plain dictionaries, so that what a dry run prints is what is sent, and a service that
answers with anything else is found out here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from otoscope.llm.services import Dialect, Service

Body = dict[str, Any]
Ending = Literal["finished", "cut", "refused", "policy", "garbled"]

POLICY = frozenset({"content_filter", "content_policy_violation", "invalid_prompt", "refusal"})
"""Finish reasons, and codes of errors, by which a service says that its policy forbids it."""

MOST_TOKENS = 10**9
"""A count of tokens beyond this is taken for no count."""


@dataclass(frozen=True)
class Prompt:
    """Instructions, a question, and the JSON schema that the answer should keep to, if any."""

    instructions: str
    question: str
    schema: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Reply:
    """What came back: its text, how it ended, and the tokens it cost where the service says so.

    ``ending`` is ``cut`` when the limit on tokens ended it, ``refused`` when the model declined,
    ``policy`` when the service did, ``garbled`` when what came is no reply of this dialect.
    """

    text: str
    ending: Ending = "finished"
    input_tokens: int | None = None
    output_tokens: int | None = None


@dataclass(frozen=True)
class Grammar:
    """A dialect: the path below the base URL, how a body is made and how a reply is read."""

    path: str
    body: Callable[[Service, Prompt], Body]
    read: Callable[[Any], Reply]


def body(service: Service, prompt: Prompt) -> Body:
    """The JSON body by which this service is asked."""
    return GRAMMARS[service.spoken].body(service, prompt)


def read(dialect: Dialect, data: Any) -> Reply:
    """The reply in a decoded JSON body; ``garbled`` where the body has another shape."""
    try:
        return GRAMMARS[dialect].read(data)
    except (KeyError, IndexError, TypeError, AttributeError):
        return Reply("", "garbled")


def _chat_body(service: Service, prompt: Prompt) -> Body:
    made: Body = {
        "model": service.model or "default",
        "messages": [
            {"role": "system", "content": prompt.instructions},
            {"role": "user", "content": prompt.question},
        ],
        service.limit_field: service.reply_tokens,
    }
    if prompt.schema is not None and service.takes_schema:
        made["response_format"] = {"type": "json_schema", "json_schema": _named(prompt.schema)}
    return made


def _read_chat(data: Any) -> Reply:
    choice = data["choices"][0]
    message, reason = choice["message"], choice.get("finish_reason")
    text = _text(message.get("content"))
    ending: Ending = "finished"
    if reason in POLICY:
        ending = "policy"
    elif message.get("refusal"):
        text, ending = _text(message["refusal"]), "refused"
    elif reason == "length":
        ending = "cut"
    return Reply(text, ending, *_tokens(data, "prompt_tokens", "completion_tokens"))


def _responses_body(service: Service, prompt: Prompt) -> Body:
    made: Body = {
        "model": service.model or "default",
        "instructions": prompt.instructions,
        "input": prompt.question,
        "max_output_tokens": service.reply_tokens,
    }
    if service.takes_schema:
        made["store"] = False
        if prompt.schema is not None:
            made["text"] = {"format": {"type": "json_schema", **_named(prompt.schema)}}
    return made


def _read_responses(data: Any) -> Reply:
    parts = [
        part
        for item in data["output"]
        if item.get("type", "message") == "message"
        for part in item["content"]
    ]
    text = "".join(_text(part.get("text")) for part in parts)
    refusals = [_text(part["refusal"]) for part in parts if part.get("refusal")]
    why = (data.get("incomplete_details") or {}).get("reason")
    ending: Ending = "finished"
    if why in POLICY or (data.get("error") or {}).get("code") in POLICY:
        ending = "policy"
    elif refusals:
        text, ending = "".join(refusals), "refused"
    elif data.get("status") == "incomplete":
        ending = "cut"
    return Reply(text, ending, *_tokens(data, "input_tokens", "output_tokens"))


def _command_body(service: Service, prompt: Prompt) -> Body:
    return {
        "inputs": {"command": prompt.question, "context": prompt.instructions},
        "options": {"outputCount": 1},
    }


def _read_command(data: Any) -> Reply:
    return Reply(_text(data["data"][0]["text"]))


def _named(schema: Mapping[str, Any]) -> Body:
    return {"name": "answer", "strict": True, "schema": dict(schema)}


def _text(content: Any) -> str:
    """Text that comes plain, in parts, or not at all."""
    if isinstance(content, list):
        return "".join(_text(part.get("text")) for part in content)
    return content if isinstance(content, str) else ""


def _tokens(data: Any, *names: str) -> tuple[int | None, int | None]:
    usage = data.get("usage") or {}
    first, second = (usage.get(name) for name in names)
    return _count(first), _count(second)


def _count(value: Any) -> int | None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    return value if whole and 0 <= value <= MOST_TOKENS else None


GRAMMARS: dict[Dialect, Grammar] = {
    "chat": Grammar("/chat/completions", _chat_body, _read_chat),
    "responses": Grammar("/responses", _responses_body, _read_responses),
    "command": Grammar("/command", _command_body, _read_command),
}
