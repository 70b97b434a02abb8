"""How figures look: sizes in print, letters, and colours that colour-blind readers tell apart."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

ONE_COLUMN_MM, TWO_COLUMNS_MM = 89.0, 183.0
DPI = 300
MM_PER_INCH = 25.4

# Okabe and Ito, "Color universal design", 2008; its yellow is too pale for small marks
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "^", "s", "D", "v", "P", "X")
GREY = "#8C8C8C"
INK = "#222222"

RC: Mapping[str, object] = {
    # comes with matplotlib, so that a figure is the same on every machine
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Arial", "Helvetica"],
    "font.size": 7,
    "axes.titlesize": 7,
    "axes.labelsize": 7,
    "xtick.labelsize": 6,
    "ytick.labelsize": 6,
    "legend.fontsize": 6,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.linewidth": 0.5,
    "lines.linewidth": 1.0,
    "xtick.major.width": 0.5,
    "ytick.major.width": 0.5,
    "xtick.minor.width": 0.35,
    "ytick.minor.width": 0.35,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.minor.size": 1.5,
    "ytick.minor.size": 1.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "legend.handletextpad": 0.4,
    "legend.borderaxespad": 0.2,
    "legend.labelspacing": 0.3,
    "text.parse_math": False,  # a name with two dollars is a name
    "svg.fonttype": "none",  # letters stay letters: they can be searched and edited
    "svg.hashsalt": "jobpool",  # the same ids in every run
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """How the points of one group look."""

    colour: str
    marker: str


def marks(names: Iterable[str]) -> dict[str, Mark]:
    """Return a mark for each name, the same for the same set of names.

    Examples
    --------
    >>> marks(["soft", "hard"])["hard"].colour
    '#0072B2'
    """
    return {
        name: Mark(colour=PALETTE[i % len(PALETTE)], marker=MARKERS[i % len(MARKERS)])
        for i, name in enumerate(sorted(set(names)))
    }
