"""What commands print as their result: one JSON object."""

import json
import math
from collections.abc import Mapping
from typing import Any

from jobpool.table.columns import writable


def json_text(record: Mapping[str, Any]) -> str:
    r"""Return a record as one JSON object on one line, as every other program reads it.

    JSON has no NaN and no infinity: they are null. Half a surrogate pair, as in a file name that is
    no UTF-8, becomes the text of its escape.

    Examples
    --------
    >>> json_text({"score": [0.5, float("nan")], "file": "caf\udce9"})
    '{"score": [0.5, null], "file": "caf\\\\udce9"}'
    """
    return json.dumps(_plain(record), allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return writable(str(value))
    if isinstance(value, Mapping):
        return {writable(str(key)): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value
