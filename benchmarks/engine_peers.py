"""Public engines behind one signature: images in [0, 1], classes, a budget -> adversarial images in [0, 1].

Their code is imported where it is installed, never copied. The reference AutoAttack is not on PyPI: the environment
variable NOCERE_AUTOATTACK names a checkout of github.com/fra31/auto-attack. adv-lib imports visdom and torchvision,
which none of its attacks used here needs: empty modules stand in where they are absent. ART's patch needs torchvision.
"""

# ruff: noqa: ARG001 - one signature for all
from __future__ import annotations

import contextlib
import importlib
import io
import logging
import os
import sys
import types
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

warnings.filterwarnings("ignore", module=r"(art|foolbox|adv_lib|torchattacks|autoattack|torch|torchvision)\b.*")
logging.getLogger("art").setLevel(logging.ERROR)

SEED = 0
MODULES = {
    "ART": ("art.attacks.evasion", "art.estimators.classification"),
    "Foolbox": ("foolbox",),
    "adv-lib": ("adv_lib.attacks",),
    "torchattacks": ("torchattacks",),
    "auto-attack": ("autoattack", "autoattack.autopgd_base", "autoattack.square"),
}


def absent() -> dict[str, str]:
    """Peers that cannot run here, and why."""
    out = {
        name: "not installed"
        for name, (module, *_) in MODULES.items()
        if name != "auto-attack" and find_spec(module.partition(".")[0]) is None
    }
    checkout = os.environ.get("NOCERE_AUTOATTACK", "")
    if not checkout:
        out["auto-attack"] = "NOCERE_AUTOATTACK names no checkout of fra31/auto-attack"
    elif not (Path(checkout) / "autoattack").is_dir():
        out["auto-attack"] = f"NOCERE_AUTOATTACK: there is no autoattack package in {checkout}"
    return out


def prepare() -> dict[str, str]:
    """Make every peer importable, and return those that are not, with the reason."""
    if find_spec("visdom") is None:
        sys.modules["visdom"] = types.ModuleType("visdom")
    _torchvision()
    missing = absent()
    if "auto-attack" not in missing:
        sys.path.insert(0, os.environ["NOCERE_AUTOATTACK"])
    # Imported here and not at first use, which is timed.
    for name, modules in MODULES.items():
        if name not in missing:
            for module in modules:
                importlib.import_module(module)
    for name, why in missing.items():
        print(f"not compared: {name}: {why}")
    return missing


def _torchvision() -> None:
    """Make torchvision importable: without its compiled operators where they do not fit torch, empty where absent."""
    if find_spec("torchvision") is None:
        sys.modules["torchvision"] = types.ModuleType("torchvision")
        sys.modules["torchvision"].models = None  # type: ignore[attr-defined]
        return
    try:
        import torchvision
    except RuntimeError:
        for name in [n for n in sys.modules if n.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        # Only this part asks for the operators, and no attack here uses them.
        sys.modules["torchvision._meta_registrations"] = types.ModuleType("torchvision._meta_registrations")
        import torchvision  # noqa: F401


def _seeded() -> None:
    np.random.seed(SEED)
    torch.manual_seed(SEED)


def art_classifier(net: nn.Module, x: Tensor, classes: int, clip: tuple[float, float] = (0.0, 1.0)) -> Any:
    """ART's wrapper with cross-entropy, as its examples build it."""
    from art.estimators.classification import PyTorchClassifier

    return PyTorchClassifier(
        net, nn.CrossEntropyLoss(), tuple(x.shape[1:]), classes, clip_values=clip, device_type="cpu"
    )


# --- PGD -------------------------------------------------------------------------------------------------------------


def art_pgd(
    net: nn.Module, x: Tensor, y: Tensor, eps: float, classes: int, steps: int = 40, batch: int = 128,
    clip: tuple[float, float] = (0.0, 1.0),
) -> Tensor:  # fmt: skip
    from art.attacks.evasion import ProjectedGradientDescent

    _seeded()
    made = ProjectedGradientDescent(
        art_classifier(net, x, classes, clip), np.inf, eps, 2.5 * eps / steps, max_iter=steps, num_random_init=1,
        batch_size=batch, verbose=False,
    )  # fmt: skip
    return torch.from_numpy(made.generate(x.numpy(), y.numpy()))


def foolbox_pgd(
    net: nn.Module, x: Tensor, y: Tensor, eps: float, classes: int, steps: int = 40,
    clip: tuple[float, float] = (0.0, 1.0),
) -> Tensor:  # fmt: skip
    import foolbox

    _seeded()
    model = foolbox.PyTorchModel(net, bounds=clip, device="cpu")
    _, clipped, _ = foolbox.attacks.LinfPGD(steps=steps, rel_stepsize=2.5 / steps)(model, x, y, epsilons=eps)
    return clipped


def torchattacks_pgd(net: nn.Module, x: Tensor, y: Tensor, eps: float, classes: int, steps: int = 40) -> Tensor:
    import torchattacks

    _seeded()
    return torchattacks.PGD(net, eps=eps, alpha=2.5 * eps / steps, steps=steps)(x, y)


def adv_lib_pgd(net: nn.Module, x: Tensor, y: Tensor, eps: float, classes: int, steps: int = 40) -> Tensor:
    from adv_lib.attacks import pgd_linf

    _seeded()
    return pgd_linf(net, x, y, eps, steps=steps, relative_step_size=2.5 / steps)


def reference_apgd(
    net: nn.Module, x: Tensor, y: Tensor, eps: float, classes: int, steps: int = 40, loss: str = "ce",
    restarts: int = 1,
) -> Tensor:  # fmt: skip
    from autoattack.autopgd_base import APGDAttack

    _seeded()
    made = APGDAttack(net, n_iter=steps, eps=eps, seed=SEED, loss=loss, n_restarts=restarts, device="cpu")
    return made.perturb(x, y)


PGD: dict[str, Callable[..., Tensor]] = {
    "ART, batch 128": art_pgd,
    "ART, default batch 32": lambda *a, **k: art_pgd(*a, **k, batch=32),
    "Foolbox": foolbox_pgd,
    "torchattacks": torchattacks_pgd,
    "adv-lib": adv_lib_pgd,
    "auto-attack APGD-CE": reference_apgd,
}


# --- Square and AutoAttack -------------------------------------------------------------------------------------------


def art_square(
    net: nn.Module, x: Tensor, y: Tensor, eps: float, classes: int, queries: int = 1000,
    clip: tuple[float, float] = (0.0, 1.0),
) -> Tensor:  # fmt: skip
    from art.attacks.evasion import SquareAttack

    _seeded()
    made = SquareAttack(
        art_classifier(net, x, classes, clip), np.inf, eps=eps, max_iter=queries, p_init=0.8, verbose=False
    )
    return torch.from_numpy(made.generate(x.numpy(), y.numpy()))


def reference_square(
    net: nn.Module, x: Tensor, y: Tensor, eps: float, classes: int, queries: int = 1000, rescaled: bool = True
) -> Tensor:
    from autoattack.square import SquareAttack

    _seeded()
    made = SquareAttack(net, n_queries=queries, eps=eps, seed=SEED, resc_schedule=rescaled, device="cpu")
    return made.perturb(x, y)


def torchattacks_square(net: nn.Module, x: Tensor, y: Tensor, eps: float, classes: int, queries: int = 1000) -> Tensor:
    import torchattacks

    _seeded()
    return torchattacks.Square(net, eps=eps, n_queries=queries, seed=SEED)(x, y)


def reference_autoattack(
    net: nn.Module, x: Tensor, y: Tensor, eps: float, classes: int, parts: tuple[str, ...] = ()
) -> Tensor:
    """AutoAttack: the published recipe, or only some of its parts (two classes have no DLR loss)."""
    from autoattack import AutoAttack

    _seeded()
    version: dict[str, Any] = {"version": "custom", "attacks_to_run": list(parts)} if parts else {"version": "standard"}
    made = AutoAttack(net, eps=eps, seed=SEED, verbose=False, device="cpu", **version)
    with contextlib.redirect_stdout(io.StringIO()):  # its warnings about two classes
        return made.run_standard_evaluation(x, y, bs=128)


# --- labels only -----------------------------------------------------------------------------------------------------


class Counted(nn.Module):
    """A net that counts the rows it is asked; takes what dtype it is given."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self.rows = 0
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        self.rows += len(x)
        return self.net(x.float())


class Double(Counted):
    """The same, answering in float64: ART's decision-based attacks raise on a float32 model under numpy 2."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).double()


def art_hopskipjump(net: Counted, x: Tensor, y: Tensor, classes: int, steps: int = 5) -> Tensor:
    from art.attacks.evasion import HopSkipJump

    _seeded()
    made = HopSkipJump(art_classifier(net, x, classes), norm=2, max_iter=steps, init_eval=100, verbose=False)
    return torch.from_numpy(np.asarray(made.generate(x.numpy(), y.numpy()), dtype=np.float32))


def foolbox_hopskipjump(net: Counted, x: Tensor, y: Tensor, classes: int, batch: int = 32, steps: int = 5) -> Tensor:
    import foolbox

    _seeded()
    model = foolbox.PyTorchModel(net, bounds=(0, 1), device="cpu")
    attack = foolbox.attacks.HopSkipJumpAttack(steps=steps, initial_gradient_eval_steps=100)
    parts = [attack(model, a, b, epsilons=None)[1] for a, b in zip(x.split(batch), y.split(batch), strict=True)]
    return torch.cat(parts)


# --- transforms and patches ------------------------------------------------------------------------------------------


def foolbox_grid(net: nn.Module, x: Tensor, y: Tensor, classes: int, angle: float, share: float) -> Tensor:
    import foolbox

    _seeded()
    model = foolbox.PyTorchModel(net, bounds=(0, 1), device="cpu")
    made = foolbox.attacks.SpatialAttack(
        max_translation=share * x.shape[-1], max_rotation=angle, num_translations=5, num_rotations=9, grid_search=True
    )
    return made(model, x, y)[1]


def art_grid(net: nn.Module, x: Tensor, y: Tensor, classes: int, angle: float, share: float) -> Tensor:
    from art.attacks.evasion import SpatialTransformation

    _seeded()
    made = SpatialTransformation(
        art_classifier(net, x, classes), max_translation=100 * share, num_translations=5, max_rotation=angle,
        num_rotations=9, verbose=False,
    )  # fmt: skip
    return torch.from_numpy(made.generate(x.numpy(), y.numpy()))


def art_patch(
    net: nn.Module, x: Tensor, y: Tensor, held: Tensor, classes: int, side: int, epochs: int, batch: int = 16
) -> Tensor:
    """A universal patch fitted on x, and the held-out images with it at random places."""
    from art.attacks.evasion import AdversarialPatchPyTorch

    _seeded()
    scale = side / x.shape[-1]
    made = AdversarialPatchPyTorch(
        art_classifier(net, x, classes), rotation_max=0.0, scale_min=scale * 0.999, scale_max=scale * 1.001,
        learning_rate=0.05, max_iter=epochs, batch_size=batch, patch_shape=(x.shape[1], side, side),
        patch_type="square", optimizer="Adam", targeted=False, verbose=False,
    )  # fmt: skip
    made.generate(x.numpy(), y.numpy())
    return torch.from_numpy(made.apply_patch(held.numpy(), scale=scale))


# --- for strength ----------------------------------------------------------------------------------------------------


def adv_lib_apgd(net: nn.Module, x: Tensor, y: Tensor, eps: float, classes: int, steps: int = 100) -> Tensor:
    from adv_lib.attacks import apgd, apgd_targeted

    _seeded()
    if classes < 4:
        return apgd(net, x, y, eps, float("inf"), n_iter=steps, n_restarts=5, loss_function="ce")
    return apgd_targeted(net, x, y, eps, float("inf"), n_iter=steps, n_restarts=1, num_targets=min(9, classes - 1))


def adv_lib_fmn(net: nn.Module, x: Tensor, y: Tensor, eps: float, classes: int, steps: int = 100) -> Tensor:
    """The smallest change that it finds, whatever the budget."""
    from adv_lib.attacks import fmn

    _seeded()
    return fmn(net, x, y, float("inf"), steps=steps)


def everything(classes: int) -> dict[str, Callable[..., Tensor]]:
    """What a careful user of the peers would run at one budget, cheapest first."""
    parts = ("apgd-ce", "fab", "square") if classes < 4 else ()

    def full(net: nn.Module, x: Tensor, y: Tensor, eps: float, classes: int) -> Tensor:
        return reference_autoattack(net, x, y, eps, classes, parts)

    def more(run: Callable[..., Tensor], **about: Any) -> Callable[..., Tensor]:
        return lambda *a: run(*a, **about)

    return {
        "Foolbox PGD-100": more(foolbox_pgd, steps=100),
        "ART PGD-100": more(art_pgd, steps=100),
        "adv-lib APGD": adv_lib_apgd,
        "adv-lib FMN": adv_lib_fmn,
        "ART Square": more(art_square, queries=300),
        "auto-attack, working parts" if parts else "auto-attack standard": full,
    }
