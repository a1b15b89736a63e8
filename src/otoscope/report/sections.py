"""The parts of the page: what each shows, made from a verdict and its exhibits.

A recording that cannot be read any more costs its picture and its player, never the report.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from otoscope.clips import Clips
from otoscope.errors import AudioError, NotApplicable
from otoscope.evidence import ClipFinding, Evidence, Exhibits, Verdict
from otoscope.report import charts, figures
from otoscope.report.embed import Picture, Player, Sounds, picture, small_spectrogram
from otoscope.report.groups import FEWEST, compare_groups
from otoscope.report.spectra import find_region, signed_db
from otoscope.report.wording import quoted

MOST_LISTED = 200
MOST_RECOVERED = 4
MOST_CHARTS = 12


@dataclass(frozen=True)
class Card:
    """A flagged clip to look at and to listen to."""

    finding: ClipFinding
    player: Player | None = None
    spectrogram: Picture | None = None


@dataclass(frozen=True)
class Flagged:
    """The flagged clips: the first as cards, the next as rows, the rest as a number."""

    cards: list[Card]
    listed: list[ClipFinding]
    not_shown: int


@dataclass(frozen=True)
class Scene:
    """A picture with sounds, and a heading of its own."""

    title: str
    text: str
    picture: Picture
    players: list[Player]


def flagged(verdict: Verdict, top: int) -> Flagged:
    """The flagged clips by p-value."""
    clips, sounds = verdict.exhibits.clips, Sounds()
    order = [i for i in by_p_value(verdict.clips) if verdict.clips[i].flagged]
    cards = [_card(verdict.clips[i], clips, i, sounds) for i in order[:top]]
    rest = [verdict.clips[i] for i in order[top:]]
    return Flagged(cards, rest[:MOST_LISTED], max(0, len(rest) - MOST_LISTED))


def by_p_value(findings: Sequence[ClipFinding]) -> list[int]:
    """Indices of the findings, the most suspicious first; ties stay in order."""
    return sorted(range(len(findings)), key=lambda i: findings[i].p_value)


def detector_charts(evidence: Sequence[Evidence]) -> list[tuple[Evidence, Picture]]:
    """Each detector's scores by class."""
    return [
        (
            one,
            picture(
                charts.class_bars(one),
                f"Score of each class by {one.detector}"
                + (f"; {quoted([one.target])} scores highest." if one.target else "."),
            ),
        )
        for one in evidence
        if one.class_scores
    ][:MOST_CHARTS]


def shared(verdict: Verdict) -> tuple[Picture | None, str]:
    """What the flagged clips have in common, and if nothing can be said, why."""
    clips = verdict.exhibits.clips
    if clips is None or not verdict.flagged_count:
        return None, ""
    odd = np.array([f.flagged for f in verdict.clips], dtype=bool)
    labels = np.array([f.label for f in verdict.clips])
    same_label = ~odd & np.isin(labels, np.unique(labels[odd]))
    alike = int(same_label.sum()) >= FEWEST
    usual = same_label if alike else ~odd
    others = "unflagged clips with the same label" if alike else "all unflagged clips"
    try:
        groups = compare_groups(clips, np.flatnonzero(odd), np.flatnonzero(usual))
    except NotApplicable as reason:
        return None, f"Not shown: {reason}."
    told = (
        f"Compared with {others}, the flagged clips differ most at {groups.region}: "
        f"{signed_db(groups.region.level_db)} on average, z up to {groups.peak:+.1f}."
    ).replace("+-", "−")
    alt = f"Three mel spectrograms: flagged clips, the others, and their difference. {told}"
    return picture(figures.group_difference(groups), alt, told), ""


def activation_map(verdict: Verdict, truth: np.ndarray | None) -> Picture | None:
    """The clips in the plane of their activations."""
    points = verdict.exhibits.map
    if points is None:
        return None
    labels = [f.label for f in verdict.clips]
    odd = np.array([f.flagged for f in verdict.clips], dtype=bool)
    target = verdict.targets[0] if verdict.targets else None
    return picture(
        charts.activation_map(points, labels, odd, target, truth),
        f"Each of {len(labels):,} clips as a point; {odd.sum():,} flagged ones are triangles.",
        "Each point is a clip, placed by the two main directions of the model's activations. "
        "Clips of a backdoor often keep apart from honest clips of the same class, unless the "
        "model's training hid them.",
    )


def histogram(verdict: Verdict) -> Picture | None:
    """How the clips' scores are spread."""
    if not verdict.clips:
        return None
    return picture(
        charts.score_histogram(verdict.clips),
        f"Histogram of the scores of {len(verdict.clips):,} clips, flagged ones apart.",
        "A score of 2 means p = 0.01: one honest clip in a hundred scores as high.",
    )


def recovered(exhibits: Exhibits) -> list[Scene]:
    """The triggers rebuilt from the model, to see and to hear."""
    sounds, scenes = Sounds(), []
    for one in exhibits.recovered[:MOST_RECOVERED]:
        rate = one.sample_rate
        region = find_region(one.before, one.after, rate)
        scenes.append(
            Scene(
                f"Towards {quoted([one.target])}",
                f"It sends {one.success:.0%} of held-out {one.proved_on} to "
                f"{quoted([one.target])}. "
                + (f"It acts at {region}." if region else "It changes nothing that can be heard."),
                picture(
                    figures.recovered(one),
                    f"The recovered trigger's mask, and a clip before and after it. {region or ''}",
                ),
                [
                    sounds.player("before", one.before, rate),
                    sounds.player("after", one.after, rate),
                    sounds.louder("the change alone", one.sound, rate),
                ],
            )
        )
    return scenes


def _card(finding: ClipFinding, clips: Clips | None, index: int, sounds: Sounds) -> Card:
    if clips is None:
        return Card(finding)
    try:
        samples = clips.waveform(index)
    except AudioError as error:
        return Card(finding, Player(finding.name, note=f"cannot be played: {error}"))
    rate = clips.sample_rate
    return Card(
        finding,
        sounds.player(finding.name, samples, rate),
        small_spectrogram(samples, rate, finding.name),
    )
