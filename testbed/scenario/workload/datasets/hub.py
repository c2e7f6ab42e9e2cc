"""Data sets of the Hugging Face hub, read from the Parquet files that it keeps of them.

The hub's own library brings a file into its cache the first time, and later runs read it from there; where no
hub is in reach, a user names a directory that holds the file as the repository does. File names, columns and
label numbers are those of each repository's ``main`` branch.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from testbed.console import Reporter
from testbed.errors import TestbedError
from testbed.host.fingerprints import sha256_of
from testbed.host.places import unfit_beside
from testbed.scenario.reading.parquet_file import read_parquet
from testbed.scenario.workload.datasets.base import Dataset, Example
from testbed.scenario.workload.datasets.packaged import SENTIMENT, final_number


@dataclass(frozen=True)
class HubDataset(Dataset):
    """One Parquet file of a repository of the hub: the set's own evaluation split, all of it ``test`` here.

    Attributes:
        hub: the repository's name.
        file: the file's path in the repository: configuration, split.
        rows: how many the file on the hub has.
        text: the column of the prompt; ``translation.en`` is the field ``en`` of the column ``translation``.
        reference: the column of the reference, in a classification a label's number.
        folder: a directory with the repository's files; without it the hub is asked, or its cache.
    """

    hub: str
    file: str
    rows: int
    text: str
    reference: str
    folder: str | None = None

    def read(self) -> list[Example]:
        path = self.path()
        examples = []
        for row, (text, reference) in enumerate(read_parquet(path, (self.text, self.reference))):
            if text is None or reference is None:
                raise TestbedError(
                    f"{path}: row {row} (counted from 0) has no {self._lacking(text)}; fetch it again"
                )
            if prompt := self.cleaned(text):
                examples.append(Example(row, prompt, self._right(reference, path, row)))
        if not examples:
            raise TestbedError(f"{path}: holds no prompt; fetch it again")
        return examples

    def _lacking(self, text: str | None) -> str:
        return self.text if text is None else self.reference

    def _right(self, reference: str, path: Path, row: int) -> str:
        """A reference as answers have it."""
        if self.kind == "question":
            return final_number(reference)
        if not self.labels:
            return reference
        if not reference.isdecimal() or int(reference) >= len(self.labels):
            raise TestbedError(
                f"{path}: row {row} (counted from 0) has the label {reference}, and {self.name} has "
                f"{len(self.labels)}, counted from 0; name the split that has labels"
            )
        return self.labels[int(reference)]

    def path(self) -> Path:
        """The file, which is fetched from the hub if it is in neither the folder nor the hub's cache.

        Raises:
            TestbedError: it cannot be had.
        """
        if self.folder is None:
            return _fetched(self.name, self.hub, self.file)
        path = Path(self.folder) / self.file
        if not path.is_file():
            raise TestbedError(
                f"{self.folder} has no {self.file}, which {self.name} is read from; "
                f"copy it from the hub's {self.hub}"
            )
        if unfit := unfit_beside(path):
            raise TestbedError(f"{path} {unfit}; copy it from the hub's {self.hub}")
        return path

    def source(self) -> dict[str, Any]:
        path = self.path()
        snapshot = path.parents[len(Path(self.file).parts) - 1]
        revision = snapshot.name if snapshot.parent.name == "snapshots" else None
        told = {"hub": self.hub, "file": self.file, "revision": revision, "path": str(path)}
        return {**told, "sha256": sha256_of(path)}

    def notes(self, examples: Sequence[Example]) -> list[str]:
        count = examples[-1].row + 1
        if count == self.rows:
            return []
        return [f"{self.name}: {self.path()} has {count:,} rows, and the hub's {self.hub} has {self.rows:,}"]


@cache
def _fetched(name: str, hub: str, file: str) -> Path:
    from huggingface_hub import hf_hub_download, try_to_load_from_cache  # late: it takes a second

    cached = try_to_load_from_cache(hub, file, repo_type="dataset")
    if isinstance(cached, str):
        return Path(cached)
    Reporter().say(f"fetching {file} of {hub} from the data-set hub")
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # it warns of each attempt to reach a hub
    try:
        return Path(hf_hub_download(hub, file, repo_type="dataset"))
    except Exception as error:  # the hub's library has a dozen kinds, and network errors beside
        reason = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
        raise TestbedError(
            f"data set {name}: {file} of {hub} cannot be had from the data-set hub ({reason}); "
            f"copy it from where there is a hub and write dataset: {{name: {name}, path: DIRECTORY}}"
        ) from error


def _sentiment(name: str, hub: str, file: str, rows: int, text: str = "text") -> HubDataset:
    return HubDataset(name, "classification", SENTIMENT, "paper", hub, file, rows, text, "label")


def _english_german(name: str, hub: str, split: str, rows: int) -> HubDataset:
    file = f"de-en/{split}-00000-of-00001.parquet"
    return HubDataset(name, "translation", (), "none", hub, file, rows, "translation.en", "translation.de")


HUB = (
    # Socher et al., EMNLP 2013, as in GLUE, whose test split has no labels
    _sentiment("sst2", "nyu-mll/glue", "sst2/validation-00000-of-00001.parquet", 872, "sentence"),
    _sentiment("stanfordnlp/imdb", "stanfordnlp/imdb", "plain_text/test-00000-of-00001.parquet", 25_000),
    _sentiment(
        "cornell-movie-review-data/rotten_tomatoes",
        "cornell-movie-review-data/rotten_tomatoes",
        "test.parquet",
        1_066,
    ),
    # Zhang et al., NIPS 2015: the hub calls the labels 1 and 2, for one or two stars, and for three or four
    _sentiment("yelp_polarity", "fancyzhx/yelp_polarity", "plain_text/test-00000-of-00001.parquet", 38_000),
    _sentiment(
        "amazon_polarity",
        "fancyzhx/amazon_polarity",
        "amazon_polarity/test-00000-of-00001.parquet",
        400_000,
        "content",
    ),
    _english_german("wmt16", "wmt/wmt16", "test", 2_999),
    _english_german("wmt19", "wmt/wmt19", "validation", 2_998),  # whose test split has no references
    _english_german("opus100", "Helsinki-NLP/opus-100", "test", 2_000),
    HubDataset(
        "openai/gsm8k",
        "question",
        (),
        "none",
        "openai/gsm8k",
        "main/test-00000-of-00001.parquet",
        1_319,
        "question",
        "answer",
    ),
)
"""The sets of the paper, and GSM8K."""
