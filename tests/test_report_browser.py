"""The page in a real browser: nothing is refused, nothing is asked of anybody."""

import io
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from otoscope import report
from reports import full_verdict, poisoned

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = pytest.mark.skipif(
    BROWSER is None and os.environ.get("CI") != "true",
    reason="chromium is not installed; apt-get install chromium",
)


def browse(page: Path, profile: Path, *options: str) -> tuple[bytes, list[str]]:
    """What the browser printed, and its console's lines."""
    assert BROWSER, "chromium must be installed where CI=true"
    done = subprocess.run(
        [
            BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--disable-dev-shm-usage", "--host-resolver-rules=MAP * ~NOTFOUND",
            "--enable-logging=stderr", f"--user-data-dir={profile}", *options, page.as_uri(),
        ],
        capture_output=True, check=True, timeout=120,
    )  # fmt: skip
    told = done.stderr.decode(errors="replace").splitlines()
    return done.stdout, [line for line in told if "CONSOLE" in line]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    bad = poisoned()
    out = tmp_path_factory.mktemp("browser") / "audit.html"
    return report.html(full_verdict(bad), out, truth=bad)


def test_the_page_loads_and_nothing_is_refused(page: Path, tmp_path: Path) -> None:
    dom, console = browse(page, tmp_path, "--dump-dom")
    assert "called “b”.</h1>" in dom.decode()
    assert console == []


def test_the_policy_refuses_what_a_stranger_would_add(page: Path, tmp_path: Path) -> None:
    """The control of the test above: a script and an outside picture are refused, and seen."""
    added = "<img src='https://example.org/x.png'><script>document.title='owned'</script></main>"
    spoiled = tmp_path / "spoiled.html"
    spoiled.write_text(page.read_text(encoding="utf-8").replace("</main>", added), "utf-8")
    dom, console = browse(spoiled, tmp_path, "--dump-dom")
    assert "<title>owned" not in dom.decode()
    assert len([line for line in console if "Content Security Policy" in line]) >= 2


@pytest.mark.parametrize("scheme", [0, 1], ids=["dark", "light"])
def test_the_page_is_drawn_in_dark_and_in_light(page: Path, tmp_path: Path, scheme: int) -> None:
    shot = tmp_path / "page.png"
    options = [f"--screenshot={shot}", "--window-size=800,1200"]
    browse(page, tmp_path, *options, f"--blink-settings=preferredColorScheme={scheme}")
    brightness = imread(io.BytesIO(shot.read_bytes()))[..., :3].mean(axis=-1)
    assert (np.median(brightness) > 0.5) == (scheme == 1)
    assert brightness.std() > 0.02
