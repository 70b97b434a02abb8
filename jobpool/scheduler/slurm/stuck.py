"""Jobs that wait in SLURM's queue for ever unless a person acts, by the reason that SLURM names.

They are no work in the queue. Some are stuck by themselves: another job in their place would run.
Others are stuck by what they ask for: each further job of that size would be as well.
"""

import re

from jobpool.scheduler.base import Stuck

_BY_ITSELF = {
    "JobHeldUser": "held by the user",
    "JobHeldAdmin": "held by an administrator",
    "DependencyNeverSatisfied": "waiting for a job that failed",
    "job_requeued_in_held_state": "held after it was requeued",
    "JobHoldMaxRequeue": "held after it was requeued too often",
}
_BY_ITS_SIZE = {
    "BadConstraints": "no node has what is asked for",
    "PartitionDown": "the partition is down",
    "PartitionInactive": "the partition is inactive",
    "PartitionConfig": "the partition allows no such job",
    "PartitionNodeLimit": "the partition has not so many nodes",
    "PartitionTimeLimit": "the partition allows less time",
    "AccountNotAllowed": "the account may not use the partition",
    "InvalidAccount": "there is no such account",
    "InvalidQOS": "there is no such quality of service",
    "QOSNotAllowed": "the quality of service may not use the partition",
    "MaxMemPerLimit": "more memory than is allowed",
    "ReservationDeleted": "the reservation is over",
    "ReservationInvalid": "there is no such reservation",
}
HELD_STATES = {
    "REQUEUE_HOLD": "held after it was requeued",
    "SPECIAL_EXIT": "held after it was requeued",
    "RESV_DEL_HOLD": "held, as the reservation was deleted",
}
# AssocMaxWallDurationPerJobLimit, QOSMaxMemoryPerNode, QOSMinGRES, ...: of one job, not of all
_LIMIT_OF_A_JOB = re.compile(r"(?:Assoc|QOS)Max\w*Per(?:Job|Node)(?:Limit)?|QOSMin\w*")


def stuck_by(state: str, reason: str) -> Stuck | None:
    """Return why a job waits for ever, or None if it does not.

    Examples
    --------
    >>> stuck_by("PENDING", "JobHeldAdmin")
    Stuck(why='held by an administrator (JobHeldAdmin)', is_size=False, is_launch=False)
    >>> stuck_by("PENDING", "AssocMaxWallDurationPerJobLimit").is_size
    True
    >>> stuck_by("PENDING", "Priority") is None
    True
    """
    if state in HELD_STATES:
        return Stuck(why=f"{HELD_STATES[state]} ({state})")
    word = reason.strip("()").replace(" ", "_")
    if state != "PENDING" or not word:
        return None
    if word in _BY_ITS_SIZE or _LIMIT_OF_A_JOB.fullmatch(word):
        what = _BY_ITS_SIZE.get(word, "a job of this size is not allowed")
        return Stuck(why=f"{what} ({word})", is_size=True)
    if word in _BY_ITSELF:
        return Stuck(why=f"{_BY_ITSELF[word]} ({word})")
    if word.endswith("_held"):  # launch_failed_requeued_held, or as a site words it
        return Stuck(why=f"held by the scheduler ({word})", is_launch=True)
    return None
