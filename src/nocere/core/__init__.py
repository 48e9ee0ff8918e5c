"""Words that every layer shares: case, decision, goal, candidate, budgets, intervals, randomness, errors."""
