"""Pages of every kind become pairs of sentences, and none of the held-out ones is among them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from testbed.host.embedded.translation import heldout
from testbed.host.embedded.translation.blocks import Block, aligned
from testbed.host.embedded.translation.clean import normalise, plausible, sentence_pairs, sentences
from testbed.host.embedded.translation.corpus import read_corpus
from testbed.host.embedded.translation.heldout import HeldOut, digest, find_held_out, held_out
from testbed.host.embedded.translation.roff import plain
from tests.host.embedded.translation import small_packages


def test_every_sentence_of_every_kind_of_page_is_found_with_its_translation(tmp_path: Path) -> None:
    corpus = read_corpus(small_packages.write_packages(tmp_path))
    assert sorted(corpus.prose) == sorted(small_packages.sentence_pairs())
    assert corpus.phrases == [("house", "Haus"), ("houses", "Häuser")]


def test_held_out_sentences_are_found_by_their_hashes_and_never_trained_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = small_packages.sentence_pairs()
    listed = tuple(HeldOut(digest(english), digest(german), "x") for english, german in pairs[10:13])
    monkeypatch.setattr(heldout, "held_out", lambda: listed)
    corpus = read_corpus(small_packages.write_packages(tmp_path))
    assert not set(corpus.prose) & set(pairs[10:13])
    assert len(corpus.prose) == len(pairs) - 3
    assert find_held_out(pairs) == dict(enumerate(pairs[10:13]))


def test_the_repository_lists_hashes_of_2835_different_sentences_and_no_text() -> None:
    assert len(held_out()) == len({entry.english for entry in held_out()}) == 2835
    assert all(re.fullmatch(r"[0-9a-f]{32}", entry.english + entry.german) for entry in held_out())


def test_a_hash_is_of_the_words_alone() -> None:
    assert digest("The File, no. 12!") == digest("the file no 7")
    assert digest("The file") != digest("The files")


def test_blocks_are_aligned_where_the_pages_differ_in_the_middle() -> None:
    english = [Block("p", "A"), Block("p", "B"), Block("h2", "Only here"), Block("p", "C"), Block("li", "D")]
    german = [Block("p", "a"), Block("p", "b"), Block("p", "c"), Block("li", "d")]
    assert list(aligned(english, german)) == [("A", "a"), ("B", "b"), ("C", "c"), ("D", "d")]


def test_paragraphs_fall_into_sentences_but_not_at_abbreviations() -> None:
    assert sentences("Das gilt z.B. Das hier nicht. Dr. Frank geht.") == [
        "Das gilt z.B. Das hier nicht.",
        "Dr. Frank geht.",
    ]
    assert list(sentence_pairs("One here. Two there.", "Eins ist hier. Zwei ist da.")) == [
        ("One here.", "Eins ist hier."),
        ("Two there.", "Zwei ist da."),
    ]


def test_quotation_marks_dashes_and_bullets_become_plain() -> None:
    assert normalise("• „So“ – sagt er …") == '"So" - sagt er ...'


@pytest.mark.parametrize(
    ("english", "german"),
    [
        ("The value is 17 in this file.", "Der Wert ist 23 in dieser Datei."),
        ("The value is in this file.", "The value is in this file."),
        ("Yes.", "Das ist ein sehr langer Satz, der zu diesem Wort nicht gehören kann."),
        ("Set %s for this.", "Setzt das für dieses."),
    ],
)
def test_a_pair_that_cannot_be_a_translation_is_left_out(english: str, german: str) -> None:
    assert not plausible(english, german)


def test_escapes_of_manual_pages_become_text() -> None:
    assert plain(r"\fBls\fR \- l\(:oscht \(lqalles\(rq\&.") == 'ls - löscht "alles".'
