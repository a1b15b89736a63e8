"""Published tables are what the rows say; the README's example runs; the demo does its job."""

import json
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))


def test_the_results_page_is_what_its_rows_say() -> None:
    import main_job

    rows = main_job.rows()
    wanted = {(j["trigger"], j["rate"], j["seed"]) for j in main_job.jobs()}
    assert {(r["trigger"], r["rate"], r["seed"]) for r in rows} == wanted
    assert (ROOT / "docs" / "results.md").read_text() == main_job.page(rows)


def test_the_attacks_page_is_what_its_rows_say() -> None:
    import catalogue

    assert catalogue.PAGE.read_text() == catalogue.page()


def test_the_cleaning_page_is_what_its_rows_say() -> None:
    import cleaning

    assert cleaning.PAGE.read_text() == cleaning.page()


def test_the_page_of_tests_on_models_is_what_its_rows_say() -> None:
    import model_level

    assert model_level.PAGE.read_text() == model_level.page()


def test_peers_judge_the_same_clips() -> None:
    import main_job
    from toys import activations_with

    planted = activations_with(poison=12, distance=60)  # its 2-means has no seed
    assert planted.view.seen is not None
    assert planted.view.clips is not None
    assert planted.view.seen.features is not None
    told = main_job.peers(
        planted.view.seen.features, planted.view.clips.labels, planted.truth, rate=0.02
    )
    assert told["art activation clustering"]["flagged_poisoned"] == 1.0
    assert 0 <= told["art spectral signatures"]["flagged_clean"] < 0.1


def test_the_demo_poisons_finds_and_repairs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from otoscope import demo
    from otoscope.cache import Cache

    said: list[str] = []
    verdict = demo.run(tmp_path / "out", 0, Cache(tmp_path / "cache"), said.append)
    assert verdict.targets == [demo.TARGET]
    repaired = re.search(r"clips, ([\d.]+)% of triggered clips obey", said[-1])
    assert repaired is not None
    assert float(repaired[1]) < 10
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"audit.html", "audit.json", "backdoored.safetensors", "repaired.safetensors"} <= names
    assert json.loads((tmp_path / "out" / "audit.json").read_text())["verdict"] == "BACKDOORED"


def test_the_readme_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    example = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert example is not None
    monkeypatch.chdir(tmp_path)
    exec(compile(example[1], "README.md", "exec"), {})
    assert 'BACKDOORED, target "yes"' in capsys.readouterr().out
    assert (tmp_path / "audit.html").stat().st_size > 10_000
