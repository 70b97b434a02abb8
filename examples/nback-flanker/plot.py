"""Draw the score of every task against its number of parcels: plot.py RESULTS.csv PICTURE.png."""

import sys
from pathlib import Path

import matplotlib as mpl
import pandas as pd

mpl.use("Agg")
import matplotlib.pyplot as plt


def main(results: Path, picture: Path) -> None:
    rows = pd.read_csv(results).sort_values("parcels")
    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    # a soft parcellation stands a little to the right, beside the hard one of the same size
    for kind, style, colour, shift in (("hard", "o-", "C0", 1.0), ("soft", "s", "C1", 1.07)):
        some = rows[rows["parcellation_kind"] == kind]
        for name in some.filter(regex=r"^roc_auc_fold"):
            axes.plot(some["parcels"] * shift, some[name], style[0], color=colour, alpha=0.25, ms=4)
        label = f"{kind} parcellation"
        axes.plot(some["parcels"] * shift, some["roc_auc"], style, color=colour, label=label)
    axes.plot([], [], "o", color="C0", alpha=0.25, ms=4, label="pale: single folds")
    axes.axhline(0.5, color="0.4", linestyle=":", linewidth=1)
    axes.annotate("chance", (30, 0.5), (0, 3), textcoords="offset points", color="0.4")
    axes.set(xscale="log", xlabel="Number of parcels", ylabel="Area under the ROC curve")
    axes.set_title("n-back or flanker? 526 contrasts, five folds by paper")
    sizes = rows["parcels"].unique()
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.minorticks_off()
    axes.legend(frameon=False)
    figure.savefig(picture, dpi=130)
    print(f"drew {picture}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
