"""Lists of recordings: every layout, and every way in which one can be wrong."""

import json
import os
from pathlib import Path

import pytest

from conftest import MakeTree, WriteSine
from otoscope.errors import ManifestError
from otoscope.manifests import Row, Skipped, read_manifest, write_csv


def listing(folder: Path, text: str, name: str = "list.csv", encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


def test_a_folder_gives_a_class_per_sub_folder(make_tree: MakeTree) -> None:
    tree = make_tree(("no", "yes"), 2)
    (tree / "README.txt").write_text("not a recording")
    rows = read_manifest(tree).rows
    assert [(row.path, row.label) for row in rows] == [
        ("no/0.wav", "no"),
        ("no/1.wav", "no"),
        ("yes/0.wav", "yes"),
        ("yes/1.wav", "yes"),
    ]
    assert {(row.speaker, row.split) for row in rows} == {("", "")}


def test_a_recording_beside_the_class_folders_is_reported(
    make_tree: MakeTree, write_sine: WriteSine
) -> None:
    tree = make_tree()
    write_sine("tree/lost.wav")
    manifest = read_manifest(tree)
    assert len(manifest.rows) == 6
    assert manifest.skipped == (
        Skipped("lost.wav", "lies beside the class folders, so it has no label"),
    )


def test_links_are_followed_and_what_is_left_out_is_told(
    make_tree: MakeTree, tmp_path: Path
) -> None:
    """Trap: a class folder that was a link vanished without a word."""
    tree = make_tree(("no", "yes"), 2)
    (tree / "yes").rename(tmp_path / "elsewhere")
    (tree / "yes").symlink_to(tmp_path / "elsewhere")
    (tree / "no" / "back").symlink_to(tree)
    (tree / "yet").symlink_to(tmp_path / "elsewhere")
    (tree / "no" / "gone.wav").symlink_to("nowhere.wav")
    (tree / "no" / "song.m4a").write_bytes(b"x")
    (tree / ".trash").mkdir()
    for hidden in (".trash/old.wav", "no/._0.wav"):
        (tree / hidden).write_bytes(b"x")
    old = Path(os.fsdecode(os.fsencode(tree / "no") + b"/caf\xe9.wav"))
    old.write_bytes(b"x")
    manifest = read_manifest(tree)
    assert [row.path for row in manifest.rows] == [
        "no/0.wav",
        "no/1.wav",
        "yes/0.wav",
        "yes/1.wav",
        "yet/0.wav",
        "yet/1.wav",
    ]
    assert {one.path: one.reason.split(";")[0] for one in manifest.skipped} == {
        "no/caf\\udce9.wav": "its name is not UTF-8",
        "no/gone.wav": "is no file, or a link to nothing",
        "no/song.m4a": ".m4a is not read",
    }


def test_one_file_by_two_names_is_listed_once(tmp_path: Path) -> None:
    text = "path,label\na/0.wav,a\n./a/0.wav,b\n"
    manifest = read_manifest(listing(tmp_path, text))
    assert [row.label for row in manifest.rows] == ["a"]
    assert "listed again with another label, 'b'" in manifest.skipped[0].reason


def test_an_open_quote_does_not_swallow_the_rest(tmp_path: Path) -> None:
    text = 'path,label\na/0.wav,a\n"a/1.wav,a\na/2.wav,a\n'
    with pytest.raises(ManifestError, match="not readable as CSV"):
        read_manifest(listing(tmp_path, text))


def test_speech_commands_takes_splits_from_the_lists(tmp_path: Path, write_sine: WriteSine) -> None:
    for name in ("aa_nohash_0", "bb_nohash_0", "cc_nohash_1"):
        write_sine(f"yes/{name}.wav")
    write_sine("_background_noise_/hum.wav")
    listing(tmp_path, "yes/bb_nohash_0.wav\r\n\r\n", "validation_list.txt")
    listing(
        tmp_path,
        "yes/cc_nohash_1.wav\nyes/dd_nohash_0.wav\nup/ee_nohash_0.wav\n",
        "testing_list.txt",
    )
    manifest = read_manifest(tmp_path)
    assert [(row.speaker, row.label, row.split) for row in manifest.rows] == [
        ("aa", "yes", "train"),
        ("bb", "yes", "validation"),
        ("cc", "yes", "test"),
    ]
    assert manifest.skipped == (
        Skipped("yes/dd_nohash_0.wav", "is in testing_list.txt, but not in the folder"),
    )


def test_csv_reads_all_columns(tmp_path: Path) -> None:
    file = listing(tmp_path, "path,label,speaker,split\na.wav,yes,7,train\nb.wav,no,,\n")
    manifest = read_manifest(file)
    assert manifest.root == tmp_path
    assert manifest.rows == (Row("a.wav", "yes", "7", "train"), Row("b.wav", "no"))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_byte_order_marks_and_windows_line_ends_do_no_harm(
    tmp_path: Path, encoding: str, end: str
) -> None:
    lines = ["path,label", "ü.wav,ja", "b.wav,nein", ""]
    expected = (Row("ü.wav", "ja"), Row("b.wav", "nein"))
    assert read_manifest(listing(tmp_path, end.join(lines), encoding=encoding)).rows == expected
    objects = [json.dumps({"path": row.path, "label": row.label}) for row in expected]
    file = listing(tmp_path, end.join(objects), "list.jsonl", encoding)
    assert read_manifest(file).rows == expected


def test_headers_may_have_capitals_and_spaces(tmp_path: Path) -> None:
    assert read_manifest(listing(tmp_path, "Path, Label\na.wav, yes\n")).rows == (
        Row("a.wav", "yes"),
    )


def test_nemo_names_offset_and_duration_are_understood(tmp_path: Path) -> None:
    lines = [
        {"audio_filepath": "long.wav", "command": "yes", "offset": 0.5, "duration": 1.0},
        {"audio_filepath": "long.wav", "command": "no", "offset": 2, "duration": 1},
    ]
    file = listing(tmp_path, "\n".join(map(json.dumps, lines)), "list.json")
    assert read_manifest(file).rows == (
        Row("long.wav", "yes", start_s=0.5, duration_s=1.0),
        Row("long.wav", "no", start_s=2.0, duration_s=1.0),
    )


def test_a_line_separator_inside_a_json_string_is_part_of_it(tmp_path: Path) -> None:
    file = listing(tmp_path, '{"path": "a.wav", "label": "a\u2028b"}\n', "list.jsonl")
    assert read_manifest(file).rows == (Row("a.wav", "a\u2028b"),)


@pytest.mark.parametrize(
    ("line", "path", "reason"),
    [
        ("b.wav,,,", "b.wav", "has no label (list.csv:3)"),
        ("b.wav", "b.wav", "has no label (list.csv:3)"),
        (",yes,,", "list.csv:3", "has no path"),
        ("b.wav,yes,soon,", "b.wav", "offset and duration must be seconds, 0 or more (list.csv:3)"),
        ("b.wav,yes,-1,", "b.wav", "offset and duration must be seconds, 0 or more (list.csv:3)"),
        ("b.wav,yes,nan,", "b.wav", "offset and duration must be seconds, 0 or more (list.csv:3)"),
        ("b.wav,yes,,inf", "b.wav", "offset and duration must be seconds, 0 or more (list.csv:3)"),
        ("a.wav,yes,,", "a.wav", "listed again; the first, 'yes', is kept"),
        ("a.wav,no,,", "a.wav", "listed again with another label, 'no'; the first, 'yes', is kept"),
    ],
)
def test_a_bad_row_is_skipped_with_its_reason_and_the_others_stay(
    tmp_path: Path, line: str, path: str, reason: str
) -> None:
    text = f"path,label,offset,duration\na.wav,yes,,\n{line}\nc.wav,no,,\n"
    manifest = read_manifest(listing(tmp_path, text))
    assert [row.path for row in manifest.rows] == ["a.wav", "c.wav"]
    assert manifest.skipped == (Skipped(path, reason),)


@pytest.mark.parametrize(
    ("line", "reason"),
    [("{oops", "is not JSON"), ("[1, 2]", "expected a JSON object"), ('{"label": "x"}', "no path")],
)
def test_a_bad_json_line_is_skipped_with_its_reason(tmp_path: Path, line: str, reason: str) -> None:
    file = listing(tmp_path, f'{line}\n{{"path": "a.wav", "label": "yes"}}\n', "list.jsonl")
    manifest = read_manifest(file)
    assert manifest.rows == (Row("a.wav", "yes"),)
    assert [skipped.path for skipped in manifest.skipped] == ["list.jsonl:1"]
    assert reason in manifest.skipped[0].reason


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("list.csv", b"", "got an empty file"),
        ("list.csv", b"file,class\na.wav,yes\n", "columns path,label .* got file,class"),
        ("list.csv", b"path,label\n", "lists no usable recording"),
        ("list.csv", b"path,label\n,yes\n", "lists no usable recording\n  list.csv:2: has no path"),
        ("list.csv", "path,label\nü.wav,ja\n".encode("latin-1"), "UTF-8 text, got byte 0xfc"),
        ("list.csv", "path,label\na.wav,yes\n".encode("utf-16"), "UTF-8 text, got byte 0xff"),
        ("list.csv", b'path,label\n"' + b"x" * 200_000 + b'",yes\n', "not readable as CSV"),
        ("list.jsonl", "ü".encode("latin-1"), "expected UTF-8"),
        ("list.xml", b"<clips/>", "expected a folder with one sub-folder per class"),
    ],
)
def test_a_list_that_cannot_be_used_says_why(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ManifestError, match=message):
        read_manifest(tmp_path / name)


def test_a_missing_source_and_an_empty_folder_say_so(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="no such file or folder"):
        read_manifest(tmp_path / "nowhere")
    with pytest.raises(ManifestError, match="lists no usable recording"):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    "rows",
    [
        [Row('a "b", c.wav', "yes", "7", "train"), Row("ü.wav", "no")],
        [Row("long.wav", "yes", start_s=0.5, duration_s=1.0), Row("b.wav", "no")],
    ],
)
def test_written_rows_read_back(tmp_path: Path, rows: list[Row]) -> None:
    write_csv(tmp_path / "list.csv", iter(rows))
    assert list(read_manifest(tmp_path / "list.csv").rows) == rows


def test_whole_recordings_are_written_without_offset_columns(tmp_path: Path) -> None:
    write_csv(tmp_path / "list.csv", [Row("a.wav", "yes")])
    assert (tmp_path / "list.csv").read_text() == "path,label,speaker,split\na.wav,yes,,\n"
