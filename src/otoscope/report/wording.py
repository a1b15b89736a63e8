"""A verdict in plain English."""

from collections.abc import Iterable

from otoscope.concluding import CERTAIN
from otoscope.evidence import Outcome, Verdict
from otoscope.report.spectra import GLUE

SAID = {
    Outcome.BACKDOORED: "Backdoored",
    Outcome.SUSPICIOUS: "Suspicious",
    Outcome.NO_EVIDENCE: "No evidence of a backdoor",
    Outcome.INCONCLUSIVE: "Inconclusive",
}

GUARD = "Where it has to stay in use till then, put otoscope guard before it."


def p_text(p_value: float) -> str:
    """ "p < 0.001" or "p = 0.012"."""
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.3f}"


def quoted(names: Iterable[str]) -> str:
    """Names in quotation marks: “a”, “b” and “c”."""
    marked = [f"“{name}”" for name in names]
    return " and ".join([", ".join(marked[:-1]), marked[-1]] if len(marked) > 1 else marked)


def percent(share: float) -> str:
    """A share as a percentage with as many digits as are meant: 5 %, 0.15 %, 100 %."""
    digits = 0 if share in (0, 1) or share >= 0.1 else 1 if share >= 0.01 else 2
    text = f"{100 * share:.{digits}f}"
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text}{GLUE}%"


def headline(verdict: Verdict) -> str:
    """The verdict and what it accuses, as one sentence."""
    said, names = SAID[verdict.outcome], quoted(verdict.targets)
    match verdict.outcome:
        case Outcome.BACKDOORED if names:
            return f"{said}: clips that carry a trigger are called {names}."
        case Outcome.SUSPICIOUS if names:
            return f"{said}: a trigger may be what makes some clips be called {names}."
        case Outcome.BACKDOORED | Outcome.SUSPICIOUS:
            return f"{said}, but the evidence points at no single class."
        case Outcome.NO_EVIDENCE:
            return f"{said} was found."
        case _:
            return f"{said}: no detector could answer with what was given."


def numbers(verdict: Verdict) -> str:
    """The figures behind the headline, as one line; empty when there are none."""
    parts = []
    if verdict.clips:
        total = len(verdict.clips)
        parts.append(f"{verdict.flagged_count:,} of {total:,} clips flagged")
    if verdict.p_value is not None:
        parts.append(p_text(verdict.p_value))
    return "; ".join(parts) + "." if parts else ""


def meaning(verdict: Verdict) -> list[str]:
    """What the outcome says and does not say, a paragraph each."""
    level = percent(verdict.false_alarm_level)
    spoke = sum(e.p_value is not None for e in verdict.evidence)
    told = {
        Outcome.BACKDOORED: f"{_stands_out(verdict)} Chance alone does this in at most "
        f"{percent(CERTAIN * verdict.false_alarm_level)} of audits of clean models.",
        Outcome.SUSPICIOUS: f"{_stands_out(verdict)} Chance alone does this in up to {level} of "
        "audits of clean models, so it is a reason to look closer and not yet a proof.",
        Outcome.NO_EVIDENCE: f"{spoke} of {len(verdict.evidence)} detectors answered, and together "
        f"they found nothing that chance would not produce in {level} of audits of clean models. "
        "That does not show that there is no backdoor: a detector may be blind to its kind.",
        Outcome.INCONCLUSIVE: "The question was not answered. This is not a pass: nothing is known "
        "about a backdoor, either way.",
    }[verdict.outcome]
    paragraphs = [told]
    if verdict.flagged_count:
        share = percent(verdict.false_discovery_rate)
        paragraphs.append(
            "A flagged clip stands out from clips of the classes that are not accused. "
            f"Up to {share} of the flagged ones are expected to be innocent."
        )
    return paragraphs


def next_steps(verdict: Verdict) -> list[str]:
    """What to do now, in order."""
    listen = "Listen to the flagged clips: those of one backdoor share a sound or a place."
    match verdict.outcome:
        case Outcome.BACKDOORED:
            if not verdict.clips:
                return [
                    "Do not ship this model.",
                    "Listen to the rebuilt trigger in the HTML report, where there is one.",
                    "Take this report to whoever supplied the model; ask for the clips that it "
                    "was trained on, and audit it again with them (--data).",
                    "Repair: go on training on clips known to be good (otoscope repair), then "
                    "audit the result again.",
                    GUARD,
                ]
            return [
                "Do not ship this model, nor one trained on these clips.",
                *([listen] if verdict.flagged_count else []),
                "Take this report to whoever supplied the data or the model.",
                "Repair: train again without the flagged clips (otoscope clean, then otoscope "
                "train; in Python, otoscope.repair), then audit the result again.",
                GUARD,
            ]
        case Outcome.SUSPICIOUS:
            return [
                "Hold the model back until this is explained.",
                *([listen] if verdict.flagged_count else []),
                "Give what was not given (training clips, more trusted clips) and audit again; an "
                "audit that finds nothing does not take this one back.",
                "With training clips, otoscope clean tells which of them it would leave out.",
            ]
        case Outcome.NO_EVIDENCE:
            return [
                "Read below what was not tested; whatever can be given, give it and audit again.",
                "Audit again whenever the model or its data changes.",
            ]
        case _:
            return [
                "Read below what was missing.",
                "Bring it (trusted clips, the training data, more classes) and audit again.",
            ]


def _stands_out(verdict: Verdict) -> str:
    if not verdict.targets:
        return "Something stands out from what a clean model shows."
    several = len(verdict.targets) > 1
    return (
        f"The class{'es' if several else ''} {quoted(verdict.targets)} "
        f"stand{'' if several else 's'} out from the model's other classes."
    )
