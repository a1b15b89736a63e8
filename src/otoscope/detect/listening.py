"""Small networks that learn the classes from a few clips, to say what other clips are.

They answer for the *content* of a clip: what it is called by someone who never heard the suspicious
ones. They train in seconds, whatever the size of the data.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int
from scipy.special import softmax
from torch import Tensor, nn

from otoscope.batches import Batch
from otoscope.cache import Cache
from otoscope.clips import Clips
from otoscope.errors import NotApplicable
from otoscope.models import TorchModel, logits_of
from otoscope.networks import CNN, Network
from otoscope.registry import Spec
from otoscope.training import Recipe, TrainingHook, train

JUDGES = 64
"""So many of the clips that a listener learns from choose its best epoch."""

BANDS, FRAMES = 40, 100
"""What the mel axis and a clip are cut into where waveforms are varied."""

NYQUIST_OVER_KNEE = 8000 / 700
"""Half the rate over the knee of the mel scale (O'Shaughnessy's), at speech's 16 kHz."""

FLOORS_DB = (-68.0, -25.0)
"""Mean power of the noise: what the noise floors of log-mel planes are at 16 kHz."""

BATCH = 48
EPOCHS = 10
FOLDS = 2

Heard = Float[np.ndarray, "clips classes"]


@dataclass(frozen=True)
class Varied(TrainingHook):
    """Hears each clip through another channel every time, and mixes clips.

    A smooth random equaliser (``equaliser`` nepers of power at five points of the mel axis), a
    noise floor under three clips in ten, a band and a stretch of time left out in half of them each
    (SpecAugment, 1904.08779), and mixup with Beta(0.4, 0.4) (1710.09412). So that neither a
    microphone nor a room nor a single place of the spectrogram settles what a clip is.

    A network that hears waveforms hears the same done to these: a filter whose gain is drawn so on
    the mel axis and is nothing in the band, white noise, silence, and sums of waveforms.
    """

    equaliser: float = 1.0
    widest_band: int = 8
    widest_gap: int = 20

    def key(self, clips: Clips, seed: int) -> Spec:
        return {"hook": "varied", **vars(self)}

    def gradients(self, body: nn.Module, batch: Batch, rng: np.random.Generator) -> Tensor:
        planar = batch.features.ndim == 4
        heard = (self._varied if planar else self._varied_sound)(batch.features, rng)
        share = rng.beta(0.4, 0.4, len(heard)).astype(np.float32)
        kept = torch.from_numpy(np.maximum(share, 1 - share)).to(heard.device)
        other = torch.from_numpy(rng.permutation(len(heard)))
        weight = kept.view(-1, *[1] * (heard.ndim - 1))
        logits = body(weight * heard + (1 - weight) * heard[other])
        losses = [
            nn.functional.cross_entropy(logits, labels, label_smoothing=0.1, reduction="none")
            for labels in (batch.labels, batch.labels[other])
        ]
        loss = (kept * losses[0] + (1 - kept) * losses[1]).mean()
        torch.autograd.backward(loss)
        return loss

    def _varied(self, planes: Tensor, rng: np.random.Generator) -> Tensor:
        """Log-mel planes shaped (batch, 1, bands, frames), through other channels."""
        count, _, bands, frames = planes.shape
        points = torch.from_numpy(rng.normal(0, self.equaliser, (count, 1, 5)).astype(np.float32))
        tilt = nn.functional.interpolate(points, size=bands, mode="linear", align_corners=True)
        out = planes + tilt[..., None].to(planes.device)
        middle = out.mean(dim=(2, 3), keepdim=True)
        for axis, size, widest in ((2, bands, self.widest_band), (3, frames, self.widest_gap)):
            left_out = _spans(rng, count, size, min(widest, size // 4))
            shape = [count, 1, 1, 1]
            shape[axis] = size
            out = torch.where(torch.from_numpy(left_out).view(shape).to(out.device), middle, out)
        floor = rng.uniform(-14, -4, count).astype(np.float32)
        floor[rng.random(count) >= 0.3] = -np.inf
        level = torch.from_numpy(floor).view(-1, 1, 1, 1).to(out.device)
        return torch.logaddexp(out, level.expand_as(out))

    def _varied_sound(
        self, waveforms: Float32[Tensor, "batch 1 time"], rng: np.random.Generator
    ) -> Float32[Tensor, "batch 1 time"]:
        """Waveforms at any rate: the mel axis has ``BANDS`` and a clip ``FRAMES`` here."""
        count, length = len(waveforms), waveforms.shape[-1]
        points = rng.normal(0, self.equaliser, (count, 5))
        band = _spans(rng, count, BANDS, self.widest_band)
        place = np.linspace(0, BANDS - 1, BANDS)
        gain = np.exp([np.interp(place, np.linspace(0, BANDS - 1, 5), row) / 2 for row in points])
        gain[band] = 0
        spectrum = torch.fft.rfft(waveforms)
        spectrum = spectrum * _on_bins(gain, spectrum.shape[-1]).to(spectrum.device)[:, None]
        gap = _spans(rng, count, FRAMES, self.widest_gap)
        audible = ~gap[:, np.arange(length) * FRAMES // length]
        level = 10 ** (rng.uniform(*FLOORS_DB, count) / 20) * (rng.random(count) < 0.3)
        noise = level[:, None] * rng.standard_normal((count, length))
        out: Tensor = torch.fft.irfft(spectrum, n=length) * _like(audible, waveforms)[:, None]
        return out + _like(noise, waveforms)[:, None]


def _on_bins(gain: Float[np.ndarray, "batch bands"], bins: int) -> Float32[Tensor, "batch bins"]:
    """Gains of equal steps on the mel scale as gains of the bins from 0 Hz to half the rate."""
    top = np.log1p(NYQUIST_OVER_KNEE)
    places = np.log1p(np.linspace(0, NYQUIST_OVER_KNEE, bins)) / top * (gain.shape[1] - 1)
    return torch.from_numpy(gain[:, np.rint(places).astype(int)].astype(np.float32))


def _like(values: np.ndarray, other: Tensor) -> Tensor:
    return torch.from_numpy(values.astype(np.float32)).to(other.device)


def _spans(
    rng: np.random.Generator, count: int, size: int, widest: int
) -> Bool[np.ndarray, "batch places"]:
    """One span of up to ``widest`` places in about half of the rows."""
    width = rng.integers(1, max(2, widest), count) * (rng.random(count) < 0.5)
    start = rng.integers(0, np.maximum(size - width, 1))
    places = np.arange(size)[None]
    return np.asarray((places >= start[:, None]) & (places < (start + width)[:, None]))


def taught_by(
    teachers: Clips, clips: Clips, *, steps: int, seed: int, cache: Cache | None
) -> Heard:
    """What a small CNN that learned from ``teachers`` says each of ``clips`` is: probabilities."""
    model = taught(teachers, steps=steps, seed=seed, cache=cache)
    return np.asarray(softmax(logits_of(model, clips, cache).astype(np.float64), axis=1))


def taught(
    teachers: Clips,
    *,
    steps: int,
    seed: int,
    cache: Cache | None,
    network: Network | TorchModel | None = None,
    varied: bool = True,
) -> TorchModel:
    """A network (the small CNN) that learned from ``teachers``, in about ``steps`` batches.

    They are ``Varied`` unless told otherwise. A model in its place goes on from its weights.
    """
    size = min(BATCH, len(teachers))
    rng = np.random.default_rng(seed)
    # so many times over that judging, once an epoch, costs little beside learning
    often = np.tile(np.arange(len(teachers)), -(-steps * size // (EPOCHS * len(teachers))))
    return train(
        network or CNN(),
        teachers.subset(often),
        seed=seed,
        validation=teachers.subset(np.sort(rng.permutation(len(teachers))[:JUDGES])),
        recipe=Recipe(epochs=EPOCHS, batch_size=size, patience=EPOCHS),
        device=network.device if isinstance(network, TorchModel) else "cpu",
        hook=Varied() if varied else None,
        cache=cache,
    )


def heard_across(
    clips: Clips,
    eligible: Bool[np.ndarray, "clips"],
    *,
    per_class: int,
    steps: int,
    seed: int,
    trusted: Clips | None,
    cache: Cache | None,
    asked: Bool[np.ndarray, "clips"] | None = None,
) -> Heard:
    """As ``taught_by``, in two halves: each is judged by a network that learned from the other.

    A network learns from at most ``per_class`` of the ``eligible`` clips of each class, and from
    all ``trusted`` clips. One forward pass over the clips, or over those ``asked`` about; the
    others get 0. Raises ``NotApplicable`` where there is none to learn from.
    """
    rng = np.random.default_rng(seed)
    fold = rng.integers(0, FOLDS, len(clips))
    heard = np.zeros((len(clips), len(clips.classes)))
    for number in range(FOLDS):
        pool = rng.permutation(np.flatnonzero(eligible & (fold != number)))
        rows = np.sort(_first_of_each(pool, clips.labels, per_class))
        teachers = clips.subset(rows)
        if trusted is not None:
            teachers = teachers.joined(trusted)
        if not len(teachers):
            raise NotApplicable("witnesses agree with no clip, so there is nothing to learn from")
        judged = fold == number if asked is None else asked & (fold == number)
        if not judged.any():
            continue
        heard[judged] = taught_by(
            teachers, clips.subset(judged), steps=steps, seed=seed + number, cache=cache
        )
    return heard


def _first_of_each(
    pool: Int[np.ndarray, "some"], labels: Int[np.ndarray, "clips"], count: int
) -> Int[np.ndarray, "fewer"]:
    """The first ``count`` of every class in ``pool``."""
    drawn = [pool[labels[pool] == k][:count] for k in np.unique(labels[pool])]
    return np.concatenate([pool[:0], *drawn])


def agreeing(heard: Heard, labels: Int[np.ndarray, "clips"], sure: float) -> Bool[np.ndarray, " n"]:
    """Clips whose likeliest class is their label, less the ``1 - sure`` least certain of each."""
    own = heard[np.arange(len(labels)), labels]
    agree = heard.argmax(axis=1) == labels
    for k in np.unique(labels[agree]):
        members = agree & (labels == k)
        agree &= ~members | (own >= np.quantile(own[members], 1 - sure))
    return np.asarray(agree)
