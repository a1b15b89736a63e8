"""What all figures share: colours, fonts, axes, and how they become PNG.

Figures are drawn by ``matplotlib.figure.Figure`` on the Agg canvas, never by pyplot: there is no
global state. Colours are of Okabe and Ito's palette, told apart by colour-blind readers. White
means nothing everywhere, so that a page can invert the pictures for dark mode.
"""

import io
import warnings

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.image import imsave

from otoscope.report.spectra import Spectrogram

INK = "#1f2933"
FAINT = "#b8c0c8"
USUAL = "#0072B2"
ODD = "#D55E00"
DPI = 110
RANGE_DB = 80.0

LOUDNESS = LinearSegmentedColormap.from_list(
    "loudness", ["#ffffff", "#d9e4f0", "#8fb0d3", "#3f6fa8", "#173a66", "#0a1a30"]
)
CHANGE = LinearSegmentedColormap.from_list("change", ["#003f66", USUAL, "#ffffff", ODD, "#7a3600"])


def canvas(width_in: float, height_in: float) -> Figure:
    """An empty figure, laid out so that nothing overlaps."""
    figure = Figure(figsize=(width_in, height_in), dpi=DPI, layout="constrained", facecolor="w")
    FigureCanvasAgg(figure)
    return figure


def dress(axes: Axes, title: str = "", x: str = "", y: str = "") -> None:
    """Title at the left, thin axes, small readable labels."""
    axes.set_title(title, loc="left", fontsize=10, color=INK)
    axes.set_xlabel(x, fontsize=9, color=INK)
    axes.set_ylabel(y, fontsize=9, color=INK)
    axes.tick_params(labelsize=8.5, colors=INK, width=0.6)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_linewidth(0.6)
        spine.set_color(INK)


def printable(text: str, longest: int = 24) -> str:
    """Untrusted text for a picture: one line, no control characters, shortened in its middle.

    Dollar signs are escaped: matplotlib reads what stands between two of them as mathematics.
    """
    line = "".join(c if c.isprintable() else " " for c in text)
    if len(line) > longest:
        half = (longest - 1) // 2
        line = f"{line[: longest - 1 - half]}…{line[-half:]}"
    return line.replace("$", r"\$")


def png(figure: Figure) -> bytes:
    """The figure as PNG.

    A letter that the font lacks becomes a box; the text around a picture says it again.
    """
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(stream, format="png", dpi=DPI)
    return stream.getvalue()


def thumbnail(picture: Spectrogram) -> bytes:
    """A bare spectrogram as a small PNG: no axes, the lowest frequency at the bottom."""
    levels = _shrunk(picture.decibels, rows=96, columns=300)
    top = max(float(levels.max()), -60.0)
    stream = io.BytesIO()
    imsave(
        stream, levels, vmin=top - RANGE_DB, vmax=top, cmap=LOUDNESS, origin="lower", format="png"
    )
    return stream.getvalue()


def _shrunk(levels: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """The loudest of the cells that fall together, so that a short sound stays in the picture."""
    for axis, count in ((0, rows), (1, columns)):
        if levels.shape[axis] > count:
            starts = np.arange(count) * levels.shape[axis] // count
            levels = np.maximum.reduceat(levels, starts, axis=axis)
    return levels
