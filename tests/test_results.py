"""Published tables are what the rows say; the README's example runs; the demo does its job."""

import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import otoscope as oto

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


def test_the_detectors_page_is_what_its_rows_say() -> None:
    import detectors

    assert detectors.PAGE.read_text() == detectors.page()


def test_the_red_teams_page_is_what_its_rows_say() -> None:
    import redteam

    assert redteam.PAGE.read_text() == redteam.page()


def test_the_scale_page_is_what_its_rows_say() -> None:
    import scale

    assert scale.PAGE.read_text() == scale.page()
    assert scale.PICTURE.exists()


def test_what_was_not_run_is_called_extrapolated() -> None:
    import scale_page

    stages = {"load": 1.0, "probe": 20.0, "forward": 0.0, "witnesses": 10.0, "decide": 0.0}
    rows = [
        {"how": "real", "n": n, "seconds": stages | {"forward": n * 0.0036}, "peak_bytes": 2**30}
        | {"poisoned": 9, "found": 8, "flagged_clean": 0}
        for n in (1_000, 10_000, 30_000)
    ]
    rows += [{"how": "stand-ins", "n": n, "peak_bytes": 2**29 + n * 2**10} for n in (10_000, 2**19)]
    told = scale_page.tables(rows)
    # 31 s and 3.6 ms a clip: one hour and 31 s
    assert "**extrapolated** from the rows of 10,000 to 30,000 clips" in told
    assert "31 s and 3.60 ms a clip): 1.0 processor hours" in told
    assert "**measured** with stand-ins at 524,288 clips: 1.00 GiB" in told
    assert "Memory at 1,000,000 clips, **extrapolated** from the last two sizes: 1.45 GiB" in told
    rows.append({"how": "stand-ins", "n": 1_000_000, "peak_bytes": 2**30})
    assert "Memory at 1,000,000 clips" not in scale_page.tables(rows)


def test_repeated_entries_lead_to_the_same_recordings(tmp_path: Path) -> None:
    import scale

    (tmp_path / "set" / "a").mkdir(parents=True)
    names = [f"a/{number}.wav" for number in range(3)]
    for name in names:
        (tmp_path / "set" / name).touch()
    lines = ["path,label,speaker", *(f"{name},a,s" for name in names)]
    (tmp_path / "set" / "manifest.csv").write_text("\n".join(lines) + "\n")
    listed = scale.repeated(tmp_path / "set" / "manifest.csv", 8).read_text().split()[1:]
    paths = [line.split(",")[0] for line in listed]
    assert len(set(paths)) == 8
    assert all((tmp_path / path).exists() for path in paths)
    count = [sum(path.endswith(name) for path in paths) for name in names]
    assert sorted(count) == [2, 3, 3]


def test_the_page_of_tests_on_models_is_what_its_rows_say() -> None:
    import model_level

    assert model_level.PAGE.read_text() == model_level.page()


def test_the_guards_page_is_what_its_rows_say() -> None:
    import guarding

    assert guarding.PAGE.read_text() == guarding.page()


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
    from otoscope.clips import Clips

    said: list[str] = []
    verdict = demo.run(tmp_path / "out", 0, Cache(tmp_path / "cache"), said.append)
    assert verdict.targets == [demo.TARGET]
    held = [Clips.load(tmp_path / "out" / name) for name in ("poisoned/manifest.csv", "trusted")]
    assert [len(clips) for clips in held] == [1950, 300]
    repaired = re.search(r"clips, ([\d.]+)% of triggered clips obey", said[-1])
    assert repaired is not None
    assert float(repaired[1]) < 10
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"audit.html", "audit.json", "backdoored.safetensors", "repaired.safetensors"} <= names
    assert json.loads((tmp_path / "out" / "audit.json").read_text())["verdict"] == "BACKDOORED"


def test_the_readme_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On 80 training clips of each command; the demo, which does the same, takes all 195."""
    example = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert example is not None
    whole = oto.datasets.demo(seed=0)
    fewer = replace(whole, train=whole.train.per_class(80))
    monkeypatch.setattr(oto.datasets, "demo", lambda seed: fewer)
    monkeypatch.chdir(tmp_path)
    exec(compile(example[1], "README.md", "exec"), {})
    assert 'BACKDOORED, target "yes"' in capsys.readouterr().out
    assert (tmp_path / "audit.html").stat().st_size > 10_000
