"""Charts of scores and of the activation plane."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.figure import Figure

from otoscope.evidence import ClipFinding, Evidence
from otoscope.report.canvas import FAINT, INK, ODD, USUAL, canvas, dress, printable

WIDTH_IN = 5.4
MOST_CLASSES = 30
HIGHEST_SCORE = 16.0
"""Scores above this (p below 1e-16, or 0) are drawn here."""


def activation_map(
    points: Float[np.ndarray, "clips 2"],
    labels: Sequence[str],
    flagged: Bool[np.ndarray, "clips"],
    target: str | None,
    truth: Bool[np.ndarray, "clips"] | None = None,
) -> Figure:
    """Clips in the plane of their activations, coloured by finding.

    With ``truth``, a ring surrounds every clip that really is poisoned.
    """
    figure = canvas(WIDTH_IN, 4.8)
    axes = figure.subplots()
    own = np.array([label == target for label in labels], dtype=bool)
    groups: list[tuple[str, np.ndarray, str, str, float]] = [
        ("other classes", ~own & ~flagged, FAINT, "o", 10),
        (f"“{printable(target or '')}”, not flagged", own & ~flagged, USUAL, "s", 12),
        ("flagged", flagged, ODD, "^", 22),
    ]
    for name, which, colour, marker, size in groups:
        if which.any():
            axes.scatter(
                points[which, 0], points[which, 1], s=size, c=colour, marker=marker, linewidths=0,
                label=f"{name} ({which.sum():,})",
            )  # fmt: skip
    if truth is not None and truth.any():
        axes.scatter(
            points[truth, 0], points[truth, 1], s=60, facecolors="none", edgecolors=INK,
            linewidths=0.6, label=f"truly poisoned ({truth.sum():,})",
        )  # fmt: skip
    dress(axes, x="first direction of the activations", y="second direction")
    axes.tick_params(labelbottom=False, labelleft=False, length=0)
    figure.legend(fontsize=8.5, frameon=False, labelcolor=INK, ncols=2, loc="outside upper left")
    return figure


def class_bars(evidence: Evidence) -> Figure:
    """One detector's score of each class against the median class, with p-values.

    The class it points at stands out; of many classes, the ``MOST_CLASSES`` highest are drawn.
    """
    ranked = sorted(evidence.class_scores, key=lambda name: -evidence.class_scores[name])
    shown = ranked[:MOST_CLASSES][::-1]
    middle = float(np.median(list(evidence.class_scores.values()))) if ranked else 0.0
    figure = canvas(WIDTH_IN, 0.9 + 0.22 * max(len(shown), 2))
    axes = figure.subplots()
    for row, name in enumerate(shown):
        score, accused = evidence.class_scores[name], name == evidence.target
        colour = ODD if accused else USUAL
        axes.plot([middle, score], [row, row], color=colour, linewidth=2, solid_capstyle="butt")
        axes.plot(score, row, "D" if accused else "o", color=colour, markersize=6)
        p_value = evidence.class_p_values.get(name)
        if p_value is not None:
            axes.annotate(
                f"p = {p_value:.2g}", (1, row), xycoords=("axes fraction", "data"),
                xytext=(6, 0), textcoords="offset points", va="center", fontsize=8.5,
                color=ODD if accused else INK, annotation_clip=False,
            )  # fmt: skip
    axes.axvline(middle, color=INK, linewidth=0.6)
    left = (
        f" ({len(ranked) - len(shown):,} lower ones left out)" if len(ranked) > len(shown) else ""
    )
    dress(axes, x=f"score; the line is the median class{left}")
    axes.set_yticks(range(len(shown)))
    axes.set_yticklabels([printable(name) for name in shown])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(-0.7, max(len(shown), 1) - 0.3)
    axes.margins(x=0.06)
    return figure


def score_histogram(findings: Sequence[ClipFinding]) -> Figure:
    """How many clips have which score (minus log10 of p), flagged ones apart."""
    figure = canvas(WIDTH_IN, 2.8)
    axes = figure.subplots()
    scores = np.clip([f.score for f in findings], 0, HIGHEST_SCORE)
    flagged = np.array([f.flagged for f in findings], dtype=bool)
    edges = np.linspace(0, max(1.0, float(scores.max(initial=0))), 41)
    axes.hist(
        [scores[~flagged], scores[flagged]],
        bins=edges.tolist(),
        stacked=True,
        color=[USUAL, ODD],
        label=[f"not flagged ({(~flagged).sum():,})", f"flagged ({flagged.sum():,})"],
    )
    axes.set_yscale("log")
    axes.set_ylim(0.7, None)
    dress(axes, x="score: −log10 of the clip's p-value", y="clips")
    axes.legend(fontsize=8.5, frameon=False, labelcolor=INK)
    return figure
