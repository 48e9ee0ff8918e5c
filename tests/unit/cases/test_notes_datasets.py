"""Loaders of notes: folder, CSV and FHIR, on files made here, with everything that can be wrong with them."""

from __future__ import annotations

import base64
import csv
import json
import lzma
from pathlib import Path
from typing import Any

import pytest

from nocere.cases.datasets.notes_csv import notes_csv
from nocere.cases.datasets.notes_fhir import notes_fhir
from nocere.cases.datasets.notes_folder import notes_folder
from nocere.cases.note_fhir import write_note
from nocere.cases.note_narrative import lines, replaced
from nocere.core.errors import DataError
from nocere.core.registry import get

NOTE = "HPI:\r\nPatient c/o \u201cback pain\u201d, 5 mg.\r\n"


# Folder


def test_a_folder_of_notes(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(NOTE.encode())
    (tmp_path / "b.txt").write_bytes(b"\xef\xbb\xbfDenies pain.")
    (tmp_path / "m.csv").write_text(
        "path,label,patient,site,split,facts,sex\na.txt,1,p1,east,test,F10.20; M54.50,f\nb.txt,0,p2,,train,,m\n"
    )
    whole = notes_folder(tmp_path / "m.csv", labels={"1": "flag", "0": "none"}, subgroups=["sex"])
    a, b = whole
    assert (a.x, a.header, a.truth.label) == (NOTE, {"facts": ["F10.20", "M54.50"]}, "flag")
    assert (b.x, b.header, b.truth.label) == ("Denies pain.", {"bom": True}, "none")
    assert whole.refs[0].attrs == {"sex": "f", "site": "east"} and whole.refs[0].group == "p1"
    assert [r.id for r in notes_folder(tmp_path / "m.csv", split="train").refs] == ["b.txt"]
    assert get("dataset", "notes.folder").make is notes_folder
    (tmp_path / "a.txt").write_text("other")
    with pytest.raises(DataError, match="has changed since it was listed"):
        whole.load("a.txt")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "m.csv line 2: a.txt: the note is empty"),
        (b"caf\xe9", r"m.csv line 2: a.txt is not UTF-8 text \(.* at byte 3\)"),
        ("caf\u00e9".encode("utf-16"), "m.csv line 2: a.txt is not UTF-8 text"),
        (b"PK\x03\x04\0\0", "m.csv line 2: a.txt: this is a binary file"),
        (b"a" * 1_000_001, "m.csv line 2: a.txt: the note has 1,000,001 bytes"),
    ],
)
def test_files_that_are_no_notes(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "a.txt").write_bytes(content)
    (tmp_path / "m.csv").write_text("path,label\na.txt,x\n")
    with pytest.raises(DataError, match=said):
        notes_folder(tmp_path / "m.csv")


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        ("path\na.txt\n", "no column 'label'"),
        ("path,label\na.txt,x\na.txt,y\n", "line 3: 'a.txt' was listed on line 2 already"),
        ("path,label\nb.txt,x\n", "line 2: cannot read .*b.txt"),
        ("path,label\na.txt,\n", "line 2: the label is empty"),
        ("path,label\n", "has no rows"),
        ("path,label\na.txt,x,y\n", "line 2: 2 columns expected"),
    ],
)
def test_manifests_that_are_wrong(tmp_path: Path, manifest: str, said: str) -> None:
    (tmp_path / "a.txt").write_text("pain")
    (tmp_path / "m.csv").write_text(manifest)
    with pytest.raises(DataError, match=said):
        notes_folder(tmp_path / "m.csv")


# CSV


def _written(file: Path, rows: list[list[str]]) -> Path:
    with file.open("w", newline="", encoding="utf-8") as f:
        csv.writer(f).writerows(rows)
    return file


def test_notes_in_a_csv_file(tmp_path: Path) -> None:
    rows = [["n", "note", "cc", "who", "codes", "age"], ["7", NOTE, "pain", "p1", "M54.50", "59"]]
    rows += [["8", "x" * 200_000, "other", "p1", "", "60"], ["9", "short", "other", "", "", "61"]]
    file = _written(tmp_path / "n.csv", rows)
    names: dict[str, Any] = {"text": "note", "label": "cc", "id": "n"}
    found = notes_csv(file, **names, patient="who", facts="codes", subgroups=["age"])
    a, b, c = found
    assert a.x == NOTE and a.header == {"facts": ["M54.50"]} and a.attrs == {"age": "59"} and a.truth.label == "pain"
    assert (a.group, b.group, c.group) == ("p1", "p1", "9") and len(b.x) == 200_000
    packed = tmp_path / "n.csv.xz"
    packed.write_bytes(lzma.compress(file.read_bytes()))
    again = notes_csv(packed, text="note", label="", id="n")
    assert [k.x for k in again] == [k.x for k in found] and again.load("7").truth.label is None
    assert again.load("9").header == {"row": {"cc": "other", "who": "", "codes": "", "age": "61"}}
    assert csv.field_size_limit() == 131072


def test_notes_of_one_text_are_one_group(tmp_path: Path) -> None:
    file = _written(tmp_path / "n.csv", [["id", "text", "label"], ["1", "a", "x"], ["2", "b", "x"], ["3", "a", "y"]])
    assert [r.group for r in notes_csv(file).refs] == ["1", "2", "1"]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([["id", "note", "label"], ["1", "a", "x"]], "n.csv: no column 'text'"),
        ([["text", "label"], ["a", "x"]], "n.csv: no column 'id'"),
        (
            [["id", "text", "label"], ["1", "a", "x"], ["1", "b", "x"]],
            "n.csv row 3: the id '1' stands on row 2 already",
        ),
        ([["id", "text", "label"], ["", "a", "x"]], "n.csv row 2: the column 'id' is empty"),
        ([["id", "text", "label"], ["1", "a\nb", "x"], ["2", " \n ", "x"]], "n.csv row 3, case 2: the note is empty"),
        ([["id", "text", "label"], ["1", "a", ""]], "n.csv row 2: the label is empty"),
        ([["id", "text", "label"], ["1", "a\0b", "x"]], "n.csv row 2, case 1: this is a binary file"),
        ([["id", "text", "label"], ["1", "a" * 1_000_001, "x"]], "n.csv row 2, case 1: the note has 1,000,001 bytes"),
        ([["id", "text", "label"], ["1", "a" * 4_000_001, "x"]], "n.csv line 1: not valid CSV .field larger"),
        ([["id", "text", "label"]], "n.csv has no rows"),
    ],
)
def test_csv_files_that_are_wrong(tmp_path: Path, rows: list[list[str]], said: str) -> None:
    with pytest.raises(DataError, match=said):
        notes_csv(_written(tmp_path / "n.csv", rows))


def test_a_csv_of_another_encoding_or_kind(tmp_path: Path) -> None:
    file = tmp_path / "n.csv"
    file.write_bytes("id,text,label\n1,caf\u00e9,x\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"Cannot read the manifest .*n.csv"):
        notes_csv(file)
    with pytest.raises(DataError, match=r"Cannot read the manifest .*absent.csv"):
        notes_csv(tmp_path / "absent.csv")


# FHIR


def _document(text: str = NOTE, mime: str = "text/plain", charset: str = "utf-8", **more: Any) -> dict[str, Any]:
    data = base64.b64encode(text.encode(charset)).decode()
    attachment = {"contentType": mime, "data": data, "title": "Visit", "size": 3, "hash": "x"}
    return {
        "resourceType": "DocumentReference", "id": "d1", "status": "current", "subject": {"reference": "Patient/p1"},
        "type": {"coding": [{"code": "11506-3", "display": "Progress note"}]}, "content": [{"attachment": attachment}],
    } | more  # fmt: skip


DIV = (
    '<div xmlns="http://www.w3.org/1999/xhtml"><!-- > --><p>No <b>known</b>\n  allergies &amp; &lt;5 drinks.</p>'
    "<ul><li>aspirin</li><li> </li><li>back pain</li></ul><pre>\n a  b\n\nc</pre>x<br/>y</div>"
)
COMPOSITION: dict[str, Any] = {
    "resourceType": "Composition", "id": "c1", "subject": {"reference": "Patient/p1"}, "title": "Visit",
    "section": [
        {"title": "Past Medical History:", "text": {"status": "generated", "div": DIV}},
        {"title": "Family", "section": [{"title": "Mother", "text": {"status": "generated", "div": "<div>Lumbago</div>"}}]},
        {"text": {"status": "generated", "div": "<div><p>Signed</p></div>"}},
    ],
}  # fmt: skip


def _file(folder: Path, *resources: Any) -> Path:
    file = folder / "n.ndjson"
    file.write_text("\n".join(r if isinstance(r, str) else json.dumps(r) for r in resources))
    return file


def test_document_references(tmp_path: Path) -> None:
    pdf = {"attachment": {"contentType": "application/pdf", "data": "AAAA"}}
    second = _document("caf\u00e9", "text/plain; charset=ISO-8859-1", "latin-1")["content"][0]
    one = _document()
    one["content"] = [*one["content"], pdf, second]
    file = _file(tmp_path, one, {"resourceType": "Patient", "id": "p1"})
    (tmp_path / "labels.csv").write_text("id,label\nd1,x\nd1/2,y\n")
    a, b = notes_fhir(file, labels=tmp_path / "labels.csv")
    assert (a.id, a.x, a.truth.label, a.group, a.attrs) == ("d1", NOTE, "x", "Patient/p1", {"kind": "Progress note"})
    assert (b.id, b.x) == ("d1/2", "caf\u00e9")
    # Written back, only the text is another one.
    back = write_note(a.header, NOTE.replace("back pain", "lumbago"), exhibit=False)
    attachment = back["content"][0]["attachment"]
    assert base64.b64decode(attachment.pop("data")).decode() == NOTE.replace("back pain", "lumbago")
    assert attachment == {"contentType": "text/plain", "title": "Visit"}
    assert back["content"][1:] == one["content"][1:]
    assert {k: v for k, v in back.items() if k != "content"} == {k: v for k, v in one.items() if k != "content"}
    assert write_note(a.header, NOTE)["meta"]["security"][-1]["code"] == "HTEST"
    assert base64.b64decode(write_note(b.header, "na\u00efve")["content"][2]["attachment"]["data"]) == b"na\xefve"
    with pytest.raises(DataError, match="ISO-8859-1 cannot hold the character '\u2265'"):
        write_note(b.header, "\u2265 5")


def test_compositions_are_headed_text(tmp_path: Path) -> None:
    (case,) = notes_fhir(_file(tmp_path, COMPOSITION))
    assert case.x == (
        "Past Medical History:\nNo known allergies & <5 drinks.\naspirin\nback pain\n a  b\nc\nx\ny\n"
        "\nFamily:\n\nMother:\nLumbago\n\nSigned\n"
    )
    assert write_note(case.header, case.x, exhibit=False) == COMPOSITION
    back = write_note(case.header, case.x.replace("back pain", "lower <back> pain").replace("Lumbago", "LBP"))
    assert back["section"][0]["text"]["div"] == DIV.replace("back pain", "lower &lt;back&gt; pain")
    assert back["section"][1]["section"][0]["text"]["div"] == "<div>LBP</div>"
    assert back["section"][2] == COMPOSITION["section"][2]
    more = write_note(case.header, case.x.replace("Lumbago", "Lumbago\nObese"))
    assert [x.text for x in lines(more["section"][1]["section"][0]["text"]["div"])] == ["Lumbago", "Obese"]
    with pytest.raises(DataError, match="the heading 'Mother:' is not in the text any more"):
        write_note(case.header, case.x.replace("Mother:", "Father:"))


def test_narrative_lines_keep_their_source_where_they_are_unchanged() -> None:
    texts = [x.text for x in lines(DIV)]
    assert replaced(DIV, texts) == DIV
    for k, text in enumerate(texts):
        changed = [*texts[:k], f"{text} & more", *texts[k + 1 :]]
        assert [x.text for x in lines(replaced(DIV, changed))] == changed


@pytest.mark.parametrize(
    ("resources", "said"),
    [
        (["{"], "line 1: not valid JSON"),
        ([_document(), _document()], "line 2: the id 'd1' stands in .* line 1 already"),
        ([_document(id="")], "line 1: a DocumentReference without an id"),
        ([_document(mime="application/pdf")], "DocumentReference d1: no attachment of type text/plain"),
        ([_document(" ")], "DocumentReference d1: the note is empty"),
        ([_document("caf\u00e9", charset="latin-1")], "DocumentReference d1: the attachment is not utf-8 text"),
        ([_document(mime="text/plain; charset=klingon")], "the attachment is not klingon text"),
        ([_document("a" * 1_000_001)], "DocumentReference d1: the note has 1,000,001 bytes"),
        ([_document("a\0")], "DocumentReference d1: this is a binary file"),
        ([{**COMPOSITION, "section": []}], "Composition c1: no section has a narrative"),
        ([{"resourceType": "Patient", "id": "p"}], "holds no note"),
    ],
)
def test_fhir_that_is_wrong(tmp_path: Path, resources: list[Any], said: str) -> None:
    with pytest.raises(DataError, match=said):
        notes_fhir(_file(tmp_path, *resources))


def test_base64_labels_and_headings_that_are_wrong(tmp_path: Path) -> None:
    bad = _document()
    bad["content"][0]["attachment"]["data"] = "a*b="
    with pytest.raises(DataError, match="the attachment's data is not base64"):
        notes_fhir(_file(tmp_path, bad))
    (tmp_path / "labels.csv").write_text("id,label\nd2,x\n")
    with pytest.raises(DataError, match=r"has no label for the note 'd1'"):
        notes_fhir(_file(tmp_path, _document()), labels=tmp_path / "labels.csv")
    (tmp_path / "labels.csv").write_text("id,label\nd1,x\nd2,x\n")
    with pytest.raises(DataError, match=r"has a label for 'd2', and there is no such note"):
        notes_fhir(_file(tmp_path, _document()), labels=tmp_path / "labels.csv")
    confusing = json.loads(json.dumps(COMPOSITION).replace("aspirin", "Family:"))
    with pytest.raises(DataError, match="a line of a section reads like the next heading"):
        notes_fhir(_file(tmp_path, confusing))
