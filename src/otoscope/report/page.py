"""The report as one HTML file that needs nothing beside itself."""

from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from otoscope.cache import write_atomically
from otoscope.errors import SpecError
from otoscope.evidence import Verdict, readable
from otoscope.poisoning import Poisoned
from otoscope.registry import require
from otoscope.report import sections, wording
from otoscope.report.against import AgainstTruth, against_truth
from otoscope.report.truth import Truth

MOST_SKIPPED = 200


def html(
    verdict: Verdict,
    path: str | Path,
    *,
    truth: Truth | Poisoned | None = None,
    top: int = 12,
) -> Path:
    """Write the report of an audit to ``path``, whole or not at all; returns the path.

    The page loads in any browser from disk, without a network: pictures and sounds are inside it.
    The ``top`` most suspicious of the flagged clips can be played; the others are listed. With
    ``truth``, a section holds the findings against it. A verdict read from JSON has no exhibits:
    the page says so and shows the numbers.

    Raises ``SpecError`` for a negative ``top`` and for exhibits that are not of this verdict's
    clips.
    """
    require(top >= 0, f"top must be 0 or more clips, got {top}")
    _require_own_exhibits(verdict)
    against = against_truth(verdict, Truth.of(truth)) if truth is not None else None
    page = environment().get_template("report.html.jinja").render(_content(verdict, against, top))
    # a name that is not Unicode must not cost the report
    write_atomically(Path(path), page.encode("utf-8", "replace"))
    return Path(path)


def environment() -> Environment:
    """Labels, paths and class names come from strangers: everything is escaped."""
    environment = Environment(
        loader=PackageLoader("otoscope.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters["p_text"] = wording.p_text
    environment.filters["percent"] = wording.percent
    environment.filters["quoted"] = wording.quoted
    return environment


def _content(verdict: Verdict, against: AgainstTruth | None, top: int) -> dict[str, object]:
    exhibits = verdict.exhibits
    shared, not_shared = sections.shared(verdict)
    recovered = sections.recovered(exhibits)
    poisoned = against.poisoned if against and against.poisoned.any() else None
    return {
        "verdict": verdict,
        "said": wording.SAID[verdict.outcome],
        "headline": wording.headline(verdict),
        "numbers": wording.numbers(verdict),
        "meaning": wording.meaning(verdict),
        "next_steps": wording.next_steps(verdict),
        "bare": exhibits.clips is None and exhibits.map is None and not exhibits.recovered,
        "charts": sections.detector_charts(verdict.evidence),
        "flagged": sections.flagged(verdict, top),
        "shared": shared,
        "not_shared": not_shared,
        "histogram": sections.histogram(verdict),
        "map": sections.activation_map(verdict, poisoned),
        "recovered": recovered,
        "recovered_unheard": len(exhibits.recovered) - len(recovered),
        "against": against,
        "skipped": verdict.skipped[:MOST_SKIPPED],
        "skipped_unlisted": max(0, len(verdict.skipped) - MOST_SKIPPED),
    }


def _require_own_exhibits(verdict: Verdict) -> None:
    """Exhibits of other clips would put the wrong sound beside a finding."""
    clips, plane = verdict.exhibits.clips, verdict.exhibits.map
    told = [(finding.path, finding.start_s) for finding in verdict.clips]
    shown = [clip.recording for clip in clips.items] if clips is not None else []
    if clips is not None and [(readable(path), start_s) for path, _, start_s in shown] != told:
        raise SpecError(
            f"the exhibits hold {len(clips)} clips that are not the verdict's {len(told)}; "
            "give the clips in the order of verdict.clips"
        )
    if plane is not None and plane.shape != (len(told), 2):
        raise SpecError(f"expected a map shaped ({len(told)}, 2), got {plane.shape}")
