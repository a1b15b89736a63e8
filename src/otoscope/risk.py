"""The three risks of a backdoor (Li et al., *Backdoor Learning: A Survey*), measured.

- Standard risk: the share of benign clips that the model gets wrong; 1 - benign accuracy.
- Backdoor risk: the share of triggered clips that miss the attacker's goal; 1 - attack success.
  Clips that are in their goal class already are left out, and a clip counts as triggered only when
  its samples changed.
- Perceptible risk: how far triggered clips lie from their originals, in physical measures; lower
  SNRs and higher distances are easier to notice. What a machine can tell apart is measured by
  ``otoscope.detectability``.

Samples are shaped (time,), in [-1, 1].
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.signal import stft

from otoscope import metrics
from otoscope.cache import Cache
from otoscope.clips import Clips
from otoscope.errors import AudioError, PoisonError
from otoscope.labels import LabelShift
from otoscope.models.base import AudioModel, activations
from otoscope.poisoning import trigger_all, triggered
from otoscope.psychoacoustics import audible_share
from otoscope.quality import dnsmos, stoi
from otoscope.triggers import Trigger

HEARD_CLIPS = 200
"""At most so many triggered clips are compared with their originals."""

MASKED_CLIPS = 40
"""At most so many of them go through the model of hearing and the measure of intelligibility."""

JUDGED_CLIPS = 12
"""At most so many of them get a predicted opinion score, which takes a second or so each."""

AT_A_TIME = 2048
"""So many triggered clips are held in memory at once."""

SEGMENT_S = 0.02
SEGMENT_LIMITS_DB = (-10.0, 35.0)
SPECTRUM_S = 0.032
SPECTRUM_FLOOR = 1e-10

Interval = tuple[float, float]
Samples = Float[np.ndarray, "time"]


@dataclass(frozen=True)
class Perceptibility:
    """How far triggered clips lie from their originals: medians over ``clips`` of them.

    ``audible_share`` of the change's energy lies above the clip's masking threshold. ``stoi`` and
    ``dnsmos_drop`` (the predicted opinion score before, less that after) are None where they were
    not asked for or cannot be measured.
    """

    snr_db: float
    segmental_snr_db: float
    log_spectral_distance_db: float
    audible_share: float
    clips: int
    stoi: float | None = None
    dnsmos_drop: float | None = None


@dataclass(frozen=True)
class Risks:
    """What a model does with and without the trigger.

    The intervals are Wilson's, at 95 %. ``reference_accuracy`` is the benign accuracy of a model
    that was trained without the poison, where the caller knows one.
    """

    benign_accuracy: float
    benign_accuracy_interval: Interval
    n_benign: int
    attack_success_rate: float
    attack_success_rate_interval: Interval
    n_attackable: int
    perceptible: Perceptibility
    reference_accuracy: float | None = None

    def __str__(self) -> str:
        return (
            f"{self.benign_accuracy:.1%} right on clean clips, "
            f"{self.attack_success_rate:.1%} of triggered clips obey the attacker"
        )

    @property
    def standard(self) -> float:
        """Standard risk: the share of benign clips that the model gets wrong."""
        return 1 - self.benign_accuracy

    @property
    def backdoor(self) -> float:
        """Backdoor risk: the share of triggered clips that miss the attacker's goal."""
        return 1 - self.attack_success_rate

    @property
    def accuracy_drop(self) -> float | None:
        """How much benign accuracy lies below ``reference_accuracy``; None without one."""
        known = self.reference_accuracy
        return None if known is None else known - self.benign_accuracy


def risks(
    model: AudioModel,
    test: Clips,
    trigger: Trigger,
    shift: LabelShift,
    seed: int,
    *,
    cache: Cache | None = None,
    reference_accuracy: float | None = None,
    quality: bool = False,
) -> Risks:
    """Measure a model on clean test clips and on the same clips with the trigger.

    ``quality`` adds STOI and DNSMOS (the extra ``quality``). The trigger is put into the clips as
    the model hears them (its rate, length and classes).
    Raises ``PoisonError`` when ``test`` is empty, when the shift moves none of its clips, or when
    the trigger leaves one unchanged; ``ManifestError`` for a label that the model does not know.
    """
    heard = test.as_heard_by(model.hearing.sample_rate, model.hearing.length, model.hearing.classes)
    if not len(heard):
        raise PoisonError("risks are measured on test clips; there are none")
    attackable = heard.subset(shift.attackable(heard.labels, heard.classes))
    if not len(attackable):
        raise PoisonError(
            f"{shift.name} moves none of the {len(heard)} test clips, so that no success rate can "
            "be measured; bring test clips of other classes than the goal"
        )
    right = activations(model, heard, cache).predicted == heard.labels
    drawn = _drawn(attackable, seed)
    hits, after = _hits(model, attackable, trigger, shift, seed, drawn, cache)
    return Risks(
        benign_accuracy=float(right.mean()),
        benign_accuracy_interval=metrics.wilson_interval(int(right.sum()), len(right)),
        n_benign=len(right),
        attack_success_rate=float(hits.mean()),
        attack_success_rate_interval=metrics.wilson_interval(int(hits.sum()), len(hits)),
        n_attackable=len(hits),
        perceptible=_compared(attackable, drawn, after, quality=quality),
        reference_accuracy=reference_accuracy,
    )


def _hits(
    model: AudioModel,
    attackable: Clips,
    trigger: Trigger,
    shift: LabelShift,
    seed: int,
    kept: Sequence[int],
    cache: Cache | None,
) -> tuple[Bool[np.ndarray, "clips"], list[Samples]]:
    """For each attackable clip, whether the model gives it the attacker's class once triggered;
    the triggered samples of those in ``kept``."""
    parts: list[np.ndarray] = []
    samples: dict[int, Samples] = {}
    for start in range(0, len(attackable), AT_A_TIME):
        some = attackable.subset(np.arange(start, min(start + AT_A_TIME, len(attackable))))
        with_trigger = trigger_all(some, trigger, shift, seed)
        predicted = activations(model, with_trigger, cache).predicted
        parts.append(shift.achieved(predicted, with_trigger.labels, with_trigger.classes))
        here = [i for i in kept if start <= i < start + len(some)]
        samples |= {i: with_trigger.waveform(i - start) for i in here}
    return np.concatenate(parts), [samples[i] for i in kept]


def perceptibility(
    clips: Clips, trigger: Trigger, seed: int, *, quality: bool = False
) -> Perceptibility:
    """Compare at most ``HEARD_CLIPS`` clips, drawn by ``seed``, with their triggered selves.

    Raises ``PoisonError`` when there are no clips or the trigger leaves one unchanged, and
    ``MissingExtra`` for ``quality`` without its packages.
    """
    if not len(clips):
        raise PoisonError("perceptibility is measured on clips; there are none")
    drawn = _drawn(clips, seed)
    after = [triggered(clips, trigger, i, seed) for i in drawn]
    return _compared(clips, drawn, after, quality=quality)


def _drawn(clips: Clips, seed: int) -> list[int]:
    """Which clips are compared with their triggered selves."""
    drawn: list[int] = np.random.default_rng(seed).permutation(len(clips))[:HEARD_CLIPS].tolist()
    return drawn


def _compared(
    clips: Clips, drawn: Sequence[int], after: Sequence[Samples], *, quality: bool
) -> Perceptibility:
    pairs = [(clips.waveform(i), samples) for i, samples in zip(drawn, after, strict=True)]
    rate, some = clips.sample_rate, pairs[:MASKED_CLIPS]
    heard = [stoi(*pair, rate) for pair in some] if quality else []
    drops = [dnsmos(a, rate) - dnsmos(b, rate) for a, b in pairs[:JUDGED_CLIPS] if quality]
    return Perceptibility(
        snr_db=float(np.median([snr_db(*pair) for pair in pairs])),
        segmental_snr_db=float(np.median([segmental_snr_db(*pair, rate) for pair in pairs])),
        log_spectral_distance_db=float(
            np.median([log_spectral_distance_db(*pair, rate) for pair in pairs])
        ),
        audible_share=float(np.median([audible_share(*pair, rate) for pair in some])),
        clips=len(pairs),
        stoi=_median([value for value in heard if value is not None]),
        dnsmos_drop=_median(drops),
    )


def _median(values: list[float]) -> float | None:
    return float(np.median(values)) if values else None


def snr_db(clean: Samples, triggered: Samples) -> float:
    """Energy of ``clean`` over the energy of the difference, over the whole clip, in dB.

    Infinite when nothing changed, minus infinity when ``clean`` is digital silence.
    """
    signal, difference = _validated(clean, triggered)
    return float(_ratio_db(np.sum(signal**2), np.sum(difference**2)))


def segmental_snr_db(clean: Samples, triggered: Samples, sample_rate: int) -> float:
    """Mean over frames of each frame's SNR, clamped to -10 to 35 dB.

    Frames last 20 ms, do not overlap and have no window; the last one may be shorter. A frame where
    nothing changed counts 35 dB, one that was silent and is not any more -10 dB. (Hansen and
    Pellom, 1998; Loizou, *Speech Enhancement*, 2013. Deviation: frames in which the original is
    silent are kept.)
    """
    signal, difference = _validated(clean, triggered)
    starts = np.arange(0, len(signal), max(1, round(SEGMENT_S * sample_rate)))
    energies = [np.add.reduceat(part**2, starts) for part in (signal, difference)]
    return float(np.clip(_ratio_db(*energies), *SEGMENT_LIMITS_DB).mean())


def log_spectral_distance_db(clean: Samples, triggered: Samples, sample_rate: int) -> float:
    """Mean over frames of the RMS over frequencies of the difference of two log power spectra.

    Frames last 32 ms (less in a shorter clip), overlap by half and carry a Hann window. Powers are
    floored at -100 dB re a sine at full scale, so that digital silence has a finite level. (Gray
    and Markel, 1976.)
    """
    signal, difference = _validated(clean, triggered)
    spectra = [_log_power_db(x, sample_rate) for x in (signal, signal + difference)]
    return float(np.sqrt(np.mean((spectra[1] - spectra[0]) ** 2, axis=0)).mean())


def _log_power_db(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """Power in dB re a sine at full scale, shaped (frequency, frame)."""
    frame = min(len(samples), max(2, round(SPECTRUM_S * sample_rate)))
    _, _, spectrum = stft(samples, nperseg=frame, noverlap=frame // 2, padded=True)
    return np.asarray(10 * np.log10(np.maximum((2 * np.abs(spectrum)) ** 2, SPECTRUM_FLOOR)))


def _ratio_db(signal: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """10 log10(signal / noise); infinite without noise, minus infinity without signal only."""
    with np.errstate(divide="ignore"):
        return np.where(
            noise == 0, np.inf, 10 * (np.log10(signal) - np.log10(np.where(noise == 0, 1, noise)))
        )


def _validated(clean: Samples, triggered: Samples) -> tuple[np.ndarray, np.ndarray]:
    """The clean clip and the difference, in float64."""
    if np.ndim(clean) != 1 or np.shape(clean) != np.shape(triggered) or not len(clean):
        raise AudioError(
            "expected the same clip twice, each shaped (time,), "
            f"got {np.shape(clean)} and {np.shape(triggered)}"
        )
    signal = np.asarray(clean, dtype=np.float64)
    return signal, np.asarray(triggered, dtype=np.float64) - signal
