"""The clip as it sounds in a room."""

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np

from otoscope import audio
from otoscope.errors import TriggerDoesNotFit, UnreadableAudio
from otoscope.triggers.base import Taxonomy, Trigger, at_unit_rms, white_noise
from otoscope.triggers.effects import convolved
from otoscope.triggers.files import changed_at, recorded
from otoscope.triggers.loudness import as_loud_as
from otoscope.triggers.sounds import SYNTHESIS_HZ

EARLY_S = (0.002, 0.03)
"""When the first reflections arrive after the direct sound."""

EARLY_COUNT = 8
EARLY_SHARE = 0.5
"""Share of the first reflections in the energy of all that is reflected."""

LEAST_SHARE = 1e-3
"""Energy after the direct sound, re all, below which a response is not a room: -30 dB."""


@dataclass(frozen=True)
class RoomReverb(Trigger):
    """The clip convolved with one room's impulse response, as loud as before.

    The direct sound stays in its place; what sounds on after the clip's end is cut. The room is
    synthesised: eight reflections between 2 and 30 ms, then noise that falls by 60 dB in
    ``rt60_s`` (0.05 to 5). ``wet`` (0.01 to 0.99) is the share of all that is reflected in the
    response's energy; ``pattern_seed`` (0 or more) chooses the room, the same at every rate. With
    ``path``, a recorded impulse response is used instead, as it is, from its highest peak on; the
    other fields are then without effect. Silence stays as it was. Raises ``TriggerDoesNotFit``
    for clips so short that next to nothing is reflected within them, and ``UnreadableAudio`` when
    the file cannot be used or reflects nothing.

    After Chen et al., *Devil in the Room: Triggering Audio Backdoors in the Physical World*
    (TrojanRoom, USENIX Security 2024): a room's impulse response as trigger, so that speaking in
    that room sets it off. Deviations: a statistical room, neither measured nor traced by images;
    one room, not a set of varied ones; loudness restored; no noise or loudspeaker. Not verified:
    the paper's rooms; ``rt60_s`` and ``wet`` are ours.
    """

    name: ClassVar[str] = "reverb"
    taxonomy: ClassVar[Taxonomy] = Taxonomy(
        reach="global",
        means="transform",
        audible=True,
        sample_specific=False,
        semantic=True,
        physical=True,
        source="Chen et al., Devil in the Room: Triggering Audio Backdoors in the Physical World",
    )

    rt60_s: float = 0.5
    wet: float = 0.5
    pattern_seed: int = 0
    path: str | None = None

    def _check(self) -> None:
        self._require(
            0.05 <= self.rt60_s <= 5, f"rt60_s must lie between 0.05 and 5, got {self.rt60_s:g}"
        )
        self._require(
            0.01 <= self.wet <= 0.99, f"wet must lie between 0.01 and 0.99, got {self.wet:g}"
        )

    def _embed(self, clip: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
        response = self._response(sample_rate)
        count = clip.shape[-1]
        if _reflected(response[:count]) < LEAST_SHARE:
            raise TriggerDoesNotFit(
                f"next to nothing is reflected within the clip's {count / sample_rate:.4f} s; "
                "bring longer clips"
            )
        return as_loud_as(clip, convolved(clip, response))

    def _response(self, sample_rate: int) -> np.ndarray:
        if self.path is None:
            return _synthesised(self.rt60_s, self.wet, self.pattern_seed, sample_rate)
        found = recorded(self.path, changed_at(self.path), sample_rate)
        response = found[np.abs(found).argmax() :]
        if _reflected(response) < LEAST_SHARE:
            raise UnreadableAudio(
                f"{self.path}: holds nothing after its highest peak, so it is no room's impulse "
                "response; choose another file"
            )
        return response


def _reflected(response: np.ndarray) -> float:
    """The share of what comes after the first sample in the energy."""
    return float(1 - response[0] ** 2 / (response**2).sum())


@lru_cache(maxsize=8)
def _synthesised(rt60_s: float, wet: float, pattern_seed: int, sample_rate: int) -> np.ndarray:
    """A room, made at one rate and resampled, so that it is the same at every rate."""
    time_s = np.arange(round(rt60_s * SYNTHESIS_HZ)) / SYNTHESIS_HZ
    falling = 10 ** (-3 * time_s / rt60_s)
    late = at_unit_rms(white_noise(len(time_s), pattern_seed) * falling * (time_s > EARLY_S[0]))
    early = at_unit_rms(_early(len(time_s), pattern_seed) * falling)
    tail = np.sqrt(1 - EARLY_SHARE) * late + np.sqrt(EARLY_SHARE) * early
    tail = audio.resample(tail, SYNTHESIS_HZ, sample_rate).astype(np.float64)
    tail[0] = 0
    tail *= np.sqrt(wet / (tail**2).sum())
    tail[0] = np.sqrt(1 - wet)
    return tail


def _early(count: int, pattern_seed: int) -> np.ndarray:
    """Single reflections of either sign."""
    draw = np.random.default_rng((pattern_seed, 1))  # not the numbers that the noise is made of
    out = np.zeros(count)
    first, last = (round(at_s * SYNTHESIS_HZ) for at_s in EARLY_S)
    places = draw.choice(np.arange(first, min(last, count)), EARLY_COUNT, replace=False)
    out[places] = draw.choice([-1.0, 1.0], EARLY_COUNT)
    return out
