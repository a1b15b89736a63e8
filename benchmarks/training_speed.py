"""Our training loop against a plain PyTorch loop: the same work, the same process, as a ratio.

    python benchmarks/training_speed.py --data ../shared/data

The plain loop keeps the waveforms in memory, shuffles them, computes the log-mel at every step,
keeps the default memory format and leaves denormal numbers alone. Both take the same network,
batch size, number of epochs, optimizer, augmentation and validation after each epoch. Runs are
interleaved; the ratio of the medians is printed, and the test accuracy of ours.
"""

import argparse
import statistics
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

import otoscope as oto
from otoscope import metrics
from otoscope.batches import shifted
from otoscope.models import Hearing

HERE = Path(__file__).parent


def plain(clips: oto.Clips, validation: oto.Clips, recipe: oto.Recipe, seed: int) -> nn.Module:
    """What one would write without thinking about speed."""
    waveforms = torch.from_numpy(clips.waveforms(range(len(clips))))
    labels = torch.from_numpy(clips.labels)
    held = torch.from_numpy(validation.waveforms(range(len(validation))))
    held_labels = torch.from_numpy(validation.labels)
    hearing = Hearing(clips.classes, clips.sample_rate, clips.length)
    model = oto.networks.CNN().build(hearing, seed)
    optimizer = torch.optim.AdamW(
        model.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        recipe.learning_rate,
        epochs=recipe.epochs,
        steps_per_epoch=len(clips) // recipe.batch_size,
    )
    loss_of = nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
    rng = np.random.default_rng(seed)
    for _ in range(recipe.epochs):
        model.train()
        order = torch.from_numpy(rng.permutation(len(labels)))
        for batch in order.split(recipe.batch_size):
            if len(batch) < recipe.batch_size:
                continue
            features = model.front_end(waveforms[batch])
            features = shifted(features, recipe.shift_share, recipe.shift_bands, rng)
            loss = loss_of(model.body(features), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        model.eval()
        with torch.no_grad():
            for part, truth in zip(held.split(256), held_labels.split(256), strict=True):
                nn.functional.cross_entropy(model(part), truth)
    return model


def main() -> None:
    """Interleave the two loops and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    splits = oto.datasets.arabic_speech_commands(options.data / "arabic-speech-commands-12")
    recipe = replace(oto.Recipe(), patience=10**6)  # both run every epoch
    ours, theirs, accuracies = [], [], []
    for seed in range(options.rounds):
        started = time.perf_counter()
        model = oto.train(
            oto.networks.CNN(), splits.train, seed=seed, validation=splits.validation, recipe=recipe
        )
        ours.append(time.perf_counter() - started)
        started = time.perf_counter()
        plain(splits.train, splits.validation, recipe, seed)
        theirs.append(time.perf_counter() - started)
        seen = oto.models.activations(model, splits.test)
        accuracies.append(metrics.accuracy(seen.predicted, splits.test.labels))
    ratio = statistics.median(ours) / statistics.median(theirs)
    print(f"test accuracy by seed: {', '.join(f'{a:.4f}' for a in accuracies)}")
    print(f"ours {statistics.median(ours):.1f} s, plain {statistics.median(theirs):.1f} s")
    print(f"ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
