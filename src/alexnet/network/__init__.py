"""§3, the architecture: a network as data, the module built from it, and its arithmetic."""
