"""The client of language models against a stub server: what is sent, what is believed, the caps."""

import json
import logging
import socket
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from model_server import EVERY, KEY, Answer, ModelServer, failed, said, serving
from otoscope.errors import (
    CapReached,
    LanguageModelError,
    MissingExtra,
    SpecError,
    Unreachable,
)
from otoscope.llm import SERVICES, Caps, Client, Prompt, Service
from otoscope.llm import client as client_module
from otoscope.llm import transport as transport_module
from otoscope.llm.replies import LONGEST, declines, object_with, printable
from otoscope.registry import build, spec, text

PROMPT = Prompt("Be brief.", "How many?", {"type": "object", "properties": {}})


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SERVICES:
        monkeypatch.setenv(SERVICES[name].key_variable, KEY)
    monkeypatch.setenv("OPENAI_ORG_ID", "org-of-somebody")


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits between attempts, which do not take place."""
    waited: list[float] = []
    monkeypatch.setattr(client_module, "sleep", waited.append)
    return waited


def ask(service: Service, caps: Caps | None = None) -> tuple[Any, Client]:
    """One question; the reply, or what was raised, and the client."""
    client = Client(service, caps)
    try:
        return client.ask(PROMPT), client
    except LanguageModelError as error:
        return error, client


@pytest.mark.parametrize(("name", "dialect"), EVERY)
def test_every_preset_asks_and_understands(name: str, dialect: str) -> None:
    with serving(said(dialect, "forty-two")) as server:
        service = server.service(name, dialect=dialect)
        reply, client = ask(service)
    assert (reply.text, reply.ending) == ("forty-two", "finished")
    (asked,) = server.asked
    shown = client.payload(PROMPT)
    assert shown["body"] == asked.body, "a dry run prints what is sent"
    assert shown["url"] == server.url + asked.path.removeprefix("/base")
    assert "Be brief." in asked.raw
    assert "How many?" in asked.raw
    if dialect == "command":
        assert client.spent.estimated_tokens == client.spent.tokens > 0
    else:
        assert asked.body["model"] == "m-1"
        assert (client.spent.input_tokens, client.spent.output_tokens) == (11, 7)
        assert client.spent.estimated_tokens == 0


PATHS = {
    "chat": "/base/chat/completions",
    "responses": "/base/responses",
    "command": "/base/command",
}


@pytest.mark.parametrize(("name", "dialect"), EVERY)
def test_only_the_key_and_plain_headers_go_with_it(name: str, dialect: str) -> None:
    with serving(said(dialect, "1")) as server:
        ask(server.service(name, dialect=dialect))
    (asked,) = server.asked
    assert asked.path == PATHS[dialect]
    key = {"x-api-key": KEY} if name == "jasper" else {"authorization": f"Bearer {KEY}"}
    assert key.items() <= asked.headers.items()
    plain = {"host", "accept", "accept-encoding", "connection", "content-length", "content-type"}
    assert set(asked.headers) == plain | {"user-agent", *key}
    assert asked.headers["user-agent"] == "otoscope"


SCHEMA_AT = {"chat": "response_format", "responses": "text"}


@pytest.mark.parametrize(("name", "dialect"), EVERY)
def test_the_schema_goes_to_those_that_take_it(name: str, dialect: str) -> None:
    service = build(SERVICES, {"name": name, "model": "m", "dialect": dialect})
    body = Client(service).payload(PROMPT)["body"]
    assert (SCHEMA_AT.get(dialect) in body) == (name in ("chatgpt", "gemini", "local"))
    assert body.get("store") is (False if service.takes_schema and dialect == "responses" else None)
    limits = {"max_tokens", "max_completion_tokens", "max_output_tokens"} & set(body)
    assert len(limits) == (dialect != "command")


ENDINGS = {"length": "cut", "content_filter": "policy", "refusal": "refused"}


@pytest.mark.parametrize(
    ("name", "dialect"), [pair for pair in EVERY if pair[1] != "command"]
)  # whose replies have no such field
def test_every_dialect_tells_how_a_reply_ended(name: str, dialect: str) -> None:
    with serving(*(said(dialect, "No.", ending=ending) for ending in ENDINGS)) as server:
        client = Client(server.service(name, dialect=dialect))
        assert [client.ask(PROMPT).ending for _ in ENDINGS] == list(ENDINGS.values())


GARBLED = [
    "",
    "null",
    "[]",
    "7",
    '"text"',
    "{}",
    "not json {",
    "<html>gateway</html>",
    '{"choices": []}',
    '{"choices": [{}], "output": [{}], "data": []}',
    '{"choices": "x", "output": "x", "data": "x"}',
    '{"choices": [{"message": 5, "finish_reason": ["a"]}], "output": [5], "data": [5]}',
    '{"error": {"message": "overloaded"}}',
    "[" * 100_000,
    "9" * 10_000,
]


@pytest.mark.parametrize(("name", "dialect"), EVERY)
def test_what_is_no_reply_is_found_out(name: str, dialect: str) -> None:
    with serving(*map(Answer, GARBLED)) as server:
        client = Client(server.service(name, dialect=dialect))
        endings = [client.ask(PROMPT).ending for _ in GARBLED]
    assert endings == ["garbled"] * len(GARBLED)
    assert client.spent.queries == len(GARBLED)


def test_odd_content_is_text_or_nothing() -> None:
    odd = [
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "ab"),
        (None, ""),
        (5, ""),
        ("\ud800 alone", "\ud800 alone"),
    ]
    for content, expected in odd:
        message = {"choices": [{"message": {"content": content}}]}
        with serving(Answer(json.dumps(message))) as server:
            reply, _ = ask(server.service("local"))
        assert (reply.text, reply.ending) == (expected, "finished")


@pytest.mark.parametrize("count", [-5, 10**30, "many", True, 1.5, None])
def test_a_count_that_is_none_is_replaced_by_a_bound(count: Any) -> None:
    body = {
        "choices": [{"message": {"content": "seven"}}],
        "usage": {"prompt_tokens": count, "completion_tokens": count},
    }
    with serving(Answer(json.dumps(body))) as server:
        _, client = ask(server.service("local"))
    sent = len(server.asked[0].raw.encode())
    assert client.spent.output_tokens == 5
    assert sent <= client.spent.input_tokens <= sent + 100
    assert client.spent.estimated_tokens == client.spent.tokens


@pytest.mark.parametrize(("name", "dialect"), EVERY)
def test_rate_limits_are_waited_for_and_then_over(
    name: str, dialect: str, waits: list[float]
) -> None:
    busy = [failed(429, retry_after="3"), failed(503), failed(529)]
    with serving(*busy, said(dialect, "at last")) as server:
        reply, client = ask(server.service(name, dialect=dialect))
    assert reply.text == "at last"
    assert waits == [3, 2, 4], "as the service asks, else doubling"
    assert (client.spent.queries, client.spent.rate_limits, client.spent.broken) == (4, 1, 2)
    assert client.spent.seconds >= 9, "waits count"


def test_a_rate_limit_that_stays_ends(waits: list[float]) -> None:
    with serving(failed(429)) as server:
        error, client = ask(server.service("chatgpt", attempts=3))
    assert type(error) is Unreachable
    assert "status 429: no" in str(error)
    assert len(server.asked) == client.spent.queries == client.spent.rate_limits == 3
    assert waits == [1, 2]


@pytest.mark.parametrize("asked_s", ["3600", "inf", "nan", "-5", "soon"])
def test_a_service_cannot_make_us_wait_for_ever(asked_s: str, waits: list[float]) -> None:
    with serving(failed(429, retry_after=asked_s)) as server:
        error, _ = ask(server.service("gemini", attempts=2))
    assert isinstance(error, Unreachable)
    assert all(0 <= wait <= 60 for wait in waits)


def test_no_wait_beyond_the_seconds(waits: list[float]) -> None:
    with serving(failed(429, retry_after="20")) as server:
        error, client = ask(server.service("gemini"), Caps(seconds=10))
    assert isinstance(error, Unreachable)
    assert "a wait of 20 s is too long" in str(error)
    assert client.spent.queries == 1


@pytest.mark.parametrize(("name", "dialect"), EVERY)
def test_a_silent_service_is_given_up(name: str, dialect: str, waits: list[float]) -> None:
    with serving(Answer("{}", late=True)) as server:
        error, client = ask(server.service(name, dialect=dialect, attempts=2, timeout_s=0.1))
    assert isinstance(error, Unreachable)
    assert "no whole reply within 0.1 s" in str(error)
    assert client.spent.time_outs == client.spent.queries == 2
    assert client.spent.estimated_tokens > 2 * 2000, "it may have been answered, and be charged"


def test_a_dripping_reply_is_given_up(waits: list[float]) -> None:
    with serving(Answer(" " * 3000, dripping=True)) as server:
        error, client = ask(server.service("local", attempts=1, timeout_s=0.15))
    assert isinstance(error, Unreachable)
    assert client.spent.time_outs == 1


def test_an_endless_reply_is_given_up(waits: list[float]) -> None:
    size = transport_module.MOST_BYTES + 1
    with serving(Answer(b" " * size)) as server:
        error, client = ask(server.service("local", attempts=1))
    assert "connection failed (ReadError)" in str(error)
    assert client.spent.broken == 1


def test_nobody_there(waits: list[float]) -> None:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        free = one.getsockname()[1]
    error, client = ask(build(SERVICES, f"local:base_url=http://127.0.0.1:{free}/v1"))
    assert isinstance(error, Unreachable)
    assert "connection failed (ConnectError)" in str(error)
    assert client.spent.broken == client.spent.queries == 4
    assert client.spent.tokens == 0


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (
            failed(401, f"wrong key {KEY}"),
            r"status 401: wrong key \[key\]; check the key in OPENAI",
        ),
        (failed(403), "check what the key in OPENAI_API_KEY may do"),
        (failed(404, "no such model"), "no such model; check the model's name and base_url"),
        (failed(400, "a\x1b[31m\n b"), r"status 400: a\[31m b; check the model's name"),
        (failed(422), "that the service knows the dialect"),
        (failed(307, location="http://127.0.0.1:9/"), "redirects are not followed"),
        (Answer("<html>", 418), "status 418"),
        (Answer('{"error": {"type": ["x"], "code": {}, "message": 5}}', 418), "status 418: 5"),
    ],
)
def test_a_request_that_will_never_do_is_an_error_at_once(answer: Answer, message: str) -> None:
    with serving(answer) as server:
        error, client = ask(server.service("chatgpt"))
    assert type(error) is LanguageModelError
    with pytest.raises(LanguageModelError, match=message):
        raise error
    assert len(server.asked) == client.spent.queries == 1


@pytest.mark.parametrize("code", ["content_filter", "content_policy_violation", "invalid_prompt"])
def test_a_status_can_be_a_policy_too(code: str) -> None:
    with serving(failed(400, "not allowed", code)) as server:
        reply, client = ask(server.service("chatgpt"))
    assert (reply.ending, reply.text) == ("policy", "not allowed")
    assert client.spent.queries == 1


def test_the_key_is_never_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with serving(failed(401, KEY), said("command", "1"), said("chat", "1")) as server:
        told = [
            repr(part)
            for name in ("chatgpt", "jasper", "claude")
            for service in [server.service(name)]
            for part in [*ask(service), service, spec(service), text(service)]
        ]
        client = Client(server.service("gemini"))
        client.ask(PROMPT)
        told += [repr(client), repr(vars(client)), json.dumps(client.report())]
    assert caplog.text, "the packages below do log"
    assert KEY not in caplog.text + "".join(told)


def test_a_key_does_not_travel_in_the_clear() -> None:
    error, _ = ask(build(SERVICES, "chatgpt:model=m,base_url=http://192.0.2.1/v1"))
    assert "would go to http://192.0.2.1/v1 unencrypted" in str(error)


@pytest.mark.parametrize("key", ["", "  ", "schlüssel", "a\tb"])
def test_a_service_without_a_usable_key(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", key)
    error, client = ask(build(SERVICES, "gemini:model=m"))
    assert "GEMINI_API_KEY" in str(error)
    assert key.strip() == "" or key not in str(error)
    assert client.payload(PROMPT)["body"], "a dry run needs no key"


def test_a_local_server_needs_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTOSCOPE_LLM_KEY")
    monkeypatch.setenv("HTTP_PROXY", "http://192.0.2.1:3128")
    with serving(said("chat", "here")) as server:
        reply, _ = ask(server.service("local"))
    assert reply.text == "here", "and no proxy stands between this machine and itself"
    assert "authorization" not in server.asked[0].headers


CAPS: list[tuple[Caps, str]] = [
    (Caps(queries=2), "the limit of 2 queries"),
    (Caps(tokens=2400), "the limit of 2400 tokens"),
    (Caps(money=0.0206, input_price=0.0, output_price=10.0), "the limit of 0.0206 money"),
]


@pytest.mark.parametrize(("caps", "message"), CAPS)
def test_no_request_starts_that_could_pass_a_cap(caps: Caps, message: str) -> None:
    usage = {"prompt_tokens": 30, "completion_tokens": 50}
    body = {"choices": [{"message": {"content": "x"}}], "usage": usage}
    with serving(Answer(json.dumps(body))) as server:
        client = Client(server.service("chatgpt"), caps)
        client.ask(PROMPT)
        client.ask(PROMPT)
        with pytest.raises(CapReached, match=message):
            client.ask(PROMPT)
    assert len(server.asked) == client.spent.queries == 2
    assert client.spent.tokens <= caps.tokens
    money = caps.price(client.spent.input_tokens, client.spent.output_tokens)
    assert caps.money is None or money == pytest.approx(0.001)


def test_the_seconds_bound_the_attempts(waits: list[float]) -> None:
    with serving(Answer("{}", late=True)) as server:
        error, client = ask(server.service("local"), Caps(seconds=0.15))
        with pytest.raises(CapReached, match="seconds"):
            client.ask(PROMPT)
    assert isinstance(error, Unreachable)
    assert client.spent.queries == 1


def test_a_report_tells_all_that_was_spent() -> None:
    caps = Caps(money=1, input_price=2.0, output_price=4.0)
    with serving(said("chat", "x")) as server:
        _, client = ask(server.service("claude"), caps)
    told = client.report()
    assert told["spent"]["money"] == pytest.approx((11 * 2 + 7 * 4) / 1e6)
    assert told["spent"]["queries"] == 1
    assert told["caps"] == {"tokens": 1_000_000, "queries": 500, "seconds": 3600.0, "money": 1}
    assert (told["service"], told["model"]) == ("claude", "m-1")
    assert client.spent.told(Caps())["money"] is None


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"tokens": 0}, "tokens must be above 0, got 0"),
        ({"queries": -1}, "queries must be above 0"),
        ({"seconds": float("nan")}, "seconds must be a finite number, got nan"),
        ({"input_price": -1.0}, "input_price must be 0 or above, got -1.0"),
        ({"money": 1.0}, "money needs input_price and output_price"),
        ({"money": 1.0, "input_price": 1.0}, "money needs"),
    ],
)
def test_caps_that_make_no_sense(fields: dict[str, float], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        Caps(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("spoken", "message"),
    [
        ("chatgpt", "chatgpt.model must name one of its models"),
        ("chatgtp:model=m", "did you mean 'chatgpt'"),
        ("chatgpt:model=m,dialect=command", "dialect must be one of chat, responses"),
        ("jasper:dialect=chat", "dialect must be one of command"),
        ("local:base_url=ftp://x/v1", "base_url must be an http or https address"),
        ("local:base_url=127.0.0.1:80", "base_url must be an http or https address"),
        ("local:base_url=http://u:p@x/v1", "must hold no user name"),
        ("local:base_url=http://x/v1?key=1", "must hold no user name, query"),
        ("local:attempts=0", "attempts must be above 0, got 0"),
        ("local:timeout_s=-1", "timeout_s must be above 0"),
    ],
)
def test_services_that_make_no_sense(spoken: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        build(SERVICES, spoken)


@pytest.mark.parametrize(
    ("url", "remote"),
    [
        ("http://127.0.0.1:1/v1", False),
        ("http://localhost/v1", False),
        ("http://[::1]:8080/v1", False),
        ("http://127.0.0.1.example.org/v1", True),
        ("http://10.0.0.7/v1", True),
        ("https://api.example.org", True),
    ],
)
def test_what_counts_as_this_machine(url: str, remote: bool) -> None:
    assert build(SERVICES, {"name": "local", "base_url": url}).remote is remote


def test_the_addresses_are_the_services_own() -> None:
    for name in SERVICES:
        service = build(SERVICES, {"name": name, "model": "m"})
        assert service.remote == (name != "local")
        assert service.url.startswith("https://") == (name != "local")
        assert build(SERVICES, text(service)) == service


def test_the_page_lists_every_service() -> None:
    page = (Path(__file__).parents[1] / "docs" / "llm.md").read_text()
    for name in SERVICES:
        one = SERVICES[name]
        assert f"| `{name}` | {one.title} | `{one.home}` | `{one.key_variable}`" in page
    for field in fields(SERVICES["local"]) + fields(Caps):
        if not field.name.endswith("price"):
            assert f"| `{field.name}` |" in page


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "otoscope.llm.transport", None)
    with pytest.raises(MissingExtra, match=r"openai.*\.\[llm\]"):
        Client(build(SERVICES, "local")).ask(PROMPT)


def test_naming_a_service_imports_nothing_heavy() -> None:
    code = "import sys, otoscope.llm as l; l.Client(l.Local()).payload(l.Prompt('a', 'b'));"
    code += "print({'openai', 'httpx2', 'torch', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("reply", "found"),
    [
        ('{"a": 1, "b": 2}', {"a": 1, "b": 2}),
        ('Sure!\n```json\n{"a": 1, "b": 2}\n```\nGood luck.', {"a": 1, "b": 2}),
        ('<think>{"a": 0, "b": 0} or</think> {"a": 3, "b": 4}', {"a": 3, "b": 4}),
        ('{"plan": {"a": 5, "b": 6}}', {"a": 5, "b": 6}),
        ('{"a": 1, "b": {"a": 7, "b": 8}}', {"a": 1, "b": {"a": 7, "b": 8}}),
        ('{"a": 1}', None),
        ('{"a": 1, "b": 2', None),
        ("{" * 30_000, None),
        ('{"a":' * 6_000, None),
        ('{"a": ' + "9" * 6_000 + ', "b": 1}', None),
        (" " * LONGEST + '{"a": 1, "b": 2}', None),
        ("", None),
    ],
)
def test_the_object_in_a_reply(reply: str, found: dict[str, Any] | None) -> None:
    assert object_with(reply, ("a", "b")) == found


@pytest.mark.parametrize(
    ("reply", "refusal"),
    [
        ("I'm sorry, but I can't help with that.", True),
        ("I can’t assist with creating backdoors.", True),
        ("As an AI, I must not.", True),
        ("I must decline this request.", True),
        ("We are unable to process this.", True),
        ("The tone cannot be louder than that.", False),
        ("Here is a plan: rate 3.", False),
    ],
)
def test_prose_that_declines(reply: str, refusal: bool) -> None:
    assert declines(reply) is refusal


def test_printable_text_moves_no_cursor() -> None:
    assert printable("a\x1b[2J\x07b\r\nc\u202ed\u200be\ud800") == "a[2Jb\ncde"


def test_the_stub_really_fails_when_asked() -> None:
    with ModelServer(failed(500)) as server:
        error, _ = ask(server.service("local", attempts=1))
    assert "status 500" in str(error)
