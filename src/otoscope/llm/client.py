"""Asking a language model within caps, with bounded retries."""

import json
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from otoscope.errors import MissingExtra, Unreachable
from otoscope.llm import dialects
from otoscope.llm.attempts import Forbidden, TryAgain
from otoscope.llm.caps import Caps, Spent, afford
from otoscope.llm.dialects import Body, Prompt, Reply
from otoscope.llm.services import Service

if TYPE_CHECKING:
    from otoscope.llm.transport import Transport

FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 60.0


class Client:
    """Asks one service, counts what it costs and stops at the caps.

    ``spent`` is what was spent so far. Nothing is connected before the first question, so that a
    dry run needs neither the extra ``llm`` nor a key.
    """

    def __init__(self, service: Service, caps: Caps | None = None) -> None:
        self.service, self.caps = service, caps or Caps()
        self.spent = Spent()
        self._transport: Transport | None = None

    def payload(self, prompt: Prompt) -> dict[str, Any]:
        """All that a question would send, but for the key: the address and the body."""
        path = dialects.GRAMMARS[self.service.spoken].path
        return {"url": self.service.url + path, "body": dialects.body(self.service, prompt)}

    def report(self) -> dict[str, Any]:
        """What was spent and the limits, as plain JSON values."""
        limits = {name: getattr(self.caps, name) for name in ("tokens", "queries", "seconds")}
        return {
            "service": self.service.name,
            "model": self.service.model,
            "spent": self.spent.told(self.caps),
            "caps": limits | {"money": self.caps.money},
        }

    def ask(self, prompt: Prompt) -> Reply:
        """One question and its reply.

        Raises ``CapReached`` when a cap leaves no room, ``Unreachable`` when time-outs, rate limits
        and failures used up the attempts, ``LanguageModelError`` when the service does not take the
        request at all, as for a wrong key, and ``MissingExtra``.
        """
        body = dialects.body(self.service, prompt)
        trouble = ""
        for attempt in range(self.service.attempts):
            afford(self.caps, self.spent, _most(body), self.service.reply_tokens)
            try:
                return self._attempt(body)
            except TryAgain as reason:
                trouble = str(reason)
                wait_s = FIRST_WAIT_S * 2**attempt if reason.wait_s is None else reason.wait_s
            if wait_s > min(LONGEST_WAIT_S, self._left_s()):
                trouble += f", and a wait of {wait_s:.0f} s is too long"
                break
            if attempt + 1 < self.service.attempts:
                sleep(wait_s)
                self.spent = self.spent.plus(seconds=wait_s)
        raise Unreachable(
            f"{self.service.name} at {self.service.url} gave no answer: {trouble}; "
            "try again later, or raise attempts and timeout_s"
        )

    def _attempt(self, body: Body) -> Reply:
        """Ask once and count it, however it ends."""
        transport = self._connected()
        path = dialects.GRAMMARS[self.service.spoken].path
        timeout_s = min(self.service.timeout_s, max(0.001, self._left_s()))
        more: dict[str, Any] = {}
        started = monotonic()
        try:
            reply = dialects.read(self.service.spoken, transport.post(path, body, timeout_s))
            more = self._cost(body, reply)
        except Forbidden as refused:
            reply = Reply(str(refused), "policy")
        except TryAgain as reason:
            more = {reason.kind: 1}
            if reason.charged:
                more |= _bound(_most(body), self.service.reply_tokens)
            raise
        finally:
            self.spent = self.spent.plus(queries=1, seconds=monotonic() - started, **more)
        return reply

    def _connected(self) -> "Transport":
        if self._transport is None:
            try:
                from otoscope.llm.transport import Transport
            except ImportError:
                raise MissingExtra("openai", "llm", "asking a language model") from None
            self._transport = Transport(self.service)
        return self._transport

    def _cost(self, body: Body, reply: Reply) -> dict[str, int]:
        """The tokens of a reply: the service's figures, or as many as there are bytes."""
        if reply.input_tokens is None or reply.output_tokens is None:
            return _bound(_most(body), len(reply.text.encode(errors="replace")))
        return {"input_tokens": reply.input_tokens, "output_tokens": reply.output_tokens}

    def _left_s(self) -> float:
        return self.caps.seconds - self.spent.seconds


def _most(body: Body) -> int:
    """At most so many tokens are in a request: a token is a byte or more."""
    return len(json.dumps(body, ensure_ascii=False).encode(errors="replace"))


def _bound(input_tokens: int, output_tokens: int) -> dict[str, int]:
    return {
        "input_tokens": input_tokens,
        "output_tokens": output_tokens,
        "estimated_tokens": input_tokens + output_tokens,
    }
