"""The gallery shows each trigger once, with what it does to a clip that can be heard."""

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import soundfile

from otoscope.catalogue import CATALOGUE, Entry
from otoscope.datasets import Splits
from otoscope.gallery import gallery
from otoscope.report.gallery import marks
from otoscope.triggers import Echo, Stack
from toys import RATE_HZ, tones

ENTRIES: list[Entry] = [
    next(e for e in CATALOGUE if e.name == name)
    for name in ("tone burst", "echo", "dynamic stacking", "TaCT")
]


@pytest.fixture(scope="module")
def splits() -> Splits:
    return Splits(*(tones(count, seed) for seed, count in enumerate((3, 1, 3, 1))))


@pytest.fixture(scope="module")
def page(splits: Splits, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("gallery") / "gallery.html"
    return gallery(path, splits, entries=ENTRIES, train=False).read_text()


def test_each_trigger_has_one_card(page: str) -> None:
    assert page.count('<section id="attack-') == 3, "tone burst and TaCT share their trigger"
    for text in ("tone burst", "echo", "dynamic stacking", "delay_s", "1908.00686"):
        assert text in page


def test_the_sounds_are_the_clip_with_the_trigger(page: str, splits: Splits) -> None:
    sounds = [
        soundfile.read(io.BytesIO(base64.b64decode(found)))
        for found in re.findall(r"data:audio/flac;base64,([^\"]+)", page)
    ]
    assert len(sounds) == 1 + 2 * 3
    assert {rate for _, rate in sounds} == {RATE_HZ}
    before, after = sounds[0][0], sounds[1][0]
    np.testing.assert_allclose(before, splits.test.waveform(0), atol=1e-4)
    assert np.abs(after - before).max() > 1e-3


def test_the_page_is_well_formed_and_asks_for_nothing(page: str) -> None:
    class Reader(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.open: list[str] = []
            self.sources: list[str] = []

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            if tag not in ("meta", "img", "link", "br"):
                self.open.append(tag)
            self.sources += [v or "" for k, v in attrs if k in ("src", "href")]

        def handle_endtag(self, tag: str) -> None:
            assert self.open.pop() == tag

    reader = Reader()
    reader.feed(page)
    assert not reader.open
    assert all(source.startswith(("data:", "#")) for source in reader.sources)


def test_taxonomy_in_words() -> None:
    assert marks(Echo())[:3] == ["global", "transform", "audible"]
    assert "fixed" in marks(Stack())


def test_with_training_the_risks_are_on_the_page(splits: Splits, tmp_path: Path) -> None:
    big = Splits(tones(12, 0), splits.validation, splits.test, splits.trusted)
    page = gallery(tmp_path / "g.html", big, entries=ENTRIES[:1]).read_text()
    assert re.search(r"all-to-one:target=[a-f]</td>\s*<td class=\"n\">5", page)
