"""The HTTP side: one more client of the gallery.

Import :mod:`vizinho.serve.app` or :mod:`vizinho.serve.run` when a server is wanted; this package
itself loads nothing, so that the rest of Vizinho never pays for FastAPI.
"""
