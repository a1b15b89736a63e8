"""Pictures of sound: two recordings compared, a recovered trigger, what flagged clips share."""

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle

from otoscope.audio import decibels
from otoscope.evidence import Recovered
from otoscope.report.canvas import (
    CHANGE,
    INK,
    LOUDNESS,
    ODD,
    RANGE_DB,
    USUAL,
    canvas,
    dress,
    printable,
)
from otoscope.report.groups import GroupDifference
from otoscope.report.spectra import (
    Region,
    Spectrogram,
    changed_cells,
    find_region,
    require_pair,
    signed_db,
    spectrogram,
)

COLUMNS = 1500
"""A waveform of more samples than twice this is drawn as its lowest and highest per column."""


def compare(
    clean: Float[np.ndarray, "time"],
    other: Float[np.ndarray, "time"],
    sample_rate: int,
    *,
    names: tuple[str, str] = ("clean", "poisoned"),
    title: str = "",
) -> Figure:
    """Two recordings over each other, their difference on its own scale, and three spectrograms.

    The box is ``find_region``'s. Raises ``AudioError`` unless both are shaped (time,) alike.
    """
    require_pair(clean, other)
    figure = canvas(9.0, 6.6)
    if title:
        figure.suptitle(printable(title, 110), fontsize=9.5, color=INK, x=0.01, ha="left")
    _compare(figure, clean, other, sample_rate, names)
    return figure


def sound(samples: Float[np.ndarray, "time"], sample_rate: int, title: str) -> Figure:
    """One recording: its waveform and its spectrogram."""
    figure = canvas(9.0, 4.4)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[1, 2])
    _wave(above, samples, sample_rate, ODD, "")
    dress(above, printable(title, 110))
    picture = spectrogram(samples, sample_rate)
    image = _spectrum(below, picture, float(picture.decibels.max()))
    dress(below, "", "seconds", "kHz")
    _scale(figure, image, [above, below], "dB re full-scale sine")
    return figure


def recovered(found: Recovered) -> Figure:
    """A recovered trigger: where its mask acts, and a clip before and after."""
    figure = canvas(9.0, 8.4)
    top, rest = figure.subfigures(2, 1, squeeze=False, height_ratios=[1, 3.4])[:, 0]
    axes = top.subplots()
    image = axes.imshow(
        found.mask, cmap=LOUDNESS, vmin=0, vmax=max(float(found.mask.max()), 0.01),
        origin="lower", aspect="auto",
        extent=(0, len(found.before) / found.sample_rate, 0, len(found.mask)),
    )  # fmt: skip
    dress(axes, "mask: where the recovered trigger acts (of 1)", "seconds", "mel band")
    _scale(top, image, [axes], "")
    _compare(rest, found.before, found.after, found.sample_rate, ("before", "after"))
    return figure


def group_difference(groups: GroupDifference) -> Figure:
    """Mean mel spectrogram of the flagged clips, of the others, and their difference."""
    figure = canvas(9.0, 3.3)
    panels = figure.subplots(1, 3, sharey=True)
    top = float(max(groups.flagged.max(), groups.reference.max()))
    means = (groups.flagged, groups.reference)
    bands, frames = groups.z.shape
    extent = (-groups.hop_s / 2, (frames - 0.5) * groups.hop_s, -0.5, bands - 0.5)
    for axes, mean, name, count in zip(
        panels, means, ("flagged", "the others"), groups.count, strict=False
    ):
        image = axes.imshow(
            mean, cmap=LOUDNESS, vmin=top - 50, vmax=top, origin="lower", aspect="auto",
            extent=extent,
        )  # fmt: skip
        dress(axes, f"{name}, mean of {count}", "seconds")
    _scale(figure, image, list(panels[:2]), "dB")
    limit = max(float(np.abs(groups.z).max()), 1.0)
    odd = panels[2].imshow(
        groups.z, cmap=CHANGE, vmin=-limit, vmax=limit, origin="lower", aspect="auto",
        extent=extent,
    )  # fmt: skip
    dress(panels[2], "difference", "seconds")
    _scale(figure, odd, [panels[2]], "robust z")
    region = groups.region
    low, high = np.interp([region.low_hz, region.high_hz], groups.centres_hz, np.arange(bands))
    _box(panels[2], region.start_s, region.stop_s, float(low), float(high))
    ticks = [khz for khz in (0.25, 0.5, 1, 2, 4, 8, 16) if khz * 1000 < groups.centres_hz[-1]]
    places = np.interp(np.array(ticks) * 1000, groups.centres_hz, np.arange(bands))
    panels[0].set_yticks(places, [f"{khz:g}" for khz in ticks])
    panels[0].set_ylabel("kHz (mel scale)", fontsize=9, color=INK)
    return figure


def _compare(
    figure: Figure | SubFigure,
    clean: np.ndarray,
    other: np.ndarray,
    sample_rate: int,
    names: tuple[str, str],
) -> None:
    first, second = (printable(name) for name in names)
    region = find_region(clean, other, sample_rate)
    grid = figure.add_gridspec(3, 3, height_ratios=[1.2, 0.8, 2])
    waves = figure.add_subplot(grid[0, :])
    change = np.asarray(other, dtype=np.float64) - clean
    _wave(waves, other, sample_rate, ODD, second)
    _wave(waves, clean, sample_rate, USUAL, first)
    peak = max(float(np.abs(clean).max()), float(np.abs(other).max()), 1e-4)
    waves.set_ylim(-1.05 * peak, 1.05 * peak)
    dress(waves, f"waveform of {second}, with {first} over it", y="amplitude")
    waves.tick_params(labelbottom=False)
    waves.legend(fontsize=8.5, frameon=False, ncols=2, loc="lower right", bbox_to_anchor=(1, 1))
    below = figure.add_subplot(grid[1, :], sharex=waves)
    _difference(below, change, peak, sample_rate, f"{second} − {first}")
    panels = [figure.add_subplot(grid[2, column]) for column in range(3)]
    _spectrograms(figure, panels, [clean, other, change], sample_rate, [first, second], region)


def _difference(axes: Axes, change: np.ndarray, peak: float, sample_rate: int, name: str) -> None:
    """The difference blown up to the height of the clip; the title tells by how much."""
    loudest = float(np.abs(change).max())
    gain = peak / loudest if loudest else 1.0
    _wave(axes, change * gain, sample_rate, INK, "")
    axes.set_ylim(-1.05 * peak, 1.05 * peak)
    told = f"drawn {signed_db(decibels(gain))}" if loudest else "none"
    dress(axes, f"difference ({name}), {told}", "seconds")
    axes.tick_params(labelleft=False, length=2)


def _spectrograms(
    figure: Figure | SubFigure,
    panels: list[Axes],
    sounds: list[np.ndarray],
    sample_rate: int,
    names: list[str],
    region: Region | None,
) -> None:
    pictures = [spectrogram(sound, sample_rate) for sound in sounds]
    top = max(float(picture.decibels.max()) for picture in pictures[:2])
    for axes, picture, name in zip(panels, pictures, [*names, "difference"], strict=True):
        image = _spectrum(axes, picture, top)
        dress(axes, name, "seconds", "kHz" if axes is panels[0] else "")
        axes.set_xlim(0, len(sounds[0]) / sample_rate)
        axes.set_ylim(0, sample_rate / 2000)
        if axes is not panels[0]:
            axes.tick_params(labelleft=False)
    _scale(figure, image, panels, "dB re full scale")
    if region is None:
        panels[2].set_title("no difference", loc="left", fontsize=10, color=INK)
        return
    for axes in panels[1:]:
        _box(axes, region.start_s, region.stop_s, region.low_hz / 1000, region.high_hz / 1000)
    change = pictures[2]
    left, right, low, high = change.extent
    panels[2].contour(
        changed_cells(change.power), levels=[0.5], colors=[ODD], linewidths=0.5, alpha=0.6,
        extent=(left, right, low, high), origin="lower",
    )  # fmt: skip
    told = f"{region}, {signed_db(region.level_db)} re clip"
    figure.supxlabel(f"marked: {told}", fontsize=10, color=ODD)


def _spectrum(axes: Axes, picture: Spectrogram, top: float) -> AxesImage:
    return axes.imshow(
        picture.decibels, cmap=LOUDNESS, vmin=top - RANGE_DB, vmax=top, origin="lower",
        aspect="auto", extent=picture.extent,
    )  # fmt: skip


def _scale(figure: Figure | SubFigure, image: AxesImage, panels: list[Axes], label: str) -> None:
    bar = figure.colorbar(image, ax=panels, pad=0.01, aspect=30, fraction=0.05)
    bar.set_label(label, fontsize=8.5, color=INK)
    bar.ax.tick_params(labelsize=8, colors=INK, width=0.6)
    bar.outline.set_visible(False)


def _box(axes: Axes, left: float, right: float, low: float, high: float) -> None:
    """A frame a little outside a region, so that it does not cover what is thin."""
    (x0, x1), (y0, y1) = axes.get_xlim(), axes.get_ylim()
    x, y = 0.015 * (x1 - x0), 0.025 * (y1 - y0)
    frame = Rectangle(
        (left - x, low - y), right - left + 2 * x, high - low + 2 * y, fill=False, edgecolor=ODD,
        linewidth=1.2, clip_on=False,
    )  # fmt: skip
    axes.add_patch(frame)


def _wave(axes: Axes, samples: np.ndarray, sample_rate: int, colour: str, name: str) -> None:
    """A waveform; a long one as the band between its lowest and highest sample per column."""
    count = len(samples)
    if count <= 2 * COLUMNS:
        seconds = np.arange(count) / sample_rate
        axes.plot(seconds, samples, color=colour, linewidth=0.7, label=name)
    else:
        starts = np.arange(COLUMNS) * count // COLUMNS
        low, high = (f.reduceat(samples, starts) for f in (np.minimum, np.maximum))
        axes.fill_between(starts / sample_rate, low, high, color=colour, lw=0.4, label=name)
    axes.set_xlim(0, count / sample_rate)
