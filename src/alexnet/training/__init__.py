"""§5, details of learning: a recipe, the update rule, the loop and what it leaves in a run folder."""
