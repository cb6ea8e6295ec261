"""Embeddings on a plane, for the map of a gallery and that of a report."""
