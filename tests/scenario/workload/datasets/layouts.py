"""Small files in the layouts of the hub's repositories: path, columns, their types, label numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

_PAIR = pa.struct([("de", pa.string()), ("en", pa.string())])
_REVIEWS = [("text", pa.string()), ("label", pa.int64())]
_SENTIMENT = [("Poor; dull <br /> & long.", 0), ("It 's good -- really (good) !", 1), ("Never again?", 0)]
_PAIRS = [
    ({"de": "Ein Satz (mit Zeichen): 5 %.", "en": "A sentence (with signs): 5%."},),
    ({"de": "Noch einer – ja!", "en": "One more – yes!"},),
    ({"de": "Der letzte.", "en": "The last one."},),
]

LAYOUTS: dict[str, tuple[str, list[tuple[str, Any]], list[tuple[Any, ...]]]] = {
    "sst2": (
        "sst2/validation-00000-of-00001.parquet",
        [("sentence", pa.string()), ("label", pa.int64()), ("idx", pa.int32())],
        [(text, label, number) for number, (text, label) in enumerate(_SENTIMENT)],
    ),
    "stanfordnlp/imdb": ("plain_text/test-00000-of-00001.parquet", _REVIEWS, _SENTIMENT),
    "cornell-movie-review-data/rotten_tomatoes": ("test.parquet", _REVIEWS, _SENTIMENT),
    "yelp_polarity": ("plain_text/test-00000-of-00001.parquet", _REVIEWS, _SENTIMENT),
    "amazon_polarity": (
        "amazon_polarity/test-00000-of-00001.parquet",
        [("label", pa.int64()), ("title", pa.string()), ("content", pa.string())],
        [(label, "A title", text) for text, label in _SENTIMENT],
    ),
    "wmt16": ("de-en/test-00000-of-00001.parquet", [("translation", _PAIR)], _PAIRS),
    "wmt19": ("de-en/validation-00000-of-00001.parquet", [("translation", _PAIR)], _PAIRS),
    "opus100": ("de-en/test-00000-of-00001.parquet", [("translation", _PAIR)], _PAIRS),
    "openai/gsm8k": (
        "main/test-00000-of-00001.parquet",
        [("question", pa.string()), ("answer", pa.string())],
        [
            ("What is 1,000 + 1,125?", "1,000 + 1,125 = <<1000+1125=2125>>2,125\n#### 2,125"),
            ("What is 2 * 9 (in $)?", "It is $18.\n#### 18"),
            ("What is 3 - 5?", "It is -2.\n#### -2"),
        ],
    ),
}
"""By data set: the file, its columns, and three rows."""


def write_layout(name: str, folder: Path, rows: list[tuple[Any, ...]] | None = None) -> Path:
    """Write the file of a data set into ``folder``, as its repository has it; return the file."""
    file, columns, own = LAYOUTS[name]
    names = [column for column, _ in columns]
    table = pa.Table.from_pylist(
        [dict(zip(names, row, strict=True)) for row in (own if rows is None else rows)], pa.schema(columns)
    )
    path = folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)
    return path
