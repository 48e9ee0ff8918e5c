"""`nocere shortcuts`: how well the label can be told without a look at the lesion."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

if TYPE_CHECKING:
    from nocere.core.case import CaseRef
    from nocere.scenarios.shortcuts.probe import Bytes

Flag = Annotated[bool, Parameter(negative="")]


def shortcuts(
    cases: Path, /, *, out: Path, target: Path | None = None, label: str = "", seed: int = 0, trust: Flag = False,
    json: Flag = False,
) -> int:  # fmt: skip
    """Tell how much of the label needs no lesion: thumbnails, borders, corners, file forms, attributes.

    Parameters
    ----------
    cases
        TOML file with a [cases] table: a plan, or one as for `nocere train`.
    out
        Folder for shortcuts.html and shortcuts.json.
    target
        A model to set beside, and to ask about pictures with the lesion's place covered; default is the plan's.
    label
        The label to predict; needed where there are more than two and no model names a positive one.
    seed
        Decides folds, forests and bootstrap draws.
    trust
        Open model files that can run code (pickles).
    json
        Print the probe as one JSON object.
    """
    from nocere.audit.plan import load_cases
    from nocere.cli.output import show_json
    from nocere.core.files import private_folder
    from nocere.report.shortcuts import summary, write_shortcuts
    from nocere.scenarios.shortcuts.probe import probe, write_probe
    from nocere.targets.card import load_target

    table, named = _read(cases)
    place = target or (cases.parent / named if named else None)
    found = probe(
        load_cases(table, cases.parent),
        None if place is None else load_target(place, trust=trust),
        label=label,
        source=_source(table, cases.parent),
        seed=seed,
    )
    private_folder(out)
    write_probe(found, out)
    page = write_shortcuts(found, out)
    if json:
        show_json(found)
    else:
        print("\n".join(summary(found)))
        print(f"Report: {page}")
    return 0


def _read(path: Path) -> tuple[dict[str, Any], str]:
    """The [cases] table of a file, and the target that it names, if any."""
    from nocere.core.errors import PlanError

    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as e:
        raise PlanError(f"Cannot read {path}: {getattr(e, 'strerror', None) or e}.") from e
    except tomllib.TOMLDecodeError as e:
        raise PlanError(f"{path} is not valid TOML: {e}.") from e
    if not isinstance(data.get("cases"), dict):
        raise PlanError(f"{path} has no [cases] table.", "See docs/plans.md.")
    return data["cases"], str(data.get("target", ""))


def _source(table: dict[str, Any], base: Path) -> Bytes | None:
    """Files of an image folder, whose cases are called by their paths."""
    from nocere.cases.datasets.manifest import bytes_of

    if table.get("dataset") != "image.folder":
        return None
    folder = (base / str(table["manifest"])).parent

    def source(ref: CaseRef) -> bytes:
        return bytes_of(folder / ref.id.partition("#")[0], str(folder))

    return source
