"""Which log files a policy was written for, as one word to compare."""

from __future__ import annotations

from pathlib import Path

from lapse.canonical import digest_of, sha256
from lapse.model.plan import Fingerprint
from lapse.model.policy import Dataset
from lapse.stores.jsonl.files import LogSet


def fingerprint(logs: LogSet, dataset: Dataset, *, scheme: str) -> Fingerprint:
    """The address, the last part of its pattern, and the keys that the policy uses; never an inode."""
    parts = (
        sha256(logs.pattern.encode())[:12],
        Path(logs.pattern).name,
        digest_of(sorted(dataset.fields))[:12],
    )
    return Fingerprint(text=":".join((scheme, *parts)), parts=parts)
