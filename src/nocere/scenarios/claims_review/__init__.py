"""Claims review: what coding choices are worth against a payer's model, to whom, and by which rules."""
