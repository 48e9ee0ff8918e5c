"""Noise on stored samples of a recording, in ADC units."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from nocere.core.registry import register
from nocere.core.units import Kind, Unit
from nocere.threats.pixels import Linf


@register("threat", "signal.linf", source="Han et al. 2020 (ECG); Goodfellow et al. 2015", kind="tampering")
@dataclass(frozen=True, slots=True)
class SignalLinf(Linf):
    """Every stored sample changed by at most `radius` whole ADC units."""

    radius: float = 10.0
    bits: int = 16
    name: ClassVar[str] = "signal.linf"
    unit: ClassVar[Unit] = Unit.COUNTS
    kind: ClassVar[Kind] = Kind.TAMPERING

    @property
    def span(self) -> tuple[float, float]:
        # WFDB keeps the smallest value for missing samples.
        return -float(1 << (self.bits - 1)) + 1, float(1 << (self.bits - 1)) - 1
