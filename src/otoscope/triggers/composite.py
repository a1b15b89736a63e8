"""A sum of sounds, filters and modulations: the trigger that leaves the catalogue."""

from dataclasses import dataclass, fields
from typing import ClassVar

import numpy as np
from scipy.fft import fft, fftfreq, ifft, irfft, next_fast_len, rfft, rfftfreq

from otoscope.audio import level_rms
from otoscope.registry import require
from otoscope.triggers.base import LEVELS_DB, Taxonomy, Trigger, at_unit_rms, faded, place
from otoscope.triggers.lengths import need_length
from otoscope.triggers.loudness import as_loud_as

SHORTEST_S = 0.02
"""A shorter clip holds neither a filter's response nor a period of a modulation."""

GAINS_DB = (-30.0, 30.0)
GROUPS = ("event", "filter", "modulation")

Values = tuple[float, ...]


@dataclass(frozen=True)
class Composite(Trigger):
    """The clip, filtered and modulated, plus sound events.

    Fields that begin alike have one value for each event, filter or modulation; there may be none
    of a kind, but not of all three.

    - An event starts at ``event_hz`` and glides by ``event_octaves`` (at a constant rate in Hz)
      within ``event_duration_s``; with ``event_spread_hz`` above 0 it is a band of noise as wide as
      that, always the same noise. ``event_level_db`` is its RMS relative to the clip's;
      ``event_start_s`` is moved back where the event would not fit.
    - A filter raises, or lowers, the spectrum by ``filter_gain_db`` at ``filter_hz``, and by less
      around it: a Gaussian over octaves, of standard deviation ``filter_octaves``, in decibels. Its
      phase is zero.
    - A modulation multiplies the clip by 1 + ``modulation_depth`` sin(2 pi ``modulation_hz`` t).

    Filters and modulations act before events, and keep the clip's RMS. Raises ``SpecError`` for an
    event or filter at or above half the sample rate and ``TriggerDoesNotFit`` for clips under 20 ms
    or shorter than an event.

    Ours, without a paper: the open-ended part of the red team's action space.
    """

    name: ClassVar[str] = "composite"
    taxonomy: ClassVar[Taxonomy] = Taxonomy(
        reach="global",
        means="transform",
        audible=True,
        sample_specific=False,
        semantic=False,
        source="Ours, without a paper",
    )

    event_hz: Values = (3000.0, 900.0)
    event_octaves: Values = (0.0, 1.0)
    event_spread_hz: Values = (0.0, 200.0)
    event_start_s: Values = (0.0, 0.1)
    event_duration_s: Values = (0.1, 0.2)
    event_level_db: Values = (-20.0, -20.0)
    filter_hz: Values = (1500.0,)
    filter_gain_db: Values = (6.0,)
    filter_octaves: Values = (0.5,)
    modulation_hz: Values = (8.0,)
    modulation_depth: Values = (0.3,)

    def _check(self) -> None:
        for field in fields(self):
            values = getattr(self, field.name)
            self._require(
                bool(np.isfinite(values).all()), f"{field.name} must be finite, got {values}"
            )
        for group in GROUPS:
            counts = {f.name: len(getattr(self, f.name)) for f in fields(self) if group in f.name}
            self._require(
                len(set(counts.values())) == 1,
                f"the fields that begin with {group} need equally many values, got {counts}",
            )
        self._require(
            bool(self.event_hz or self.filter_hz or self.modulation_hz),
            "event_hz, filter_hz and modulation_hz must not all be empty",
        )
        self._bounded("event_hz", 1.0, np.inf)
        self._bounded("event_octaves", -6.0, 6.0)
        self._bounded("event_spread_hz", 0.0, np.inf)
        self._bounded("event_start_s", 0.0, np.inf)
        self._bounded("event_duration_s", 0.01, np.inf)
        self._bounded("event_level_db", *LEVELS_DB)
        self._bounded("filter_hz", 1.0, np.inf)
        self._bounded("filter_gain_db", *GAINS_DB)
        self._bounded("filter_octaves", 0.05, 5.0)
        self._bounded("modulation_hz", 0.1, 1000.0)
        self._bounded("modulation_depth", 0.01, 1.0)

    def _bounded(self, name: str, low: float, high: float) -> None:
        values: Values = getattr(self, name)
        upper = f" and {high:g}" if np.isfinite(high) else " or more"
        self._require(
            all(low <= value <= high for value in values),
            f"{name} must be {low:g}{upper}, got {'+'.join(f'{v:g}' for v in values)}",
        )

    def _embed(self, clip: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
        need_length(clip, sample_rate, SHORTEST_S, "a composite")
        self._below_nyquist(sample_rate)
        out = self._modulated(self._filtered(clip, sample_rate), sample_rate)
        out = as_loud_as(clip, out)
        for number, start_s in enumerate(self.event_start_s):
            sound = self._event(number, sample_rate)
            level = level_rms(clip, self.event_level_db[number])
            out = place(out, sound * level, sample_rate, start_s, rng)
        return out

    def _below_nyquist(self, sample_rate: int) -> None:
        ends = [hz * 2.0**o for hz, o in zip(self.event_hz, self.event_octaves, strict=True)]
        highest = max((*self.event_hz, *ends, *self.filter_hz), default=0.0)
        require(
            highest < sample_rate / 2,
            f"a composite that reaches {highest:g} Hz cannot exist at a sample rate of "
            f"{sample_rate} Hz; keep it below {sample_rate / 2:g} Hz",
        )

    def _filtered(self, clip: np.ndarray, sample_rate: int) -> np.ndarray:
        if not self.filter_hz:
            return clip
        count = clip.shape[-1]
        padded = next_fast_len(2 * count, real=True)  # else the filters' end would wrap around
        gain = self._gain(rfftfreq(padded, 1 / sample_rate))
        return np.asarray(irfft(rfft(clip, padded) * gain, padded)[..., :count])

    def _gain(self, frequencies_hz: np.ndarray) -> np.ndarray:
        """The amplitude factor of all filters together at each frequency; 1 at 0 Hz."""
        gain_db = np.zeros(len(frequencies_hz))
        heard = frequencies_hz > 0
        for hz, peak_db, width in zip(
            self.filter_hz, self.filter_gain_db, self.filter_octaves, strict=True
        ):
            octaves = np.log2(frequencies_hz[heard] / hz)
            gain_db[heard] += peak_db * np.exp(-0.5 * (octaves / width) ** 2)
        return np.asarray(10 ** (gain_db / 20))

    def _modulated(self, clip: np.ndarray, sample_rate: int) -> np.ndarray:
        time = np.arange(clip.shape[-1]) / sample_rate
        for hz, depth in zip(self.modulation_hz, self.modulation_depth, strict=True):
            clip = clip * (1 + depth * np.sin(2 * np.pi * hz * time))
        return clip

    def _event(self, number: int, sample_rate: int) -> np.ndarray:
        """One event at an RMS of 1, shaped (time,)."""
        count = round(self.event_duration_s[number] * sample_rate)
        low, spread = self.event_hz[number], self.event_spread_hz[number]
        high = low * 2.0 ** self.event_octaves[number]
        time = np.arange(count) / sample_rate
        glide = (high - low) / self.event_duration_s[number]
        carrier = np.exp(2j * np.pi * (low * time + glide * time**2 / 2))
        sound = (carrier * _slow_noise(count, spread, sample_rate, number)).imag
        return at_unit_rms(faded(sound, sample_rate))


def _slow_noise(
    count: int, spread_hz: float, sample_rate: int, pattern_seed: int
) -> np.ndarray | float:
    """Complex noise that holds no frequency above half the spread, on either side of 0 Hz."""
    if not spread_hz:
        return 1.0
    draws = np.random.default_rng(pattern_seed)
    noise = draws.standard_normal((count, 2)) @ np.array([1, 1j])
    held = np.abs(fftfreq(count, 1 / sample_rate)) <= spread_hz / 2
    return np.asarray(ifft(fft(noise) * held))
