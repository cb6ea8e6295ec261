"""Which pictures belong together, by links between two of them."""

from __future__ import annotations


class Groups:
    """Union-find over ids; memory grows with what is linked."""

    def __init__(self) -> None:
        self._parent: dict[int, int] = {}

    def root(self, one: int) -> int:
        """The smallest id that ``one`` is linked with."""
        path = []
        while (up := self._parent.get(one, one)) != one:
            path.append(one)
            one = up
        for each in path:
            self._parent[each] = one
        return one

    def link(self, one: int, other: int) -> None:
        """Put two, and all linked with them, into one group."""
        low, high = sorted((self.root(one), self.root(other)))
        self._parent[low], self._parent[high] = low, low

    def members(self) -> dict[int, list[int]]:
        """Groups of two and more, by their smallest id, sorted."""
        found: dict[int, list[int]] = {}
        for one in sorted(self._parent):
            found.setdefault(self.root(one), []).append(one)
        return found
