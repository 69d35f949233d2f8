"""§6, results: errors of a network on labelled images, and labels for others."""
