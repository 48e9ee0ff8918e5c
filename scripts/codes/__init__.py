"""How the rule graph of diagnosis codes is compiled; only `scripts/compile_codes.py` uses it."""
