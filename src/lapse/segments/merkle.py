"""Merkle trees over record digests: the tree hash, inclusion proofs and their check of RFC 9162."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256

from lapse.segments.hashing import digests

LEAF = b"\x00"
NODE = b"\x01"


def leaf_hash(entry: bytes) -> bytes:
    """The hash of one leaf (RFC 9162 §2.1.1)."""
    return sha256(LEAF + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node (RFC 9162 §2.1.1)."""
    return sha256(NODE + left + right).digest()


class MerkleTree:
    """The Merkle Tree Hash of RFC 9162 §2.1.1, fed in order; keeps one node a level.

    Attributes:
        size: Number of leaves so far.
    """

    def __init__(self) -> None:
        self.size = 0
        self._unpaired: list[bytes | None] = []

    def add_leaves(self, hashes: Iterable[bytes]) -> None:
        """Append leaves, given by their leaf hashes."""
        nodes = list(hashes)
        self.size += len(nodes)
        level = 0
        while nodes:
            nodes = self._pair(level, nodes)
            level += 1

    def _pair(self, level: int, nodes: list[bytes]) -> list[bytes]:
        """Join *nodes* with the one left over at *level*; what cannot be paired is left over again."""
        if level == len(self._unpaired):
            self._unpaired.append(None)
        waiting = self._unpaired[level]
        if waiting is not None:
            nodes.insert(0, waiting)
        self._unpaired[level] = nodes.pop() if len(nodes) % 2 else None
        left = iter(nodes)
        return digests([NODE + one + other for one, other in zip(left, left, strict=True)])

    def root(self) -> bytes:
        """The tree hash of the leaves so far; SHA-256 of nothing if there are none."""
        root: bytes | None = None
        for node in self._unpaired:
            if node is not None:
                root = node if root is None else node_hash(node, root)
        return sha256().digest() if root is None else root


def tree_root(hashes: Iterable[bytes]) -> bytes:
    """The tree hash over leaf hashes (RFC 9162 §2.1.1)."""
    tree = MerkleTree()
    tree.add_leaves(hashes)
    return tree.root()


def inclusion_proof(hashes: Sequence[bytes], index: int) -> list[bytes]:
    """The audit path of leaf *index* among leaf hashes, from the leaf up (RFC 9162 §2.1.3.1).

    Raises:
        IndexError: If there is no such leaf.
    """
    if not 0 <= index < len(hashes):
        raise IndexError(f"leaf {index} of {len(hashes)}")
    path: list[bytes] = []
    while len(hashes) > 1:
        split = 1 << (len(hashes) - 1).bit_length() - 1
        left, right = hashes[:split], hashes[split:]
        if index < split:
            path.append(tree_root(right))
            hashes = left
        else:
            path.append(tree_root(left))
            hashes, index = right, index - split
    return path[::-1]


def verify_inclusion(leaf: bytes, index: int, *, size: int, path: Sequence[bytes], root: bytes) -> bool:
    """Whether *path* leads from leaf hash *leaf* at *index* to the *root* of *size* leaves (RFC 9162 §2.1.3.2)."""
    if not 0 <= index < size:
        return False
    position, last, found = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            return False
        if position % 2 or position == last:
            found = node_hash(sibling, found)
            while position % 2 == 0 and position:
                position, last = position >> 1, last >> 1
        else:
            found = node_hash(found, sibling)
        position, last = position >> 1, last >> 1
    return last == 0 and found == root
