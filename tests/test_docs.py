"""Every component has a page that names its fields; every link leads somewhere."""

import dataclasses
import re
from pathlib import Path

import pytest

from otoscope.detect import DETECTORS
from otoscope.networks import NETWORKS

ROOT = Path(__file__).resolve().parents[1]
PAGES = [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]


@pytest.mark.parametrize("name", sorted(DETECTORS))
def test_every_detector_has_a_page_that_names_its_fields(name: str) -> None:
    page = (ROOT / "docs" / "detectors" / f"{name}.md").read_text()
    for field in dataclasses.fields(DETECTORS[name]):
        assert f"`{field.name}`" in page
        assert f"{field.default:g}" in page


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_every_network_is_described(name: str) -> None:
    assert f"| `{name}` |" in (ROOT / "docs" / "networks.md").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)\)", page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text()
    for page in (ROOT / "docs").rglob("*.md"):
        if page.name != "README.md":
            assert f"({page.relative_to(ROOT / 'docs').as_posix()})" in index
