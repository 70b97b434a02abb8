"""Static figures of an analysis, for print: png at 300 dots per inch, and svg.

    NAME.png, NAME.svg    one pair for each figure that the study has data for

The same analysis gives the same bytes: no date, no random ids. Files of the same names are
replaced whole.
"""

import io
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from jobpool.analysis.scaling_figures import (
    rank_by_pipeline,
    rank_by_size,
    rank_by_type,
    score_by_size,
)
from jobpool.analysis.strategy_figures import strategies, trade_off_figure
from jobpool.analysis.style import RC
from jobpool.analysis.whole import Analysis
from jobpool.disk.files import replace_whole
from jobpool.errors import DataError, listing

_NO_LETTER = re.compile(r"Glyph (\d+) .* missing from font")


def write_figures(
    found: Analysis, folder: Path, tell: Callable[[str], None] = lambda _: None
) -> list[Path]:
    """Write the figures of an analysis, and return their files.

    Parameters
    ----------
    found : Analysis
        From `analyse`.
    folder : Path
        Is made if it is missing.
    tell : callable, optional
        Told what is not right in the figures, in a sentence.

    Raises
    ------
    DataError
        If the folder cannot be made.
    StorageError
        If the disk is full, over quota or failing.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        what = f"is no folder and cannot become one: {error.strerror}; give another folder"
        raise DataError(folder, what) from error
    written = []
    with rc_context(cast("Any", RC)), _glyphs_told(tell):
        for name, figure in _figures(found):
            for ending, data in zip(("png", "svg"), _images(figure), strict=True):
                path = folder / f"{name}.{ending}"
                replace_whole(path, data)
                written.append(path)
    return written


@contextmanager
def _glyphs_told(tell: Callable[[str], None]) -> Iterator[None]:
    """Tell once which letters the font lacks, where matplotlib warns of each; let others pass."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    missing = set()
    for one in caught:
        found = _NO_LETTER.match(str(one.message))
        if found:
            missing.add(chr(int(found[1])))
        else:
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
    if missing:
        letters = listing(sorted(missing))
        tell(f"the font of the figures lacks letters, drawn as boxes in png: {letters}")


def _images(figure: Figure) -> tuple[bytes, bytes]:
    """Return a figure as png and as svg, without date and version: equal data, equal bytes."""
    layout = figure.get_layout_engine()
    if layout is not None:
        layout.execute(figure)
        figure.set_layout_engine("none")  # laid out once, not once more for each format
    png, svg = io.BytesIO(), io.BytesIO()
    # `savefig` would draw everything twice; these two have no types
    agg: Any = FigureCanvasAgg(figure)
    agg.print_png(png, metadata={"Software": None})
    vector: Any = FigureCanvasSVG(figure)
    vector.print_svg(svg, metadata={"Date": None, "Creator": "jobpool"})
    return png.getvalue(), svg.getvalue()


def _figures(found: Analysis) -> Iterator[tuple[str, Figure]]:
    """Yield the figures that the study has data for."""
    for name, draw in (
        ("rank-by-size", rank_by_size),
        ("rank-by-type", rank_by_type),
        ("rank-by-pipeline", rank_by_pipeline),
        ("strategies", strategies),
        ("trade-off", trade_off_figure),
    ):
        figure = draw(found)
        if figure is not None:
            yield name, figure
    pages = list(score_by_size(found))
    for number, page in enumerate(pages, start=1):
        yield f"score-by-size-{number}" if len(pages) > 1 else "score-by-size", page
