"""The held-out set is made from the packages once, and a data set replays it."""

from __future__ import annotations

from pathlib import Path

import pytest

from testbed.host.embedded.translation import heldout, packages
from testbed.host.embedded.translation.heldout import HeldOut, digest
from testbed.scenario.workload.datasets import Example, load, warm_up_texts, whole
from tests.host.embedded.translation import small_packages


def forget() -> None:
    """Let data sets be read again."""
    load.cache_clear()
    whole.cache_clear()


def test_the_data_set_is_what_the_packages_have_of_the_held_out_sentences(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs = small_packages.sentence_pairs()
    listed = [HeldOut(digest(english), digest(german), "x") for english, german in pairs[20:23]]
    listed.insert(1, HeldOut(digest("gone"), digest("fort"), "x"))  # no longer in any package
    monkeypatch.setattr(heldout, "held_out", lambda: tuple(listed))
    monkeypatch.setenv("TESTBED_CACHE", str(tmp_path))
    small_packages.write_packages(packages.unpacked())
    forget()
    expected = tuple(Example(number, *pair) for number, pair in zip((0, 2, 3), pairs[20:23], strict=True))
    assert load("debian_en_de", "test") == expected
    assert "3 of 4 held-out sentences are in the packages" in capsys.readouterr().err
    assert load("debian_en_de", "train") == ()
    texts = warm_up_texts("debian_en_de")
    assert len(texts) == 3
    assert not {example.text for example in expected} & set(texts)
    assert "held-out" not in capsys.readouterr().err  # the file is there
    forget()
