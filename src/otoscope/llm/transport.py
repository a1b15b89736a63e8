"""One request to a service through the package ``openai``, and what can go wrong with it.

The package's own retries are off, because every attempt counts against the caps. Redirects are
refused, so that nothing goes to another host than the one that was named. Only the headers of
``SENT`` leave, which drops what the package would tell of the machine. A reply may have
``MOST_BYTES`` and must be whole within its time-out, however slowly it drips.

This module needs the extra ``llm``; ``client`` imports it when the first question is asked.
"""

import json
import os
import ssl
import time
from collections.abc import Iterator
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import httpx2
import openai

from otoscope.errors import LanguageModelError
from otoscope.llm.attempts import Forbidden, TryAgain
from otoscope.llm.dialects import POLICY, Body
from otoscope.llm.services import Service

MOST_BYTES = 4_000_000
SENT = {"host", "accept", "accept-encoding", "connection", "content-length", "content-type"}
RETRIED = {408, 409, 429, 500, 502, 503, 504, 529}
ADVICE = {
    401: "check the key in {key}",
    403: "check what the key in {key} may do",
    404: "check the model's name and base_url",
}


class Transport:
    """A connection to one service. No message and no ``repr`` of it shows the key."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._key = _key(service)
        self._deadline_s = 0.0
        self._client = openai.OpenAI(
            api_key="set by _headers",
            base_url=service.url,
            max_retries=0,
            http_client=httpx2.Client(
                verify=_certificates(),
                limits=httpx2.Limits(max_keepalive_connections=0),  # so nothing has to be closed
                follow_redirects=False,
                trust_env=service.remote,  # no proxy between this machine and itself
                event_hooks={"request": [self._headers], "response": [self._bound]},
            ),
        )

    def post(self, path: str, body: Body, timeout_s: float) -> Any:
        """The decoded JSON of the reply; None when it is none.

        Raises ``TryAgain``, ``Forbidden``, and ``LanguageModelError`` for a request that the
        service will not take however often it comes.
        """
        self._deadline_s = time.monotonic() + timeout_s
        try:
            response = self._client.post(
                path, body=body, cast_to=httpx2.Response, options={"timeout": timeout_s}
            )
        except openai.APIStatusError as error:
            raise self._refusal(error) from None
        except openai.APIConnectionError as error:
            raise _broken(error, timeout_s) from None
        try:
            return json.loads(response.text)
        except (ValueError, RecursionError):
            return None

    def _headers(self, request: httpx2.Request) -> None:
        for name in list(request.headers):
            if name.lower() not in SENT:
                del request.headers[name]
        request.headers["user-agent"] = "otoscope"
        if self._key and self._service.spoken == "command":
            request.headers["x-api-key"] = self._key
        elif self._key:
            request.headers["authorization"] = f"Bearer {self._key}"

    def _bound(self, response: httpx2.Response) -> None:
        response.stream = _Bounded(response, self._deadline_s)

    def _refusal(self, error: openai.APIStatusError) -> Exception:
        """What a reply with the status of an error means."""
        status, said = error.status_code, self._said(error)
        if {str(error.code), str(error.type)} & POLICY:
            return Forbidden(said)
        if status in RETRIED:
            kind = "rate_limits" if status == 429 else "broken"
            return TryAgain(kind, f"status {status}: {said}", _wait_s(error))
        advice = ADVICE.get(
            status, "check the model's name, and that the service knows the dialect"
        )
        if 300 <= status < 400:
            advice = "redirects are not followed; give the address itself as base_url"
        return LanguageModelError(
            f"{self._service.name} at {self._service.url} answered with status {status}: {said}; "
            + advice.format(key=self._service.key_variable)
        )

    def _said(self, error: openai.APIStatusError) -> str:
        """The service's words, short, on one line, and without the key should it echo it."""
        told = error.body.get("message") if isinstance(error.body, dict) else None
        words = " ".join(str(told or error.message).split())
        shown = "".join(c for c in words if c.isprintable())
        return (shown.replace(self._key, "[key]") if self._key else shown)[:200]


class _Bounded(httpx2.SyncByteStream):
    """A reply's bytes, given up when they are late or too many."""

    def __init__(self, response: httpx2.Response, deadline_s: float) -> None:
        assert isinstance(response.stream, httpx2.SyncByteStream)  # for the type checker
        self._inner, self._request = response.stream, response.request
        self._deadline_s = deadline_s

    def __iter__(self) -> Iterator[bytes]:
        size = 0
        for part in self._inner:
            size += len(part)
            if time.monotonic() > self._deadline_s:
                raise httpx2.ReadTimeout("late", request=self._request)
            if size > MOST_BYTES:
                raise httpx2.ReadError("too long", request=self._request)
            yield part

    def close(self) -> None:
        self._inner.close()


@cache
def _certificates() -> ssl.SSLContext:
    """Whom to trust; kept, because to read them takes longer than to ask a local server."""
    return httpx2.create_ssl_context()


def _key(service: Service) -> str:
    """The key from the environment; "" where none is needed and none is set."""
    key = os.environ.get(service.key_variable, "").strip()
    if not key and service.needs_key:
        raise LanguageModelError(
            f"{service.name} needs a key; put it into the environment variable "
            f"{service.key_variable}"
        )
    if not (key.isascii() and key.isprintable()):
        raise LanguageModelError(
            f"{service.key_variable} holds characters that no key has; set it again"
        )
    if key and service.remote and urlsplit(service.url).scheme != "https":
        raise LanguageModelError(
            f"the key in {service.key_variable} would go to {service.url} unencrypted; use https, "
            "or a server on this machine"
        )
    return key


def _broken(error: openai.APIConnectionError, timeout_s: float) -> TryAgain:
    cause = error.__cause__
    charged = not isinstance(cause, httpx2.ConnectError | httpx2.ConnectTimeout)
    if isinstance(error, openai.APITimeoutError):
        return TryAgain("time_outs", f"no whole reply within {timeout_s:.3g} s", charged=charged)
    told = f"the connection failed ({type(cause).__name__})"
    return TryAgain("broken", told, charged=charged)


def _wait_s(error: openai.APIStatusError) -> float | None:
    """The seconds that the service asks to wait, where it does."""
    try:
        return max(0.0, float(error.response.headers.get("retry-after", "")))
    except ValueError:
        return None
