"""A guard on models whose truth is known: the tables in docs/guard.md.

    python benchmarks/guarding.py --data ../shared/data   # run what is missing
    python benchmarks/guarding.py --table                 # rebuild the tables from rows

One row per model of the first round of the zoo (``otoscope.zoo``), and of other speech and other
networks (``elsewhere.py``), in ``benchmarks/results/guarding.jsonl``: test clips are judged as they
are and, of a backdoored model, with the trigger, each with what the model shows inside and by its
answers alone. The two statistics were chosen on models of the design half; nine sequestered clean
models were guarded before clips of one speaker were held out together.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import islice, product
from pathlib import Path

import numpy as np
from jaxtyping import Bool

import elsewhere
import otoscope as oto
from model_level import KIND, TRUSTED
from otoscope import zoo
from otoscope.cache import Cache
from otoscope.clips import Clips
from otoscope.guarding import Guard, Judged
from otoscope.metrics import wilson_interval
from otoscope.models import AudioModel, FunctionModel
from otoscope.poisoning import trigger_all
from rows import Job, Row, below, complete, read, table

HERE = Path(__file__).parent
ROWS = HERE / "results" / "guarding.jsonl"
PAGE = HERE.parent / "docs" / "guard.md"
MARK = "<!-- tables: python benchmarks/guarding.py --table -->\n"

LEVEL = 0.05
TESTED = 300
"""Test clips a model, drawn by a seed."""

FROM_ELSEWHERE = 12
"""Three models of each of its places: clean, a clap, clean."""

WAYS = {"inside": "inside and answers", "answers": "answers alone"}
SPLITS: tuple[zoo.Split, ...] = ("sequestered", "design")
AWAY: zoo.Split = "sequestered"
"""Nothing was designed on these either."""


def jobs() -> Iterator[Job]:
    """The models of the zoo's first round, those that served no design first."""
    members = zoo.plan(list(KIND), ["cnn"], 1)
    for split in SPLITS:
        yield from (asdict(member) for member in members if member.split == split)
    for job in islice(elsewhere.jobs(), FROM_ELSEWHERE):
        yield asdict(zoo.Member(**job, split=AWAY))


def run(job: Job, folder: Path, cache: Cache) -> Row:
    """Guard one model, and count its alarms."""
    mine = elsewhere.splits_of(KIND.get(job["data"], job["data"]), folder)
    model, attacks, _ = zoo.made(zoo.Member(**job), {job["data"]: mine}, cache)
    drawn = np.random.default_rng(0).permutation(len(mine.test))[:TESTED]
    test, trusted = mine.test.subset(np.sort(drawn)), mine.trusted.per_class(TRUSTED)
    row: Row = {"family": zoo.family(job["attack"]) if job["attack"] else None}
    for way, asked in (("inside", model), ("answers", _silent(model))):
        guard = oto.guard(asked, trusted, level=LEVEL, cache=cache)
        judged = _judged(guard, test)
        row["accuracy"] = float(np.mean(_right(judged, test)))
        told = {"clean": len(test), "false_alarms": int(_alarms(judged).sum())}
        told["false_alarms_right"] = int((_alarms(judged) & _right(judged, test)).sum())
        obeyed, caught = [], []
        for attack in attacks:
            clips = trigger_all(test, attack.trigger, attack.shift, job["seed"])
            heard = _judged(guard, clips)
            called = np.array([clips.classes.index(one.label) for one in heard])
            obeyed.append(attack.shift.achieved(called, clips.labels, clips.classes))
            caught.append(_alarms(heard) & obeyed[-1])
        if attacks:
            done = np.concatenate(obeyed)
            told |= {"obeyed": int(done.sum()), "caught": int(np.concatenate(caught).sum())}
            row["attack_success"] = float(done.mean())
        row[way] = told
    return row


def _silent(model: AudioModel) -> FunctionModel:
    """The same answers, and nothing of what is inside."""
    import torch

    def answers(waveforms: np.ndarray, /) -> np.ndarray:
        return np.asarray(model.logits(torch.from_numpy(waveforms)))

    return FunctionModel(answers, model.hearing)


def _judged(guard: Guard, clips: Clips) -> list[Judged]:
    return guard.judge_all(clips.waveforms(range(len(clips))))


def _alarms(judged: Sequence[Judged]) -> Bool[np.ndarray, "clips"]:
    return np.array([one.alarm for one in judged])


def _right(judged: Sequence[Judged], clips: Clips) -> Bool[np.ndarray, "clips"]:
    called = [one.label == clip.label for one, clip in zip(judged, clips, strict=True)]
    return np.array(called)


def summary(row: Row) -> str:
    """One line about a new row."""
    inside = row["inside"]
    caught = f", caught {inside['caught']} of {inside['obeyed']}" if row["attack"] else ""
    return (
        f"{row['data']} {row['attack'] or 'clean'}: {inside['false_alarms']} false alarms of "
        f"{inside['clean']}{caught}"
    )


def page() -> str:
    """docs/guard.md with its tables made from the rows."""
    return below(PAGE, MARK, tables(read(ROWS)))


def tables(rows: Sequence[Row]) -> str:
    """False alarms and what is caught, summed up, then model by model."""
    body = []
    for split, place in product(SPLITS, dict.fromkeys(_place(row) for row in rows)):
        mine = [row for row in rows if (row["split"], _place(row)) == (split, place)]
        body += [_summed(split, place, way, mine) for way in WAYS if mine]
    header = ["half", "data, network", "judged by", "models: clean / backdoored"]
    header += ["false alarms, clean models", "false alarms, backdoored models"]
    header += ["of clips that the model got right", "caught, mean over models", "worst model"]
    return "## Summary\n\n" + table(header, body) + "\n## Model by model\n\n" + _each(rows)


def _place(row: Row) -> str:
    return f"{KIND.get(row['data'], row['data'])}, {row['network']}"


def _backdoored(row: Row) -> bool:
    return row["attack"] is not None and row["attack_success"] >= zoo.SUCCESS


def _summed(split: str, place: str, way: str, rows: Sequence[Row]) -> list[str]:
    clean = [row[way] for row in rows if row["attack"] is None]
    bad = [row for row in rows if _backdoored(row)]
    share = [row[way]["caught"] / row[way]["obeyed"] for row in bad]
    worst = bad[int(np.argmin(share))] if bad else None
    right = sum(row[way]["false_alarms_right"] for row in rows)
    heard_right = sum(row["accuracy"] * row[way]["clean"] for row in rows)
    return [
        split,
        place,
        WAYS[way],
        f"{len(clean)} / {len(bad)}",
        _rate(clean),
        _rate([row[way] for row in bad]),
        f"{right / heard_right:.3f}",
        f"{np.mean(share):.3f}" if bad else "–",
        f"{min(share):.2f} ({worst['attack']})" if worst else "–",
    ]


def _rate(told: Sequence[Row]) -> str:
    """The share of clips that alarm, with an interval over clips, and the extremes over models."""
    if not told:
        return "–"
    alarms, clips = (sum(one[name] for one in told) for name in ("false_alarms", "clean"))
    low, high = wilson_interval(alarms, clips)
    each = [one["false_alarms"] / one["clean"] for one in told]
    return (
        f"{alarms / clips:.3f} [{low:.3f}, {high:.3f}], by model {min(each):.2f} to {max(each):.2f}"
    )


def _each(rows: Sequence[Row]) -> str:
    body = []
    for row in rows:
        line = [row["split"], _place(row), row["attack"] or "clean", str(row["seed"])]
        success = row.get("attack_success")
        line += [f"{row['accuracy']:.3f}", "–" if success is None else f"{success:.2f}"]
        for way in WAYS:
            told = row[way]
            line.append(f"{told['false_alarms'] / told['clean']:.3f}")
            obeyed = told.get("obeyed", 0)
            line.append(f"{told['caught'] / obeyed:.3f}" if obeyed else "–")
        body.append(line)
    header = ["half", "data, network", "attack", "seed", "accuracy", "attack success"]
    header += ["false alarms", "caught", "false alarms, answers alone", "caught, answers alone"]
    return table(header, body)


if __name__ == "__main__":
    complete(__doc__, ROWS, jobs, run, summary, PAGE, page)
