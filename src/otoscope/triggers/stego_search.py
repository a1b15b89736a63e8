"""For each clip, the way of hiding that changes its spectrum most while staying quiet."""

from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np

from otoscope.errors import TriggerDoesNotFit
from otoscope.triggers.base import Taxonomy, Trigger
from otoscope.triggers.echo_hiding import EchoHiding
from otoscope.triggers.phase_coding import PhaseCoding
from otoscope.triggers.short_time import analysed, envelope, floor_power
from otoscope.triggers.spread_spectrum import SpreadSpectrum

LIMITS_DB = (-10.0, 35.0)
"""A frame's SNR is held within these, as is usual for a segmental SNR."""

SILENT_ENERGY, UNCHANGED_ENERGY = 1e-20, 1e-30
"""Stand for no energy in a frame's sound and in its change: an unchanged frame meets any limit."""

MARGIN_DB = 0.5
"""Echoes and chips lie so far under the bound, since the frames of a clip do not agree."""

DELAYS_S = ((0.001, 0.0013), (0.0005, 0.0008), (0.002, 0.0025))
"""The delays of a one and a zero that are tried."""

PHASE_BITS = (32, 8)


@dataclass(frozen=True)
class StegoSearch(Trigger):
    """One of six ways to hide a message, chosen for each clip: loud to a model, soft to the ear.

    Tried are ``echo-hiding`` with three pairs of delays (1 and 1.3, 0.5 and 0.8, 2 and 2.5 ms) and
    ``spread-spectrum``, all 0.5 dB softer than ``min_snr_db`` (0 to 30) asks, and ``phase-coding``
    with 32 and with 8 bits; all else is at its default, and all carry the message of
    ``message_seed`` (0 or more). Of those whose segmental SNR (mean over frames of 32 ms, each held
    within -10 and 35 dB) is at least ``min_snr_db``, the one is taken that changes the clip's
    spectrum most: mean absolute change, in dB, of the short-time spectrum smoothed over some 150
    Hz, with a floor 40 dB under the clip. Where none stays that quiet, the quietest is taken.
    Nothing is drawn at random. Ways that a clip is too short for, or that leave it as it was, are
    left out, so that silence takes ``spread-spectrum``; raises ``TriggerDoesNotFit`` when that is
    all of them.

    After Huang, Yao, Xiao, Chen and Wen, *DRL-CLBA: A Clean Label Backdoor Attack for Speech
    Classification via DDPG Reinforcement Learning* (2607.01729), of which only the abstract and
    summaries could be read. Deviations, large: there a deep network hides the trigger and an agent
    trained by reinforcement moves clips of the target class, under their true labels, toward those
    anchors in a model's latent space; here classical steganography and a search of six settings
    by a closed formula, with no model. The clean-label half is a choice of labels, not made here.
    """

    name: ClassVar[str] = "stego-search"
    taxonomy: ClassVar[Taxonomy] = Taxonomy(
        reach="global",
        means="transform",
        audible=False,
        sample_specific=True,
        semantic=False,
        source="Huang, Yao, Xiao, Chen and Wen, DRL-CLBA, 2026",
    )

    min_snr_db: float = 12.0
    message_seed: int = 0

    def _check(self) -> None:
        self._require(
            0 <= self.min_snr_db <= 30,
            f"min_snr_db must lie between 0 and 30, got {self.min_snr_db:g}",
        )

    def _embed(self, clip: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
        return self.choose(clip, sample_rate, rng)[1]

    def choose(
        self, clip: np.ndarray, sample_rate: int, rng: np.random.Generator
    ) -> tuple[Trigger, np.ndarray]:
        """The setting taken for one clip, float64 (channel, time), and what it makes of it."""
        tried: dict[Trigger, np.ndarray] = {}
        for trigger in candidates(self.min_snr_db, self.message_seed):
            with suppress(TriggerDoesNotFit):
                changed = trigger.within(clip, sample_rate, rng)
                if not np.array_equal(changed, clip):
                    tried[trigger] = changed
        if not tried:
            raise TriggerDoesNotFit(
                f"the clip lasts only {clip.shape[-1] / sample_rate:.3f} s, too short (or too "
                "silent) for every way of hiding; bring longer clips"
            )
        snr_db, change_db = _scores(clip, np.stack([*tried.values()]), sample_rate)
        quiet = snr_db >= self.min_snr_db
        best = int(np.where(quiet, change_db, -1).argmax() if quiet.any() else snr_db.argmax())
        return list(tried.items())[best]


@lru_cache(maxsize=8)
def candidates(min_snr_db: float, message_seed: int) -> tuple[Trigger, ...]:
    """The six settings, in the order in which a tie is decided."""
    level_db = -(min_snr_db + MARGIN_DB)
    return (
        *(EchoHiding(one, zero, level_db, message_seed=message_seed) for one, zero in DELAYS_S),
        *(PhaseCoding(bits, message_seed=message_seed) for bits in PHASE_BITS),
        SpreadSpectrum(level_db, message_seed=message_seed),
    )


def _scores(
    clip: np.ndarray, changed: np.ndarray, sample_rate: int
) -> tuple[np.ndarray, np.ndarray]:
    """Segmental SNR and change of spectrum, in dB, of what (way, channel, time) makes of a clip."""
    clean, spectra = (analysed(x.astype(np.float32), sample_rate) for x in (clip, changed))
    signal = np.maximum(_energy(clean), SILENT_ENERGY)
    noise = np.maximum(_energy(spectra - clean), UNCHANGED_ENERGY)
    snr_db = np.clip(10 * np.log10(signal / noise), *LIMITS_DB)
    floor = floor_power(clip, sample_rate)
    change_db = 10 * np.log10((envelope(spectra) + floor) / (envelope(clean) + floor))
    return snr_db.mean(axis=(-2, -1)), np.abs(change_db).mean(axis=(-3, -2, -1))


def _energy(spectra: np.ndarray) -> np.ndarray:
    """The energy of each frame."""
    return np.asarray(np.einsum("...f,...f->...", spectra, spectra.conj()).real)
