"""Verdicts made by hand, for tests of reports: toy clips, poisoned, with their findings."""

from dataclasses import dataclass
from html.parser import HTMLParser

import numpy as np

from otoscope.clips import Clips
from otoscope.evidence import ClipFinding, Evidence, Exhibits, Outcome, Recovered, Verdict
from otoscope.labels import AllToOne
from otoscope.poisoning import Poisoned, poison
from otoscope.triggers import Tone
from sounds import clips_of

TARGET = "b"


def poisoned(seconds: float = 0.3) -> Poisoned:
    """60 noise clips of three classes; 12 of them carry a tone and the label "b"."""
    clips = clips_of("abc" * 20, seconds=seconds)
    return poison(clips, Tone(level_db=0.0), AllToOne(TARGET), 0.2, 0)


def verdict_of(clips: Clips, bad: np.ndarray) -> Verdict:
    """A verdict that flags the clips at ``bad``, whose p-values are the lowest."""
    findings = [
        ClipFinding(
            path=clip.path,
            label=clip.label,
            score=3.0 + i / 1000 if odd else 0.1,
            p_value=10 ** -(3.0 + i / 1000) if odd else 0.8,
            flagged=bool(odd),
        )
        for i, (clip, odd) in enumerate(zip(clips.items, bad, strict=True))
    ]
    evidence = Evidence(
        detector="toy-detector",
        level="data",
        p_value=0.0004,
        target=TARGET,
        calibration="the model's other classes",
        spec={"name": "toy-detector", "components": 3},
        class_scores={name: 9.0 if name == TARGET else 1.0 for name in clips.classes},
        class_p_values={name: 0.0004 if name == TARGET else 0.6 for name in clips.classes},
    )
    silent = Evidence(detector="mute-detector", level="model", reason="there is no model")
    return Verdict(
        outcome=Outcome.BACKDOORED,
        p_value=0.0004,
        false_alarm_level=0.05,
        false_discovery_rate=0.1,
        targets=[TARGET],
        evidence=[evidence, silent],
        clips=findings,
        not_tested=["mute-detector: there is no model"],
        data_sha256="d" * 64,
        seeds={"audit": 7},
        versions={"otoscope": "0.1.0"},
        seconds=1.5,
    )


def full_verdict(bad: Poisoned) -> Verdict:
    """The verdict on a poisoned set, with clips, map and a recovered trigger."""
    verdict = verdict_of(bad.clips, bad.mask)
    plane = np.random.default_rng(0).normal(size=(len(bad.mask), 2)) + 5 * bad.mask[:, None]
    first = int(np.flatnonzero(bad.mask)[0])
    before, after = bad.originals.waveform(first), bad.clips.waveform(first)
    found = Recovered(
        TARGET, before, after, after - before, np.eye(32, 20), 0.97, bad.clips.sample_rate
    )
    return verdict.with_exhibits(Exhibits(bad.clips, plane, (found,)))


@dataclass(frozen=True)
class Element:
    """One tag of a page with its attributes."""

    tag: str
    attributes: dict[str, str]


class Page(HTMLParser):
    """The elements and the text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[Element] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(Element(tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        """All text, white space made single."""
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str) -> list[dict[str, str]]:
        """The attributes of every such element."""
        return [e.attributes for e in self.elements if e.tag == tag]
