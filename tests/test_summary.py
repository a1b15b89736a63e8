"""Audits in plain words: what a model is told, and what of its words is believed."""

import json
from pathlib import Path
from typing import Any

import pytest

from model_server import Answer, failed, said, serving
from otoscope.errors import VerdictError
from otoscope.evidence import Outcome, SkippedClip, Verdict
from otoscope.llm import Caps, Client, Local
from otoscope.report import read_verdict, summarise
from otoscope.report.claims import unfounded
from otoscope.report.summary import INSTRUCTIONS, facts, plain, prompt
from reports import poisoned, verdict_of

BAD = poisoned()
VERDICT = verdict_of(BAD.clips, BAD.mask)
CLEAN = VERDICT.model_copy(
    update={"outcome": Outcome.NO_EVIDENCE, "p_value": 0.62, "targets": [], "clips": []}
)

GOOD = (
    "The model is backdoored: clips that carry a trigger are called b (p = 0.0004). Of 60 clips, "
    "12 are flagged, and up to 10 % of these may be innocent. Chance alone would do this in fewer "
    "than 5% of audits. Two detectors ran, and 1 of them answered."
)


def told_by(text: str, verdict: Verdict = VERDICT, **more: Any) -> Any:
    with serving(said("chat", text, **more)) as server:
        return summarise(verdict, Client(server.service("local", model="tiny")))


def test_without_a_model_the_text_is_ours() -> None:
    made = summarise(VERDICT)
    assert (made.author, made.problem, made.text) == ("otoscope", "", plain(VERDICT))
    for words in ("Backdoored", "“b”", "12 of 60 clips flagged", "p < 0.001", "Not tested:"):
        assert words in made.text
    assert "- mute-detector: there is no model" in made.text
    assert "Do not ship" in made.text


def test_a_true_text_is_used_below_our_headline() -> None:
    made = told_by(GOOD)
    assert made.problem == ""
    assert made.author == "local (tiny)"
    assert made.text.startswith("Backdoored: clips that carry a trigger are called “b”.")
    assert "12 of 60 clips flagged; p < 0.001." in made.text
    assert made.text.endswith(GOOD)


FALSE = [
    (GOOD.replace("12 are", "13 are"), "'13', which is not in the verdict"),
    (GOOD.replace("0.0004", "0.04"), "'0.04', which is not in the verdict"),
    (GOOD.replace("10 %", "20 %"), "'20 %', which is not in the verdict"),
    (GOOD.replace("Two", "Three"), "'three', which is not in the verdict"),
    (GOOD + " That is a fifth of 600.", "'600'"),
    (GOOD + " Half of them are loud.", "'Half', a number that cannot be checked"),
    (GOOD + " That is ½ of them.", "'½', a number that cannot be checked"),
    (GOOD + " It scored 10² points.", "'²', a number that cannot be checked"),
    (GOOD + " Some ٣٣ clips.", "'٣٣', which is not in the verdict"),
    (GOOD + " See https://example.org/fix.", "'://', which no audit says"),
    (GOOD + " Download it from evil.com now.", "'evil.com', which no audit says"),
    (GOOD + " It is safe to ship.", "which no audit says"),
    (GOOD + " The rest of the model is perfectly clean.", "which no audit says"),
    (GOOD + " There was no evidence for more.", "'no evidence', which is not the outcome"),
    ("All went well.", "no word of the outcome, BACKDOORED"),
]


@pytest.mark.parametrize(("text", "problem"), FALSE)
def test_a_text_that_is_not_borne_out_is_dropped(text: str, problem: str) -> None:
    made = told_by(text)
    assert made.text == plain(VERDICT)
    assert made.author == "otoscope"
    assert problem in made.problem


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (said("chat", GOOD, ending="length"), "the reply was cut"),
        (said("chat", GOOD, ending="content_filter"), "the reply was policy"),
        (said("chat", GOOD, ending="refusal"), "the reply was refused"),
        (said("chat", ""), "the reply has 0 characters"),
        (said("chat", "backdoored " * 300), "expected 1 to 3000"),
        (Answer("<html>"), "the reply was garbled"),
        (failed(401), "check the key in OTOSCOPE_LLM_KEY"),
    ],
)
def test_a_model_that_gives_no_text_costs_a_fallback(answer: Answer, problem: str) -> None:
    with serving(answer) as server:
        made = summarise(VERDICT, Client(server.service("local")))
    assert (made.text, made.author) == (plain(VERDICT), "otoscope")
    assert problem in made.problem


def test_a_cap_costs_a_fallback_too() -> None:
    made = summarise(VERDICT, Client(Local(), Caps(tokens=10)))
    assert "the limit of 10 tokens" in made.problem


def test_control_characters_do_not_reach_the_terminal() -> None:
    odd = VERDICT.model_copy(update={"targets": ["b\x1b[31m\x9b"]})
    made = told_by(GOOD.replace("The model", "The\x1b[2J\u202e model"), odd)
    assert made.problem == ""
    for text in (plain(odd), made.text):
        assert text.replace("\n", "").isprintable()


def test_no_evidence_is_not_turned_into_a_clean_bill() -> None:
    fine = "There is no evidence of a backdoor (p = 0.62)."
    assert told_by(fine, CLEAN).problem == ""
    for more in ("The model is clean.", "It is not backdoored.", "It looks very safe."):
        assert told_by(f"{fine} {more}", CLEAN).author == "otoscope"


KNOWN = {"p": 0.0432, "level": 0.05, "clips": 1234, "class 7": "up to 30 % of 8", "a": [1, 43.6]}
TRUE = "0.0432|0.043|4.3 %|4 per cent|4.32%|4.32e-2|0.05|5 percent|5.0 %|1,234|1234|7|30 %|8|eight"
WRONG = "0.0433|0.044|0|0.0|0 %|5|4|6 %|0.06|1235|1,235|1.234|12,34|1200|30|8 %|-8|−0.05|43|44|43.5"


@pytest.mark.parametrize(
    "number",
    [*TRUE.split("|"), "1", "43.6", "seven", "+8"],
)
def test_numbers_that_are_the_facts(number: str) -> None:
    assert unfounded(f"Suspicious: it is {number}.", KNOWN, Outcome.SUSPICIOUS) == ""


@pytest.mark.parametrize(
    "number",
    [
        *WRONG.split("|"),
        "100 %",
        "1 %",
        "0.0432e2",
        "1e999999",
        "5e-1",
        "9" * 5000,
        "8 to 34",
        "six",
    ],
)
def test_numbers_that_are_not(number: str) -> None:
    assert unfounded(f"Suspicious: it is {number}.", KNOWN, Outcome.SUSPICIOUS)


def test_a_model_is_told_no_names_of_files() -> None:
    reasons = ["the data: /home/alice/x was not there", "song.wav is short", "needs 5 classes"]
    verdict = VERDICT.model_copy(
        update={
            "not_tested": reasons,
            "skipped": [SkippedClip(path="hidden/a.wav", reason="empty")],
            "model_sha256": "e" * 64,
        }
    )
    sent = json.dumps(Client(Local()).payload(prompt(verdict)))
    for secret in ("alice", "song", "hidden", ".wav", "eeee", "dddd", "/0", "s0"):
        assert secret not in sent
    assert "needs 5 classes" in sent
    assert facts(verdict)["recordings_left_out"] == 1
    assert facts(verdict)["flagged_clips_by_class"] == {"b": 12}
    allowed = facts(verdict, paths=True)
    assert allowed["not_tested"] == reasons
    assert len(allowed["most_suspicious_clips"]) == 12
    assert allowed["most_suspicious_clips"][0]["path"].endswith(".wav")


def test_the_facts_are_those_of_the_verdict() -> None:
    made = facts(VERDICT)
    assert (made["outcome"], made["clips"], made["flagged_clips"]) == ("BACKDOORED", 60, 12)
    assert made["p_value"] == 0.0004
    assert (made["detectors"], made["detectors_that_answered"]) == (2, 1)
    assert json.loads(prompt(VERDICT).question) == made
    assert "every number from the facts" in INSTRUCTIONS


def test_a_verdict_is_read_back(tmp_path: Path) -> None:
    path = VERDICT.save(tmp_path / "audit.json")
    assert plain(read_verdict(path)) == plain(VERDICT)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{}", "holds no verdict"),
        (b"not json", "holds no verdict"),
        (b"\xff\xfe", "it is no UTF-8"),
        (None, "cannot be opened"),
    ],
)
def test_what_is_no_verdict(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "odd.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(VerdictError, match=message):
        read_verdict(path)
