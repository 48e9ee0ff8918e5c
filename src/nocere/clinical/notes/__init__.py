"""Clinical text: a scanner for concepts, assertion and numbers, a lexicon of wordings, and a verifier of edits."""

# The function stands under the name of its module, which is imported here so that no later import puts that back.
from nocere.clinical.notes.verify import verify

__all__ = ["verify"]
