"""Claims of the paper, each a function of a run's tables, and the verdicts over them."""
