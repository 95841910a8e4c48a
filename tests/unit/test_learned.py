"""Photos that a model learned from, kept as numbers."""

import hashlib

import pytest

from binsight.learned import NOTHING, Learned, photo_id

DIGESTS = [hashlib.sha256(bytes([number])).hexdigest() for number in range(40)]


def test_a_photo_is_found_by_its_digest() -> None:
    learned = Learned.of(DIGESTS[:3])
    assert [digest in learned for digest in DIGESTS[:5]] == [True, True, True, False, False]
    assert len(learned) == 3
    assert not NOTHING
    assert "" not in learned


def test_sets_are_joined_and_taken_away() -> None:
    one, other = Learned.of(DIGESTS[:3]), Learned.of(DIGESTS[2:5])
    assert one | other == Learned.of(DIGESTS[:5])
    assert one - other == Learned.of(DIGESTS[:2])


def test_ids_fit_eight_signed_bytes_and_differ() -> None:
    ids = [photo_id(digest) for digest in DIGESTS]
    assert len(set(ids)) == len(ids)
    assert any(one < 0 for one in ids)
    assert all(-(2**63) <= one < 2**63 for one in ids)


def test_what_is_written_is_read() -> None:
    learned = Learned.of(DIGESTS)
    assert Learned.parse(learned.text) == learned
    assert {len(line) for line in learned.text.splitlines()} == {16}
    assert learned.text == Learned.of(reversed(DIGESTS)).text
    assert Learned.parse("") == NOTHING


def test_digests_are_read_too() -> None:
    assert Learned.parse("\n".join(DIGESTS)) == Learned.of(DIGESTS)


@pytest.mark.parametrize("text", ["schön", "12", "0123456789abcdef00", "zz23456789abcdef"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        Learned.parse(text)
