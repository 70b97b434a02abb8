"""Conventions: choices that a pool keeps for good, whatever the default of a later version.

    splits            how groups are dealt out:
                      even: with the classes of a target, which has splits of its own; thirds: also
                      with the thirds of a continuous one; plain: the same for every target
    weights           the kind of parcellations of weights of which nobody says it:
                      said: what could be meant in two ways is refused; by-sign: signed with any
                      negative weight
    target_scaling    what pipelines learn whose parameters are in the unit of the target:
                      standard: standard deviations of the training part; none: the target as it is
    ranges            what the range of a feature is compared with before it is divided by it:
                      relative: the size of the feature; absolute: 1
    compare_on        whom parcellations are compared on: common: the participants that every one of
                      the study can use; own: all that each can use
    candidates        distinct: none is tried twice; drawn: as chance has it

``splits.npz`` has them in its header. What it does not say, as in pools made before, is as in the
publication.
"""

from collections.abc import Mapping

from jobpool.brain.parcel_kinds import BY_SIGN

EVEN, THIRDS, PLAIN = "even", "thirds", "plain"
WAYS = (EVEN, THIRDS, PLAIN)
SAID = "said"
STANDARD, NONE = "standard", "none"
TARGET_SCALINGS = (STANDARD, NONE)
RELATIVE, ABSOLUTE = "relative", "absolute"
COMMON, OWN = "common", "own"
DISTINCT, DRAWN = "distinct", "drawn"

PUBLISHED: Mapping[str, str] = {
    "splits": PLAIN,
    "weights": BY_SIGN,
    "target_scaling": NONE,
    "ranges": ABSOLUTE,
    "compare_on": OWN,
    "candidates": DRAWN,
}
# of new pools that say nothing else
USUAL: Mapping[str, str] = {
    "splits": EVEN,
    "weights": SAID,
    "target_scaling": STANDARD,
    "ranges": RELATIVE,
    "compare_on": COMMON,
    "candidates": DISTINCT,
}
