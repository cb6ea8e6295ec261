"""Where pictures come from: files, folders, patterns, buckets, parquet, standard input."""

from __future__ import annotations

from vizinho.sources.bucket import BucketTree, read_url
from vizinho.sources.folder import FolderTree
from vizinho.sources.items import FileState, SourceItem, Tree, tree_items
from vizinho.sources.opening import Sources, open_sources, open_tree

__all__ = [
    "BucketTree",
    "FileState",
    "FolderTree",
    "SourceItem",
    "Sources",
    "Tree",
    "open_sources",
    "open_tree",
    "read_url",
    "tree_items",
]
