"""Records and keys: one canonical form, judged by place in the log."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.sites import CT, ORIGIN, site_at

from nocere.core.canonical import dumps
from nocere.core.errors import UsageError, VerificationError
from nocere.provenance.keys import Keyring
from nocere.provenance.log.note import SigningKey, sign_note
from nocere.provenance.records import commitment, header, parse, seal
from nocere.provenance.site import Draft, Site, opened

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
KEY = SigningKey.generate("capture")


def body(kind: str = "heartbeat", agent: str = "capture") -> dict[str, object]:
    return header(kind, agent, 0, "0" * 64, (0, "a" * 64), NOW)


def test_a_record_comes_back_as_it_was_signed() -> None:
    entry = seal(body(), KEY)
    record = parse(entry, 7)
    assert record.body["clock"] == "2026-01-02T03:04:05Z"
    assert record.signed_by(KEY.verifier)
    assert not record.signed_by(SigningKey.generate("capture").verifier)


def test_a_signature_in_another_name_does_not_count() -> None:
    other = SigningKey.generate("gate")
    assert not parse(seal(body(agent="capture"), other), 0).signed_by(other.verifier)


@pytest.mark.parametrize(
    "change",
    [
        lambda b: b.pop("clock"),
        lambda b: b.update(counter="0"),
        lambda b: b.update(counter=True),
        lambda b: b.update(v="nocere-record/2"),
        lambda b: b.update(type="rumour"),
        lambda b: b.update(seen={"size": 0, "root": "zz"}),
        lambda b: b.update(seen={"size": "0", "root": "a" * 64}),
    ],
)
def test_malformed_records_are_refused(change: object) -> None:
    wrong = body()
    change(wrong)  # type: ignore[operator]
    with pytest.raises(VerificationError):
        parse(seal(wrong, KEY), 0)


def test_a_deep_record_is_refused() -> None:
    with pytest.raises(VerificationError, match="no signed note of one line of JSON"):
        parse(sign_note("[" * 8000 + "\n", [KEY]).encode(), 0)


def test_only_canonical_json_is_a_record() -> None:
    spaced = json.dumps(body(), sort_keys=True)  # one space too many
    assert json.loads(spaced) == json.loads(dumps(body()))
    with pytest.raises(VerificationError, match="canonical"):
        parse(sign_note(spaced + "\n", [KEY]).encode(), 0)


def test_every_bit_of_a_record_counts() -> None:
    entry = seal(body(), KEY)
    for i in range(len(entry) * 8):
        flipped = bytearray(entry)
        flipped[i // 8] ^= 1 << i % 8
        try:
            record = parse(bytes(flipped), 0)
        except VerificationError:
            continue
        assert not record.signed_by(KEY.verifier), f"bit {i} does not count"


def test_commitments_need_their_salt() -> None:
    salt = bytes(32)
    assert commitment(salt, "f2", "x") != commitment(salt, "f3", "x")
    assert commitment(salt, "f2", "x") != commitment(bytes([1]) * 32, "f2", "x")


def test_keys_are_good_between_their_records(tmp_path: Path) -> None:
    with Site.create(tmp_path / "s", ORIGIN) as site:
        (before,) = site.write("audit", [Draft("file", {})])
        old = site.key("audit")
        site.revoke("audit")
        # A record that the revoked key signs all the same gets in: the log stores bytes. It is not believed.
        (after,) = site.write("audit", [Draft("file", {})])
        assert site.verified(before)
        with pytest.raises(VerificationError, match="revoked"):
            site.verified(after)
        site.enrol("audit", "audit")
        assert site.key("audit") != old
        (again,) = site.write("audit", [Draft("file", {})])
        assert site.verified(again)
        assert site.verified(before)


def test_a_key_is_not_good_before_it_is_enrolled(tmp_path: Path) -> None:
    with Site.create(tmp_path / "s", ORIGIN) as site:
        key = SigningKey.generate("early")
        (folder,) = (tmp_path / "s" / "private" / "agents",)
        (folder / "early.key").write_text(key.text)
        (index,) = site.write("early", [Draft("file", {})])
        site.write("registrar", [Draft("key", {"action": "enrol", "role": "audit", "vkey": key.verifier.vkey})])
        with pytest.raises(VerificationError, match="only later"):
            site.verified(index)


def test_roles_are_kept_apart(tmp_path: Path) -> None:
    with Site.create(tmp_path / "s", ORIGIN) as site:
        (index,) = site.write("gate", [Draft("capture", {})])
        with pytest.raises(VerificationError, match="may not write"):
            site.verified(index)


def test_only_a_registrar_enrols(tmp_path: Path) -> None:
    with Site.create(tmp_path / "s", ORIGIN) as site:
        mine = SigningKey.generate("mallory")
        site.write("gate", [Draft("key", {"action": "enrol", "role": "registrar", "vkey": mine.verifier.vkey})])
        with pytest.raises(VerificationError, match="may not write"):
            site.ring()


def test_the_first_entry_is_the_registrar() -> None:
    ring = Keyring()
    fake = {**body("key", "capture"), "action": "enrol", "role": "capture", "vkey": KEY.verifier.vkey}
    with pytest.raises(VerificationError, match="Entry 0"):
        ring.extend([(0, seal(fake, KEY))], 1)
    boss, other = SigningKey.generate("registrar"), SigningKey.generate("registrar")
    first = {**body("key", "registrar"), "action": "enrol", "role": "registrar", "vkey": boss.verifier.vkey}
    with pytest.raises(VerificationError, match="with its own key"):
        ring.extend([(0, seal(first, other))], 1)
    ring.extend([(0, seal(first, boss))], 1)
    assert [k.role for k in ring.keys] == ["registrar"]


def test_unknown_agents_and_roles_are_named(tmp_path: Path) -> None:
    with Site.create(tmp_path / "s", ORIGIN) as site:
        with pytest.raises(UsageError, match="nobody"):
            site.write("nobody", [Draft("file", {})])
        with pytest.raises(UsageError, match="Roles:"):
            site.enrol("x", "boss")


def test_a_vault_that_says_other_than_the_log_is_not_believed(tmp_path: Path) -> None:
    site, (done,) = site_at(tmp_path / "s", CT)
    assert done.index is not None
    row = site.vault.at(done.index)
    assert row is not None and row.clear is not None
    record = site.record(done.index)
    assert opened(record, row)["f0"]
    from dataclasses import replace

    for name in row.clear:
        with pytest.raises(VerificationError, match=name):
            opened(record, replace(row, clear={**row.clear, name: "0" * 64}))
    with pytest.raises(VerificationError, match="does not belong"):
        opened(record, replace(row, clear={}))
    site.close()
