"""§6.1, qualitative evaluations: what a run learned, drawn."""
