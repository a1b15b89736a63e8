"""The only training loop.

The module is called ``training`` because ``otoscope.train`` is the function. Front-end features are
computed once, kept in memory or a file (``spill``) and in the cache; a run that was interrupted
goes on from its last whole epoch.
"""

import copy
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import NotRequired, TypedDict

import numpy as np
import torch
from torch import Tensor, nn

from otoscope.batches import Batch, Samples, front_end_features, put, shifted
from otoscope.cache import Arrays, Cache, digest, remembered
from otoscope.clips import Clips
from otoscope.errors import TrainingError
from otoscope.models import Hearing, TorchModel
from otoscope.models.base import first_answers
from otoscope.models.layout import first_tensor
from otoscope.networks import Listener, Network
from otoscope.numerics import fast_math
from otoscope.progress import track
from otoscope.registry import Spec, require, spec


@dataclass(frozen=True)
class Recipe:
    """How a network is trained: AdamW under one cosine cycle with a warm-up of a tenth.

    The augmentation: a random shift in time by at most ``shift_share`` of the clip, and of a
    spectrogram in frequency by at most ``shift_bands`` bands (another vocal tract). Training stops
    when ``patience`` epochs brought no better validation loss, and the best epoch is kept.
    """

    epochs: int = 24
    batch_size: int = 64
    learning_rate: float = 6e-3
    weight_decay: float = 1e-2
    patience: int = 8
    shift_share: float = 0.1
    shift_bands: int = 2
    label_smoothing: float = 0.1
    validation_share: float = 0.1

    def __post_init__(self) -> None:
        require(self.epochs >= 1, f"recipe.epochs must be at least 1, got {self.epochs}")
        require(self.batch_size >= 2, f"recipe.batch_size must be 2 or more, got {self.batch_size}")


@dataclass(frozen=True, eq=False)
class Setting:
    """What a hook is told before the first epoch.

    A batch's ``rows`` count in ``clips``; ``held_out`` are the clips that decide when to stop;
    ``hear`` gives the front end's output, computed once per clip.
    """

    body: nn.Module
    clips: Clips
    held_out: Clips
    hear: Callable[[Clips], Tensor]
    recipe: Recipe
    seed: int
    device: torch.device


class TrainingHook(ABC):
    """What a training attack or a distillation changes in a run. One hook serves one run.

    ``resumes`` says that it carries nothing from epoch to epoch, so that an interrupted run can go
    on; else such a run starts anew. ``keeps_last`` says that the last epoch is kept instead of the
    one with the lowest held-out loss, so that no clips are held out.
    """

    resumes = True
    keeps_last = False

    @abstractmethod
    def key(self, clips: Clips, seed: int) -> Spec:
        """All that the weights depend on beside ``train``'s arguments, as plain JSON values."""

    def begin(self, setting: Setting) -> None:  # noqa: B027 - there may be nothing to prepare
        """Prepare ``setting.body`` and compute what all epochs need."""

    @abstractmethod
    def gradients(self, body: nn.Module, batch: Batch, rng: np.random.Generator) -> Tensor:
        """Leave each parameter's gradient in it (None before); the loss, to see that it is finite.

        ``batch`` is augmented and on the device; ``rng`` is the epoch's own.
        """

    def held_out_loss(self, body: nn.Module) -> float:
        """What is added to the summed loss of the held-out clips, which chooses the epoch."""
        return 0.0


class HowTrained(TypedDict):
    """The arguments of ``train`` that an attack hands on as they are."""

    seed: int
    validation: NotRequired[Clips | None]
    recipe: NotRequired[Recipe | None]
    device: NotRequired[str | torch.device]
    cache: NotRequired[Cache | None]


def train(
    network: Network | TorchModel,
    clips: Clips,
    *,
    seed: int,
    validation: Clips | None = None,
    recipe: Recipe | None = None,
    device: str | torch.device = "cpu",
    cache: Cache | None = None,
    hook: TrainingHook | None = None,
) -> TorchModel:
    """Train a network on clips and return it as a model that takes waveforms.

    A model in its place is gone on with from its weights: a copy of it, whose weights learn as far
    as they were not frozen when it was wrapped, on clips as it hears them. One that is not ours
    learns from waveforms.

    Without ``validation``, ``recipe.validation_share`` of the clips is drawn by ``seed`` to decide
    when to stop. Same arguments, same weights (on one machine and number of threads). ``hook``
    changes what the network learns from a batch (see ``training_attacks``).

    Raises ``TrainingError`` with fewer than two classes or eight clips, or when the loss is no
    longer finite.
    """
    recipe = recipe or Recipe()
    if len(set(clips.labels.tolist())) < 2 or len(clips) < 8:
        raise TrainingError(
            f"training needs at least 2 classes and 8 clips, got {len(set(clips.labels))} "
            f"and {len(clips)}"
        )
    if isinstance(network, TorchModel):
        form = network.hearing.sample_rate, network.hearing.length, network.hearing.classes
        clips = clips.as_heard_by(*form)
        validation = validation.as_heard_by(*form) if validation else None
        listener, described = _again(network, clips)
    hearing = Hearing(clips.classes, clips.sample_rate, clips.length)
    if not isinstance(network, TorchModel):
        listener, described = network.build(hearing, seed), spec(network)
    key = digest(
        "train",
        described,
        asdict(recipe),
        seed,
        clips.sha256,
        validation.sha256 if validation else None,
        list(clips.classes),
        *([hook.key(clips, seed)] if hook else []),
    )
    with fast_math():
        weights = remembered(
            cache,
            key,
            lambda: _fit(listener, clips, validation, recipe, seed, device, cache, key, hook),
        )
    listener.load_state_dict({name: torch.from_numpy(w) for name, w in weights.items()})
    if not isinstance(network, TorchModel):
        return TorchModel(listener, hearing, device=device, origin=json.dumps(spec(network)))
    body = listener.body
    module = body.module if isinstance(body, _Stranger) else listener
    return TorchModel(module, hearing, flat=network.flat, device=device, origin=network.origin)


def _again(model: TorchModel, clips: Clips) -> tuple[Listener, Spec]:
    """A copy of a model's module, whose weights learn, and all that tells it from others.

    Equal weights may belong to unlike networks, so what it answers tells it, too.
    """
    answers = first_answers(model, clips)
    told: Spec = {"model": model.sha256, "origin": model.origin, "says": digest(answers.numpy())}
    module = copy.deepcopy(model.module).cpu()
    for name, weight in module.named_parameters():
        weight.requires_grad_(weight.is_floating_point() and model.learns(name))
    if isinstance(module, Listener):
        return module, told
    certain = (answers.sum(dim=1) - 1).abs().max() < 1e-3 and bool((answers >= 0).all())
    return Listener(nn.Identity(), _Stranger(module, model.flat, bool(certain))), told


class _Stranger(nn.Module):
    """A body that hears waveforms, (batch, 1, time), in the form that it wants, with logits.

    ``certain`` says that its answers are probabilities, whose logarithms are logits.
    """

    def __init__(self, module: nn.Module, flat: bool, certain: bool) -> None:
        super().__init__()
        self.module, self.flat, self.certain = module, flat, certain

    def forward(self, waveforms: Tensor) -> Tensor:
        out = first_tensor(self.module(waveforms[:, 0] if self.flat else waveforms))
        return out.clamp_min(1e-9).log() if self.certain else out


def _fit(
    listener: Listener,
    clips: Clips,
    validation: Clips | None,
    recipe: Recipe,
    seed: int,
    device: str | torch.device,
    cache: Cache | None,
    key: str,
    hook: TrainingHook | None,
) -> Arrays:
    """Train ``listener`` and return its best weights."""
    front_end = {"module": repr(listener.front_end), "rate": clips.sample_rate}
    filters = getattr(listener.front_end, "filters", None)
    if filters is not None:
        front_end["bands"] = len(filters)

    def hear(of: Clips) -> Tensor:
        return torch.from_numpy(front_end_features(listener, of, cache, front_end))

    def samples(of: Clips) -> Samples:
        features = front_end_features(listener, of, cache, front_end)
        return Samples(features, torch.from_numpy(of.labels), np.arange(len(of)))

    training, judges = samples(clips), validation
    if hook and hook.keeps_last:
        held_out, judges = replace(training, rows=training.rows[:0]), clips.subset(np.arange(0))
    elif judges is None:
        order = np.random.default_rng(seed).permutation(len(clips))
        held = max(1, round(recipe.validation_share * len(clips)))
        held_out = replace(training, rows=order[:held])
        training = replace(training, rows=order[held:])
        judges = clips.subset(order[:held])
    else:
        held_out = samples(judges)
    device = torch.device(device)
    if hook:
        hook.begin(Setting(listener.body, clips, judges, hear, recipe, seed, device))
    run = _Run(listener.body, recipe, seed, device, len(training), hook)
    progress = digest("unfinished", key)
    kept = cache if hook is None or hook.resumes else None
    run.restore(kept.get(progress) if kept else None)
    for _ in track(range(run.epoch, recipe.epochs), "training", recipe.epochs - run.epoch):
        run.one_epoch(training)
        run.judge(held_out)
        if run.epochs_since_best >= recipe.patience:
            break
        if kept:
            kept.put(progress, run.state())
    listener.body.load_state_dict(run.best)
    if kept:
        kept.drop(progress)
    return {name: tensor.detach().cpu().numpy() for name, tensor in listener.state_dict().items()}


class _Run:
    """One training run: everything that changes from epoch to epoch."""

    def __init__(
        self,
        body: nn.Module,
        recipe: Recipe,
        seed: int,
        device: torch.device,
        count: int,
        hook: TrainingHook | None,
    ) -> None:
        self.body = body.to(device)
        if not isinstance(body, _Stranger):  # whose forward may count on the usual order
            body.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.recipe, self.seed, self.device, self.hook = recipe, seed, device, hook
        self.steps = max(1, count // recipe.batch_size)
        self.optimizer = torch.optim.AdamW(
            body.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay
        )
        self.epoch = 0
        self.best_loss, self.epochs_since_best = math.inf, 0
        self.best = _copied(body)

    def one_epoch(self, training: Samples) -> None:
        """One pass over the training clips; all that is random follows from (seed, epoch)."""
        rng = np.random.default_rng((self.seed, self.epoch))
        self.body.train()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(rng.integers(2**31)))  # dropout
            for step, batch in enumerate(self._batches(training, rng)):
                self._set_learning_rate(self.epoch + step / self.steps)
                self.optimizer.zero_grad(set_to_none=True)
                loss = self._gradients(batch, rng)
                self.optimizer.step()
        if not math.isfinite(loss.item()):
            raise TrainingError(
                f"the loss is {loss.item()} after epoch {self.epoch + 1}; "
                "lower recipe.learning_rate"
            )
        self.epoch += 1

    def _gradients(self, batch: Batch, rng: np.random.Generator) -> Tensor:
        if self.hook:
            return self.hook.gradients(self.body, batch, rng)
        loss = nn.functional.cross_entropy(
            self.body(batch.features), batch.labels, label_smoothing=self.recipe.label_smoothing
        )
        torch.autograd.backward(loss)
        return loss

    @torch.no_grad()
    def judge(self, held_out: Samples) -> None:
        """Keep the weights if the validation loss is the lowest so far."""
        self.body.eval()
        if self.hook and self.hook.keeps_last:
            self.best = _copied(self.body)
            return
        loss = summed_loss(self.body, held_out, self.device)
        if self.hook:
            loss += self.hook.held_out_loss(self.body)
        self.epochs_since_best += 1
        if loss < self.best_loss:
            self.best_loss, self.epochs_since_best, self.best = loss, 0, _copied(self.body)

    def state(self) -> Arrays:
        """Everything needed to go on, as arrays."""
        arrays = {f"best.{name}": t.cpu().numpy() for name, t in self.best.items()}
        arrays |= {f"body.{name}": t.cpu().numpy() for name, t in _copied(self.body).items()}
        for number, slots in self.optimizer.state_dict()["state"].items():
            arrays |= {f"adam.{number}.{slot}": t.cpu().numpy() for slot, t in slots.items()}
        counters = [self.epoch, self.epochs_since_best, self.best_loss]
        return arrays | {"counters": np.array(counters, dtype=np.float64)}

    def restore(self, arrays: Arrays | None) -> None:
        """Go on from ``state()``; nothing to restore leaves the run at its start."""
        if arrays is None:
            return
        epoch, since, self.best_loss = arrays["counters"].tolist()
        self.epoch, self.epochs_since_best = int(epoch), int(since)
        self.best = {}
        slots: dict[int, dict[str, Tensor]] = {}
        weights: dict[str, Tensor] = {}
        for name, array in arrays.items():
            kind, _, rest = name.partition(".")
            if kind == "adam":
                number, _, slot = rest.partition(".")
                slots.setdefault(int(number), {})[slot] = torch.from_numpy(array)
            elif kind != "counters":
                (self.best if kind == "best" else weights)[rest] = torch.from_numpy(array)
        self.body.load_state_dict(weights)
        self.optimizer.load_state_dict(self.optimizer.state_dict() | {"state": slots})

    def _batches(self, training: Samples, rng: np.random.Generator) -> Iterator[Batch]:
        order = rng.permutation(len(training))
        size = self.recipe.batch_size
        for start in range(0, max(1, len(order) - size + 1), size):
            batch = training.at(order[start : start + size])
            features = augmented(batch.features, self.recipe, rng, self.device)
            yield Batch(features, batch.labels.to(self.device), batch.rows)

    def _set_learning_rate(self, epoch: float) -> None:
        warm_up = 0.1 * self.recipe.epochs
        if epoch < warm_up:
            share = (epoch + 0.1) / (warm_up + 0.1)
        else:
            done = (epoch - warm_up) / (self.recipe.epochs - warm_up)
            share = 0.5 + 0.5 * math.cos(math.pi * done)
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.learning_rate * share


def augmented(
    features: Tensor, recipe: Recipe, rng: np.random.Generator, device: torch.device
) -> Tensor:
    """Features as a network meets them in training: shifted at random, on the device."""
    return put(shifted(features, recipe.shift_share, recipe.shift_bands, rng), device)


@torch.no_grad()
def summed_loss(body: nn.Module, samples: Samples, device: torch.device) -> float:
    """The sum of the cross-entropies of a body in evaluation mode."""
    losses = [
        nn.functional.cross_entropy(
            body(put(batch.features, device)), batch.labels.to(device), reduction="sum"
        )
        for batch in samples.in_order()
    ]
    return float(torch.stack(losses).sum())


def _copied(body: nn.Module) -> dict[str, Tensor]:
    return {name: t.detach().clone() for name, t in body.state_dict().items()}
