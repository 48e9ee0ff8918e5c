"""Models behind a server: honest, down, slow, lying, capped, on another machine."""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.images import LABELS, SIDE, Linear, heads, pictures
from tests.served import served

from nocere.core.batch import Batch
from nocere.core.canonical import dumps
from nocere.core.case import Case
from nocere.core.decision import OneLogit
from nocere.core.errors import TargetError
from nocere.targets.authorisation import Authorisation, read_authorisation
from nocere.targets.card import load_target
from nocere.targets.kserve import Manners, kserve_target
from nocere.targets.preprocess import ImageInput
from nocere.targets.torch import TorchTarget

SHAPE = (3, SIDE, SIDE)
DECISION, WEIGHT, BIAS = heads()["one_logit"]
FAST = Manners(pause=0.01, timeout=5)


def scorer(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    with torch.inference_mode():
        return Linear(WEIGHT, BIAS)(torch.from_numpy(x.astype(np.float32))).numpy()


def batch(n: int) -> Batch:
    x = pictures(n)
    return Batch(torch.from_numpy(x.astype(np.float32)), tuple(Case(str(i), r) for i, r in enumerate(x)))


def test_scores_are_those_of_the_module_in_requests_of_some_rows() -> None:
    seen: list[dict[str, Any]] = []
    with served(scorer, SHAPE, 1, seen=seen) as url:
        target: Any = kserve_target(url, "net", DECISION, manners=Manners(rows=3))
        got = target.scores(batch(7))
        with_input: Any = kserve_target(url, "net", DECISION, ImageInput(3, scale=2.0))
        halved = with_input.scores(batch(2))
    np.testing.assert_allclose(got, TorchTarget(Linear(WEIGHT, BIAS), DECISION).scores(batch(7)), atol=1e-5)
    assert [s["inputs"][0]["shape"][0] for s in seen] == [3, 3, 1, 2]
    np.testing.assert_allclose(halved, scorer(pictures(7)[:2] / np.float32(2)), atol=1e-5)
    assert target.access == {"labels", "scores"} and not target.tiles
    assert target.fingerprint != with_input.fingerprint


def test_whole_numbers_and_labels() -> None:
    names = lambda x: np.where(scorer(x) > 0, LABELS[1], LABELS[0])  # noqa: E731
    with served(names, SHAPE, 1, datatype="UINT8", output="BYTES") as url:
        target: Any = kserve_target(url, "net", DECISION, outputs="labels")
        got = target.labels(batch(6))
        np.testing.assert_array_equal(got[:, 1], scorer(pictures(6))[:, 0] > 0)
        assert target.access == {"labels"}
        with pytest.raises(TargetError, match="takes whole numbers"):
            kserve_target(url, "net", DECISION, ImageInput(3), outputs="labels").labels(batch(2))  # type: ignore[union-attr]
        with pytest.raises(TargetError, match="not with scores"):
            kserve_target(url, "net", DECISION).scores(batch(2))  # type: ignore[union-attr]
    with served(lambda x: np.full((len(x), 1), 7), SHAPE, 1, output="INT64") as url:
        target = kserve_target(url, "net", DECISION, outputs="labels")
        with pytest.raises(TargetError, match="answered 7, which is none of its labels"):
            target.labels(batch(2))


def _with(**changes: Any) -> Any:
    return lambda told: {**told, "outputs": [{**told["outputs"][0], **changes}]}


LIES = {
    "shape": (_with(shape=[4, 2], data=[0.0] * 8), "declares 'scores' of shape \\[-1, 1\\], but answered 4 rows"),
    "rows": (_with(shape=[3, 1], data=[0.0] * 3), "answered 4 rows with shape \\[3, 1\\]"),
    "count": (_with(data=[0.0] * 3), "answered with 3 values under the shape \\[4, 1\\]"),
    "nan": (_with(data=[0.0, math.nan, 1.0, 2.0]), "not finite"),
    "type": (_with(datatype="INT64"), "declares 'scores' as FP32, but answered with INT64"),
    "text": (_with(data=["a", "b", "c", "d"]), "not all of its values are numbers"),
    "name": (_with(name="other"), "gave no output 'scores'"),
    "id": (lambda told: {**told, "id": "nocere-9"}, "answered request 'nocere-9' where 'nocere-1'"),
    "model": (lambda told: {**told, "model_name": "old"}, "answered by the model 'old'"),
    "json": (lambda told: b"<html>", "something that is not JSON"),
    "list": (lambda told: [told], "JSON that is no object"),
}


@pytest.mark.parametrize("lie", list(LIES))
def test_a_lying_server_is_one_sentence(lie: str) -> None:
    change, said = LIES[lie]
    with served(scorer, SHAPE, 1, change=change) as url, pytest.raises(TargetError, match=said) as e:
        kserve_target(url, "net", DECISION, manners=FAST).scores(batch(4))  # type: ignore[union-attr]
    assert "\n" not in str(e.value)


def test_wrong_declarations_are_said_before_anything_is_asked() -> None:
    seen: list[dict[str, Any]] = []
    with served(scorer, SHAPE, 1, seen=seen) as url:
        with pytest.raises(TargetError, match="refused the metadata of 'other' with status 404"):
            kserve_target(url, "other", DECISION)
        with pytest.raises(TargetError, match="has the outputs scores, and no 'z'"):
            kserve_target(url, "net", DECISION, output="z")
        small: Any = kserve_target(url, "net", DECISION, ImageInput(3, (6, 6), resize=True))
        with pytest.raises(TargetError, match=r"takes input of shape 3 x 12 x 12 .* got 3 x 6 x 6"):
            small.scores(batch(2))
    two = [{"name": n, "datatype": "FP32", "shape": [-1, 3]} for n in "xy"]
    with served(scorer, SHAPE, 1, metadata={"inputs": two}) as url, pytest.raises(TargetError, match="one array"):
        kserve_target(url, "net", DECISION)
    assert not seen


def test_a_busy_server_is_asked_again_and_each_try_counts() -> None:
    seen: list[dict[str, Any]] = []
    with served(scorer, SHAPE, 1, statuses=(503, 429), seen=seen) as url:
        target: Any = kserve_target(url, "net", DECISION, manners=FAST, queries=12)
        np.testing.assert_allclose(target.scores(batch(4)), scorer(pictures(4)), atol=1e-5)
        assert len(seen) == 3
        with pytest.raises(TargetError, match="allows 12 queries; 12 are used, and 1 more are asked"):
            target.scores(batch(1))
        assert len(seen) == 3
    with (
        served(scorer, SHAPE, 1, statuses=(500,)) as url,
        pytest.raises(TargetError, match=r"status 500 \(try later\)"),
    ):
        kserve_target(url, "net", DECISION, manners=FAST).scores(batch(4))  # type: ignore[union-attr]
    with served(scorer, SHAPE, 1, statuses=(503,) * 9) as url, pytest.raises(TargetError, match=r"503.*in 4 tries"):
        kserve_target(url, "net", DECISION, manners=FAST).scores(batch(4))  # type: ignore[union-attr]


def test_a_server_that_is_slow_or_down() -> None:
    slow = Manners(timeout=0.3, tries=2, pause=0.01)
    with served(scorer, SHAPE, 1, sleep=1.0) as url, pytest.raises(TargetError, match=r"no answer within 0.3 s, in 2"):
        kserve_target(url, "net", DECISION, manners=slow).scores(batch(1))  # type: ignore[union-attr]
    with pytest.raises(TargetError, match=r"cannot be reached .*Connection refused.*in 2 tries"):
        kserve_target(url, "net", DECISION, manners=slow)


def test_the_rate_is_kept() -> None:
    with served(scorer, SHAPE, 1) as url:
        target: Any = kserve_target(url, "net", DECISION, manners=Manners(rate=20))
        start = time.monotonic()
        for _ in range(3):
            target.scores(batch(2))
    assert time.monotonic() - start >= 4 / 20


@pytest.mark.parametrize(
    "url", ["http://192.0.2.1:8000", "https://models.hospital.example", "http://127.0.0.1.example:1"]
)
def test_another_machine_needs_its_owner(url: str) -> None:
    with pytest.raises(TargetError, match="another machine, and there is no authorisation of its owner"):
        kserve_target(url, "net", DECISION)


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://127.0.0.1", "http://127.0.0.1/v2/models", "http://[::1"])
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(TargetError, match="is not a server's address"):
        kserve_target(url, "net", DECISION)


def _authorised(folder: Path, url: str, *, days: float = 1, queries: int = 10, model: str = "net") -> dict[str, Path]:
    key = Ed25519PrivateKey.generate()
    until = (datetime.now(UTC) + timedelta(days=days)).isoformat()
    made = Authorisation("Dr. Owner", url, model, "robustness audit", until, queries).signed(key)
    (folder / "owner.pub").write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    (folder / "auth.json").write_bytes(dumps(made.to_json()))
    return {"authorisation": folder / "auth.json", "owner_key": folder / "owner.pub"}


def test_an_authorisation_is_sent_and_its_queries_counted_over_runs(tmp_path: Path) -> None:
    seen: list[dict[str, Any]] = []
    with served(scorer, SHAPE, 1, seen=seen) as url:
        files = _authorised(tmp_path, url)
        for _ in range(2):
            target: Any = kserve_target(url, "net", DECISION, **files)
            target.scores(batch(4))
        assert target.port.authorisation.owner == "Dr. Owner"
        with pytest.raises(TargetError, match=r"Dr\. Owner allows 10 queries; 8 are used, and 4 more are asked"):
            target.scores(batch(4))
    assert len(seen) == 2
    assert seen[0]["headers"]["Nocere-Authorisation"] == read_authorisation(files["authorisation"]).header


def test_an_authorisation_that_does_not_hold(tmp_path: Path) -> None:
    url = "https://models.hospital.example:443"
    files = _authorised(tmp_path, url)
    with pytest.raises(
        TargetError, match=r"is for the model 'net' at https://models.hospital.example:443, not for 'x'"
    ):
        kserve_target(url, "x", DECISION, **files)
    text = files["authorisation"].read_text()
    files["authorisation"].write_text(text.replace('"queries":10', '"queries":10000'))
    with pytest.raises(TargetError, match="not signed by the owner's key, or was changed"):
        kserve_target(url, "net", DECISION, **files)
    files["authorisation"].write_text("{}")
    with pytest.raises(TargetError, match="is not an authorisation"):
        kserve_target(url, "net", DECISION, **files)
    with pytest.raises(TargetError, match="expired at"):
        kserve_target(url, "net", DECISION, **_authorised(tmp_path, url, days=-1))
    with pytest.raises(TargetError, match="needs owner_key"):
        kserve_target(url, "net", DECISION, authorisation=files["authorisation"])
    other = tmp_path / "other"
    other.mkdir()
    own, foreign = _authorised(tmp_path, url), _authorised(other, url)
    with pytest.raises(TargetError, match="not signed by the owner's key"):
        kserve_target(url, "net", DECISION, authorisation=own["authorisation"], owner_key=foreign["owner_key"])


def test_a_card_of_a_server(tmp_path: Path) -> None:
    with served(scorer, SHAPE, 1) as url:
        (tmp_path / "card.toml").write_text(
            f'[target]\nkind = "kserve"\nurl = "{url}"\nmodel = "net"\ntimeout = 3\nqueries = 5\n'
            f'[decision]\nkind = "one_logit"\nlabels = ["{LABELS[0]}", "{LABELS[1]}"]\nthreshold = 0.3\n'
        )
        target: Any = load_target(tmp_path / "card.toml")
        np.testing.assert_allclose(target.scores(batch(4)), scorer(pictures(4)), atol=1e-5)
        assert target.decision == OneLogit(LABELS, 0.3) and target.name == "card"
        with pytest.raises(TargetError, match="allows 5 queries"):
            target.scores(batch(4))
