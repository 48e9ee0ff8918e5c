"""Re-use search: one lesion photographed once, submitted under two patients or claims."""

from nocere.provenance.investigate.reuse.index import Duplicate, Index
from nocere.provenance.investigate.reuse.verify import Match

__all__ = ["Duplicate", "Index", "Match"]
