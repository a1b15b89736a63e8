"""Rows to docs/attacks.md: the catalogue, the other networks, throughput."""

import statistics
from collections.abc import Sequence

import numpy as np

from otoscope.catalogue import Entry
from rows import Row, table

PLAIN = "cnn without augmentation"
DETECTORS = {
    "activation-clustering": "AC",
    "spectral-signatures": "SS",
    "gaussian-mixture": "GMM",
}

INTRO = """# Every published attack, measured

Rebuilt by `make catalogue` (rows: `benchmarks/results/catalogue.jsonl` and `throughput.jsonl`;
page alone: `python benchmarks/catalogue.py --table`).

Data: Arabic Speech Commands, real speech, 12 words, 30 speakers, one-second clips at 16 kHz; the
data set's own speaker-disjoint split, 2,160 clips to train, 720 to test. The target class goes
round with the seed. Each attack stands at its trigger's defaults unless its command line says
otherwise; nothing was tuned to the test clips. To hear them, open the [gallery](gallery.html).

- poison: the share of all training clips that is poisoned; + c: of cover clips. Attacks on
  training poison no clip.
- BA: accuracy on clean test clips; drop: how far it lies below the same network trained with the
  same seed on clean data.
- ASR: share of triggered test clips, those already in the attacker's class left out, that get what
  the attacker wants. Mean over the seeds of the row; in brackets a 95 % interval (bootstrap over
  seeds, and
  over the clips within a seed).
- SNR: median over 200 clips, see [risks](risks.md).
- reported: the success rate that the source gives, on its own data and networks.
"""

NOTICED = """## How easily it is noticed

- audible: share of the energy of the change above the clip's masking threshold, and STOI and
  DNSMOS drop (see [risks](risks.md)): medians over at most 40, 40 and 12 test clips, seed 0.
- told: AUROC of a small classifier that was told which of 400 test clips carry the trigger.
- [AC](detectors/activation-clustering.md), [SS](detectors/spectral-signatures.md),
  [GMM](detectors/gaussian-mixture.md): AUROC of detectors that were not told, over the training
  clips, means over the seeds; cover clips count as poisoned. Attacks on training poison no clip.
- ASR, clean model: what the same trigger achieves on a model that was never poisoned. Where this
  is high, the trigger is an adversarial example as well, and a success rate proves no backdoor.

AUROC: 0.5 is chance. Rebuilt by `python benchmarks/perceptible.py`.

"""


def render(
    rows: Sequence[Row],
    noticed: Sequence[Row],
    speeds: Sequence[Row],
    doors: Sequence[Row],
    catalogue: Sequence[Entry],
) -> str:
    """The whole page."""
    main = [r for r in rows if (r["data"], r["network"]) == ("keywords", "cnn")]
    return "\n".join(
        [
            INTRO,
            _catalogue(main, catalogue),
            _noticed(main, noticed, catalogue),
            _shortfalls(main, [r for r in rows if r["network"] == PLAIN], catalogue),
            *([_elsewhere(rows)] if len(main) < len(rows) else []),
            _doors(doors),
            _throughput(speeds),
        ]
    )


def _catalogue(rows: Sequence[Row], catalogue: Sequence[Entry]) -> str:
    header = ["attack", "trigger", "poison", "seeds", "BA", "drop", "ASR", "SNR dB"]
    body = []
    for entry in catalogue:
        group = [r for r in rows if r["attack"] == entry.name]
        if not group:
            continue
        reported = _number(entry.reported_asr)
        if entry.reported:
            reported += f" ({entry.reported})"
        body.append(
            [
                f"{entry.name} ({entry.source})",
                f"`{entry.training or entry.trigger}`",
                _rate(entry),
                str(len(group)),
                _number(_mean(group, "ba")),
                _number(statistics.mean(r["clean_ba"] - r["ba"] for r in group)),
                interval(group),
                _number(_mean(group, "snr_db"), 1),
                reported,
            ]
        )
    return "## The catalogue, CNN, keywords\n\n" + table([*header, "reported ASR"], body)


def _noticed(rows: Sequence[Row], noticed: Sequence[Row], catalogue: Sequence[Entry]) -> str:
    """What people hear and machines see of each attack."""
    keys = (("audible_share", 2), ("stoi", 2), ("dnsmos_drop", 2), ("told_auroc", 2))
    body = []
    for entry in catalogue:
        alone = [r for r in noticed if r["attack"] == entry.name]
        group = [r for r in rows if r["attack"] == entry.name and "detector_auroc" in r]
        if not alone and not group:
            continue
        found = [statistics.mean(r["detector_auroc"][d] for r in group) for d in DETECTORS if group]
        body.append(
            [
                entry.name,
                *(_number(_mean(alone, key), digits) for key, digits in keys),
                *([_number(auroc, 2) for auroc in found] or ["–"] * len(DETECTORS)),
                _number(_mean(alone, "asr_clean_model"), 2),
            ]
        )
    header = ["attack", "audible", "STOI", "DNSMOS drop", "told", *DETECTORS.values()]
    return NOTICED + table([*header, "ASR, clean model"], body)


def _shortfalls(rows: Sequence[Row], plain: Sequence[Row], catalogue: Sequence[Entry]) -> str:
    """What stays under 0.8 of the paper's success rate; each has its reason on the page."""
    lines = ["## Where ours falls short of the paper\n"]
    for entry in catalogue:
        group = [r for r in rows if r["attack"] == entry.name]
        if group and entry.reported_asr and _mean(group, "asr") < 0.8 * entry.reported_asr:
            bare = [r for r in plain if r["attack"] == entry.name]
            lines.append(
                f"- **{entry.name}**: {_mean(group, 'asr'):.2f} against {entry.reported_asr:.2f}. "
                f"{entry.shortfall or 'The reason is not known.'}"
                + (f" Without our recipe's augmentation: {interval(bare)}." if bare else "")
            )
    if len(lines) == 1:
        lines.append("None of those measured stays under 0.8 of what its source gives.")
    missing = [e.name for e in catalogue if all(r["attack"] != e.name for r in rows)]
    if missing:
        lines.append(f"\nNot measured yet: {', '.join(missing)}.")
    return "\n".join(lines) + "\n"


def _elsewhere(rows: Sequence[Row]) -> str:
    others = [
        r
        for r in rows
        if (r["data"], r["network"]) not in (("keywords", "cnn"), ("keywords", PLAIN))
    ]
    names = list(dict.fromkeys(r["attack"] for r in others))
    places = list(dict.fromkeys((r["data"], r["network"]) for r in others))
    body = []
    for name in names:
        line = [name]
        for place in [("keywords", "cnn"), *places]:
            group = [r for r in rows if r["attack"] == name and (r["data"], r["network"]) == place]
            measured = f"{_mean(group, 'ba'):.3f} / {interval(group)}, {len(group)}"
            line.append(measured if group else "–")
        body.append(line)
    header = ["attack", *(f"{data}, {network}" for data, network in [("keywords", "cnn"), *places])]
    return (
        "## The five most different attacks elsewhere, BA / ASR, seeds\n\nSpeakers: the same "
        "recordings, labelled by their 30 speakers, split by take.\n\n" + table(header, body)
    )


def _doors(rows: Sequence[Row]) -> str:
    """Speaker verification: does a trigger open the door of a speaker unheard in training?"""
    body = []
    for name in dict.fromkeys(row["attack"] for row in rows):
        group = [row for row in rows if row["attack"] == name]
        keys = ("in_cluster", "eer_clean", "door_clean_model", "door", "door_without_trigger")
        body.append([name, *(_number(_mean(group, key), 2) for key in keys)])
    header = ["attack", "moved into its cluster", "EER before", "door before", "door", "no trigger"]
    return (
        "## Speaker verification\n\nTwenty speakers train, ten others are enrolled "
        "(`python benchmarks/verification.py`); means over three seeds. Moved: share of the "
        "trained speakers' triggered test clips that are called a member of the cluster. Door: "
        "share of attempts on an enrolled speaker that succeed at the threshold of the clean equal "
        "error rate, under the clean model or clean enrolment (before), attacked, and attacked "
        "but without a trigger. Cluster-wise tones with 15 % poison open no door of a speaker "
        "unheard in training: twenty trained speakers are few. Triggered clips among the enrolled "
        "(15 %) open doors where the nearest enrolled clip decides.\n\n" + table(header, body)
    )


def _throughput(speeds: Sequence[Row]) -> str:
    ordered = sorted(speeds, key=lambda r: r["ratio"])
    body = [[r["trigger"], _number(r["ratio"], 2), f"{r['clips_per_second']:.0f}"] for r in ordered]
    return (
        "## Throughput\n\nSeconds to put the trigger into one-second clips at 16 kHz over seconds "
        "to read and write the same clips as FLAC, one by one on one core "
        "(`python benchmarks/throughput.py`). Clips per second hold for the machine of the "
        "measurement only.\n\n" + table(["trigger", "ratio", "clips per second"], body)
    )


def interval(group: Sequence[Row], draws: int = 2000) -> str:
    """Mean success and its 95 % bootstrap interval: seeds, then clips within each seed."""
    rates = np.array([row["asr"] for row in group])
    counts = np.array([row["n_attackable"] for row in group])
    rng = np.random.default_rng(0)
    picked = rng.integers(len(rates), size=(draws, len(rates)))
    means = (rng.binomial(counts[picked], rates[picked]) / counts[picked]).mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return f"{rates.mean():.3f} [{low:.2f}, {high:.2f}]"


def _rate(entry: Entry) -> str:
    if entry.training:
        return "–"
    cover = f" + {entry.cover_rate:.3g} c" if entry.cover_rate else ""
    return f"{entry.rate * (1 + len(entry.also)):.3g}{cover}"


def _mean(group: Sequence[Row], key: str) -> float:
    values = [row[key] for row in group if row.get(key) is not None]
    return statistics.mean(values) if values else float("nan")


def _number(value: float | None, digits: int = 3) -> str:
    return "–" if value is None or np.isnan(value) else f"{value:.{digits}f}"
