"""Every component has a page that names its fields; every link leads somewhere."""

import dataclasses
import re
from pathlib import Path

import pytest

from otoscope.catalogue import CATALOGUE
from otoscope.detect import DETECTORS
from otoscope.networks import NETWORKS
from otoscope.report.gallery import marks
from otoscope.triggers import TRIGGERS

ROOT = Path(__file__).resolve().parents[1]
PAGES = [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]


@pytest.mark.parametrize("name", sorted(DETECTORS))
def test_every_detector_has_a_page_that_names_its_fields(name: str) -> None:
    page = (ROOT / "docs" / "detectors" / f"{name}.md").read_text()
    for field in dataclasses.fields(DETECTORS[name]):
        assert f"`{field.name}`" in page
        told = field.default if isinstance(field.default, str) else f"{field.default:g}"
        assert told in page


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_every_network_is_described(name: str) -> None:
    assert f"| `{name}` |" in (ROOT / "docs" / "networks.md").read_text()


def test_the_gallery_shows_every_trigger_of_the_catalogue_and_no_path() -> None:
    page = (ROOT / "docs" / "gallery.html").read_text()
    assert page.count('<section id="attack-') == len({entry.trigger for entry in CATALOGUE})
    assert "safetensors" not in page


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)\)", page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


def test_every_page_is_in_an_index() -> None:
    """Its folder's own, where it has one."""
    docs = ROOT / "docs"
    for page in docs.rglob("*.md"):
        near = page.parent / "README.md"
        index = near if near.exists() and page != near else docs / "README.md"
        if page != docs / "README.md":
            assert f"({page.relative_to(index.parent).as_posix()})" in index.read_text(), page


@pytest.mark.parametrize("name", sorted(TRIGGERS))
def test_the_index_of_triggers_tells_their_taxonomy(name: str) -> None:
    index = (ROOT / "docs" / "triggers" / "README.md").read_text()
    (row,) = (line for line in index.splitlines() if line.startswith(f"| [`{name}`]({name}.md) |"))
    assert ", ".join(marks(TRIGGERS[name]())) in row
