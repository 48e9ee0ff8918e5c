"""Clinical text: a scanner for concepts, assertion and numbers, a lexicon of wordings, and a verifier of edits."""
