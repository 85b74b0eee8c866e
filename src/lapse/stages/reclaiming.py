"""Reclaiming: may a rewrite begin? Where nobody can say that the disk holds it, it may not."""

from __future__ import annotations

from lapse.model.bytesize import size_text
from lapse.model.reclaim import Prediction


def refusal(prediction: Prediction, *, told: int | None) -> str | None:
    """Why a rewrite may not begin. None if it may.

    Arguments:
        prediction: What the store says.
        told: Bytes that the operator says are free on its disk. Where the store can see that itself, the smaller
            of the two counts. None if he said nothing.
    """
    if prediction.blocked is not None:
        return prediction.blocked
    known = [free for free in (prediction.free, told) if free is not None]
    needs = size_text(prediction.needs_free)
    if not known:
        return f"it needs {needs} on its disk meanwhile, and how much is free there cannot be seen from here"
    if min(known) < prediction.needs_free:
        return f"it needs {needs} on its disk meanwhile, and {size_text(min(known))} are free there"
    return None


def advice(prediction: Prediction) -> str:
    """What to do about a refusal."""
    if prediction.blocked is not None:
        return "Nothing was changed. Remove the cause, or leave this dataset out."
    if prediction.free is None:
        return "Nothing was changed. Look on its server, and say what is free there, like --free-space 20GB."
    return "Nothing was changed. Make room first; what is free within the files is used again without a rewrite."
