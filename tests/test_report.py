"""The page: what it says, that it is safe to open, and that it needs nothing beside itself."""

import base64
import io
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

from otoscope import report
from otoscope.clips import Clips
from otoscope.errors import ManifestError, SpecError, UnreadableAudio
from otoscope.evidence import Exhibits, Outcome, SkippedClip, Verdict
from otoscope.labels import AllToOne
from otoscope.poisoning import Poisoned, poison, save
from otoscope.report.embed import Sounds
from otoscope.report.truth import Truth
from otoscope.report.wording import headline, meaning, next_steps, percent, quoted
from otoscope.triggers import Tone
from reports import Page, full_verdict, poisoned, verdict_of
from sounds import clips_of

HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)>'


@pytest.fixture(scope="module")
def bad() -> Poisoned:
    return poisoned()


@pytest.fixture(scope="module")
def full_path(bad: Poisoned, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "audit.html"
    assert report.html(full_verdict(bad), path, truth=bad, top=5) == path
    return path


@pytest.fixture(scope="module")
def full(full_path: Path) -> Page:
    return Page(full_path.read_text(encoding="utf-8"))


def written(verdict: Verdict, folder: Path, **options: object) -> Page:
    out = report.html(verdict, folder / "audit.html", **options)  # type: ignore[arg-type]
    return Page(out.read_text(encoding="utf-8"))


def test_the_verdict_is_the_first_heading(full: Page) -> None:
    assert "Backdoored: clips that carry a trigger are called “b”." in full.text
    assert "12 of 60 clips flagged; p < 0.001." in full.text
    assert len(full.all("h1")) == 1


def test_every_part_is_there(full: Page) -> None:
    for part in (
        "What this means", "What to do next", "Evidence by detector", "Flagged clips",
        "What the flagged clips share", "The trigger, rebuilt from the model",
        "Against the truth", "What this does not cover", "Record of the audit",
        "inconclusive : there is no model", "toy-detector (components 3)", "audit 7", "d" * 64,
        "7 more flagged clips, without sound", "mute-detector: there is no model",
    ):  # fmt: skip
        assert part in full.text.replace("inconclusive:", "inconclusive :"), part


def test_the_page_needs_nothing_beside_itself(full: Page) -> None:
    addresses = [
        value
        for element in full.elements
        for name, value in element.attributes.items()
        if name in ("src", "href", "srcset", "action", "poster", "data")
    ]
    assert len(addresses) > 20
    assert all(address.startswith(("data:", "#")) for address in addresses)
    style = "".join(full.words)
    assert "url(" not in style
    assert "@import" not in style
    assert not full.all("script")
    policy = next(m["content"] for m in full.all("meta") if "http-equiv" in m)
    assert policy.startswith("default-src 'none'; img-src data:; media-src data:; style-src")
    assert "script-src" not in policy


def test_links_lead_somewhere(full: Page) -> None:
    ids = [e.attributes["id"] for e in full.elements if "id" in e.attributes]
    assert len(ids) == len(set(ids))
    for link in full.all("a"):
        assert link["href"].removeprefix("#") in ids


def test_the_page_can_be_read_without_seeing_it(full: Page) -> None:
    assert full.all("html")[0]["lang"] == "en"
    assert all(image["alt"] for image in full.all("img"))
    assert all(sound["aria-label"] for sound in full.all("audio"))
    assert all(cell["scope"] in ("col", "row") for cell in full.all("th"))
    levels = [int(e.tag[1]) for e in full.elements if re.fullmatch("h[1-6]", e.tag)]
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_the_sounds_are_those_of_the_flagged_clips(full: Page, bad: Poisoned) -> None:
    ranked = sorted(np.flatnonzero(bad.mask), reverse=True)[:5]  # the later, the lower its p-value
    for index in ranked:
        name = f"Play {bad.clips[int(index)].path}"
        address = next(s["src"] for s in full.all("audio") if s["aria-label"] == name)
        content = base64.b64decode(address.removeprefix("data:audio/wav;base64,"))
        samples, rate = soundfile.read(io.BytesIO(content))
        assert rate == 16_000
        np.testing.assert_allclose(samples, bad.clips.waveform(int(index)), atol=1 / 32_768)
    assert len([s for s in full.all("audio") if "/" in s["aria-label"]]) == 5


def test_against_the_truth(full: Page) -> None:
    assert "12 of 60" in full.text
    assert "12 of 12 (100 %" in full.text.replace("\u00a0", " ")
    assert "0 of 48 (0 %" in full.text.replace("\u00a0", " ")
    assert "AUROC of the clips' scores 1.000" in full.text
    assert "trigger tone (frequency_hz 3000" in full.text
    assert "truly “" in full.text
    assert full.text.count("the difference alone") == 3
    assert "2.9–3.1" in full.text
    assert "recovered trigger towards “b” and the true one correlation 1.00" in full.text


def test_strangers_words_stay_words(tmp_path: Path) -> None:
    clips = clips_of("ab" * 10)
    items = tuple(replace(c, label=c.label + HOSTILE, path=c.path + HOSTILE) for c in clips.items)
    clips = replace(clips, items=items, classes=tuple(k + HOSTILE for k in clips.classes))
    attack = poison(clips, Tone(), AllToOne("b" + HOSTILE), 0.3, 0)
    verdict = verdict_of(attack.clips, attack.mask)
    first = verdict.evidence[0].model_copy(
        update={
            "target": HOSTILE,
            "reason": HOSTILE,
            "calibration": HOSTILE,
            "spec": {"name": "x", HOSTILE: HOSTILE},
        }
    )
    verdict = verdict.model_copy(
        update={
            "targets": [HOSTILE],
            "evidence": [first, first.model_copy(update={"p_value": None})],
            "skipped": [SkippedClip(path=HOSTILE, reason=HOSTILE)],
            "not_tested": [HOSTILE],
            "versions": {HOSTILE: HOSTILE},
            "model_sha256": HOSTILE,
        }
    ).with_exhibits(Exhibits(attack.clips))
    page = written(verdict, tmp_path, truth=attack, top=2)
    assert not page.all("script")
    assert not [e for e in page.elements if "onerror" in e.attributes]
    assert page.text.count("<script>alert(1)</script>") > 10


def test_a_name_that_is_not_unicode_costs_no_report(tmp_path: Path) -> None:
    clips = clips_of("ab" * 3)
    items = (replace(clips[0], path="\udcff.wav"), *clips.items[1:])
    clips = replace(clips, items=items)
    flagged = np.arange(6) == 0
    verdict = verdict_of(clips, flagged).with_exhibits(Exhibits(clips))
    assert r"\udcff.wav" in written(verdict, tmp_path).text


def test_a_verdict_from_json_has_a_page_too(bad: Poisoned, tmp_path: Path) -> None:
    verdict = Verdict.from_json(full_verdict(bad).to_json())
    page = written(verdict, tmp_path, truth=bad)
    assert (
        "A verdict read from JSON carries neither pictures of the clips nor their sound"
        in page.text
    )
    assert not page.all("audio")
    assert "12 of 12 (100" in page.text
    assert bad.clips[int(np.flatnonzero(bad.mask)[0])].path in page.text


@pytest.mark.parametrize("outcome", list(Outcome))
@pytest.mark.parametrize("targets", [[], ["yes"], ["a", "b", "c"]])
def test_every_outcome_has_words(outcome: Outcome, targets: list[str], tmp_path: Path) -> None:
    verdict = Verdict(
        outcome=outcome, p_value=None, false_alarm_level=0.05, false_discovery_rate=0.1,
        targets=targets,
    )  # fmt: skip
    assert headline(verdict).endswith(".")
    assert meaning(verdict)
    assert next_steps(verdict)
    page = written(verdict, tmp_path)
    assert headline(verdict) in page.text
    assert "No detector was run." in page.text
    assert "clean model" not in headline(verdict)


def test_words_for_numbers() -> None:
    shares = [percent(share).replace("\u00a0", " ") for share in (0, 0.0015, 0.05, 0.125, 1)]
    assert shares == ["0 %", "0.15 %", "5 %", "12 %", "100 %"]
    assert quoted(["a", "b", "c"]) == "“a”, “b” and “c”"
    assert quoted([]) == ""


def test_recordings_left_out_are_counted_and_listed(tmp_path: Path) -> None:
    lost = [SkippedClip(path=f"lost/{i}.wav", reason="is empty (0 bytes)") for i in range(250)]
    verdict = verdict_of(clips_of("ab"), np.array([False, False]))
    page = written(verdict.model_copy(update={"skipped": lost}), tmp_path)
    assert "250 could not be used" in page.text
    assert "lost/199.wav" in page.text
    assert "lost/200.wav" not in page.text
    assert "50 more are in the verdict's JSON." in page.text


def test_a_recording_that_went_away_costs_its_player_only(tmp_path: Path) -> None:
    names = [f"a/{i}.wav" for i in range(12)] + [f"b/{i}.wav" for i in range(12)]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        noise = np.random.default_rng(len(name)).normal(size=4000) * 0.1
        soundfile.write(tmp_path / name, noise, 16_000)
    clips = Clips.load(tmp_path)
    flagged = np.arange(24) < 6
    (tmp_path / "a/0.wav").unlink()
    verdict = verdict_of(clips, flagged).with_exhibits(Exhibits(clips))
    page = written(verdict, tmp_path)
    assert "the file is gone" in page.text
    assert len(page.all("audio")) == 5
    assert "Compared with unflagged clips with the same label" in page.text


def test_too_few_flagged_clips_share_nothing_to_speak_of(bad: Poisoned, tmp_path: Path) -> None:
    one = np.arange(60) == 3
    verdict = verdict_of(bad.clips, one).with_exhibits(Exhibits(bad.clips))
    assert "Not shown: the flagged group holds 1 readable clips" in written(verdict, tmp_path).text


def test_the_page_stays_small(tmp_path: Path) -> None:
    """2,000 long clips, all flagged: those that are not shown are counted, sounds are rationed."""
    one = clips_of("a", seconds=20)[0]
    items = tuple(replace(one, path=f"{i}.wav", label="ab"[i % 2]) for i in range(2000))
    clips = Clips(items, Path(), 16_000, 320_000, ("a", "b"))
    verdict = verdict_of(clips, np.ones(2000, dtype=bool)).with_exhibits(Exhibits(clips))
    page = written(verdict, tmp_path)
    assert (tmp_path / "audit.html").stat().st_size < 8e6
    assert "not embedded, to keep this page small" in page.text
    assert "1,788 more are flagged and not shown here" in page.text


def test_sounds_end_with_their_budget() -> None:
    sounds = Sounds(budget=1000)
    first, second = (sounds.player("x", np.zeros(300), 8000) for _ in range(2))
    assert first.uri.startswith("data:audio/wav;base64,")
    assert not second.uri
    assert "not embedded" in second.note


def test_the_page_is_written_whole_or_not_at_all(
    bad: Poisoned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "audit.html"
    out.write_text("the old one")

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(KeyboardInterrupt):
        report.html(verdict_of(bad.clips, bad.mask), out)
    assert out.read_text() == "the old one"
    assert list(tmp_path.iterdir()) == [out]


def test_same_verdict_same_bytes(bad: Poisoned, full_path: Path, tmp_path: Path) -> None:
    again = report.html(full_verdict(bad), tmp_path / "again.html", truth=bad, top=5)
    assert again.read_bytes() == full_path.read_bytes()


def test_a_trigger_rebuilt_from_a_model_alone_is_played(bad: Poisoned, tmp_path: Path) -> None:
    verdict = full_verdict(bad)
    alone = Exhibits(recovered=verdict.exhibits.recovered)
    page = written(verdict.with_exhibits(alone), tmp_path)
    assert "the change alone" in page.text


def test_exhibits_of_other_clips_are_refused(bad: Poisoned, tmp_path: Path) -> None:
    verdict = verdict_of(bad.clips, bad.mask)
    fewer = verdict.with_exhibits(Exhibits(bad.clips.subset(np.arange(5))))
    with pytest.raises(SpecError, match="5 clips that are not the verdict's 60"):
        report.html(fewer, tmp_path / "audit.html")
    with pytest.raises(SpecError, match=r"map shaped \(60, 2\), got \(3, 2\)"):
        report.html(verdict.with_exhibits(Exhibits(map=np.zeros((3, 2)))), tmp_path / "audit.html")
    with pytest.raises(SpecError, match="top must be 0 or more"):
        report.html(verdict, tmp_path / "audit.html", top=-1)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Poisoned, Path]:
    """Clips on disk, poisoned, and the folder that they were saved to."""
    rng = np.random.default_rng(0)
    for label in "ab":
        (tmp_path / "clean" / label).mkdir(parents=True)
        for i in range(10):
            noise = 0.1 * rng.standard_normal(8000)
            soundfile.write(tmp_path / "clean" / label / f"{i}.wav", noise, 16_000)
    clips = Clips.load(tmp_path / "clean", duration_s=0.25, fit="windows")
    attack = poison(clips, Tone(duration_s=0.05), AllToOne("a"), 0.2, 0)
    return attack, save(attack, tmp_path / "bad").parent


def test_truth_from_disk_and_from_memory_agree(saved: tuple[Poisoned, Path]) -> None:
    """Windows, too, find the part of their original."""
    attack, folder = saved
    clips = Clips.load(folder / "manifest.csv")
    truth = report.read_truth(folder / "truth.csv")
    own = Truth.of(attack)
    assert sum(origin.poisoned for origin in own.origins.values()) <= attack.mask.sum()
    count = 0
    for index, clip in enumerate(clips.items):
        origin = truth.origin(clip.path, clip.label)
        assert origin is not None
        after = clips.waveform(index)
        region = report.find_region(origin.samples(after, 16_000), after, 16_000)
        assert (region is not None) == origin.poisoned
        count += origin.poisoned
        assert origin.poisoned == (origin.label != clip.label)
        if region:
            assert region.stop_s == pytest.approx(0.05, abs=0.02)
    assert count == attack.mask.sum()


def test_report_with_truth_from_disk(saved: tuple[Poisoned, Path], tmp_path: Path) -> None:
    attack, folder = saved
    clips = Clips.load(folder / "manifest.csv")
    truth = report.read_truth(folder / "truth.csv")
    known = [truth.origin(c.path, c.label) for c in clips.items]
    flagged = np.array([origin is not None and origin.poisoned for origin in known])
    verdict = verdict_of(clips, flagged).with_exhibits(Exhibits(clips))
    page = written(verdict, tmp_path, truth=truth)
    assert f"poisoned clips {attack.mask.sum()} of 40" in page.text
    assert page.text.count("the difference alone") == 3


def test_a_truth_about_other_clips_is_told(bad: Poisoned, tmp_path: Path) -> None:
    verdict = verdict_of(bad.clips, bad.mask)
    page = written(verdict, tmp_path, truth=Truth({}))
    assert "The truth does not list 60 of 60 clips." in page.text
    assert "AUROC" not in page.text


def test_a_truth_without_poison_has_no_auroc(bad: Poisoned, tmp_path: Path) -> None:
    clean = replace(bad, clips=bad.originals, attack_of=np.full(60, -1))
    verdict = verdict_of(bad.originals, np.zeros(60, dtype=bool))
    page = written(verdict, tmp_path, truth=clean)
    assert "undefined: one kind of clip" in page.text
    assert "poisoned clips that are flagged none to count" in page.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,label\na,b\n", "original_label,poisoned,original is missing"),
        ("path,original_label,poisoned,original\na,b,yes,c\n", r"truth\.csv:2: expected poisoned"),
        (
            "path,original_label,poisoned,original,original_start_s\na,b,1,c,soon\n",
            "expected original_start_s in seconds, got 'soon'",
        ),
        ('path,original_label,poisoned,original\n"a,b,1,c\n', "not readable as CSV"),
    ],
)
def test_a_file_that_is_no_truth_is_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "truth.csv").write_text(text)
    with pytest.raises(ManifestError, match=message):
        report.read_truth(tmp_path / "truth.csv")


def test_a_truth_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"gone\.csv: cannot be opened"):
        report.read_truth(tmp_path / "gone.csv")
    (tmp_path / "latin.csv").write_bytes(b"path\xff")
    with pytest.raises(ManifestError, match="expected UTF-8"):
        report.read_truth(tmp_path / "latin.csv")


def test_an_original_that_is_gone_is_named(tmp_path: Path) -> None:
    header = "path,original_label,poisoned,original,original_start_s"
    soundfile.write(tmp_path / "here.wav", np.zeros(100), 8000)
    lines = [header, "a,x,1,gone.wav,0", "b,x,1,here.wav,5"]
    (tmp_path / "truth.csv").write_text("\n".join(lines))
    truth = report.read_truth(tmp_path / "truth.csv")
    like = np.zeros(100, dtype=np.float32)
    for path, message in (("a", r"gone\.wav: the file is gone"), ("b", "lies beyond its end")):
        origin = truth.origin(path, "any")
        assert origin is not None
        with pytest.raises(UnreadableAudio, match=message):
            origin.samples(like, 8000)


def test_without_clips_nothing_is_advised_about_flagged_ones(bad: Poisoned) -> None:
    verdict = verdict_of(bad.clips, bad.mask)
    assert any("otoscope clean" in step for step in next_steps(verdict))
    alone = " ".join(next_steps(verdict.model_copy(update={"clips": []})))
    assert "--data" in alone
    assert "flagged" not in alone
