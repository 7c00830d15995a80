"""A suite in two parts: the same whoever asks, alike in both, and hardly moved by what is added."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from evalkit.errors import EvalkitError
from evalkit.suites import Item, load_suite
from evalkit.suites.splitting import hash_share, in_stages, split_items


def item(name: str, *tags: str) -> Item:
    return Item(name, "text", "text", (), tags)


NAMES = load_suite("indian-names").items


def test_every_item_is_in_one_part_whatever_the_order() -> None:
    split = split_items(NAMES)
    assert set(split.dev) | set(split.test) == {one.id for one in NAMES}
    assert not set(split.dev) & set(split.test)
    shuffled = random.Random(1).sample(NAMES, len(NAMES))
    assert set(split_items(shuffled).dev) == set(split.dev)
    assert list(split.dev) == [one.id for one in NAMES if one.id in set(split.dev)], "in the suite's order"


@pytest.mark.parametrize("share", [0.3, 0.5, 0.8])
def test_each_group_of_difficulty_and_fixture_is_divided_by_the_share(share: float) -> None:
    dev = set(split_items(NAMES, share).dev)
    groups: dict[tuple[str, ...], list[bool]] = {}
    for one in NAMES:
        group = tuple(sorted(tag for tag in one.tags if tag.startswith(("fixture:", "difficulty:"))))
        groups.setdefault(group, []).append(one.id in dev)
    assert len(groups) > 3
    for members in groups.values():
        assert abs(sum(members) - share * len(members)) < 1


def test_an_item_that_is_added_moves_one_other_of_its_group_at_most() -> None:
    old = [item(f"a-{n}", "difficulty:easy" if n % 2 else "difficulty:hard") for n in range(60)]
    before = set(split_items(old).dev)
    for n in range(30):
        more = [*old, item(f"new-{n}", "difficulty:easy")]
        after = set(split_items(more).dev) - {f"new-{n}"}
        moved = before ^ after
        assert len(moved) <= 1
        assert all(int(name.removeprefix("a-")) % 2 for name in moved), "the other group is as it was"


def test_tags_of_the_suite_win() -> None:
    tagged = [item("a", "split:test"), item("b", "split:test"), item("c", "split:dev"), item("d", "split:dev")]
    assert split_items(tagged, 0.9).test == ("a", "b")
    mixed = [*tagged, *(item(f"x{n}") for n in range(20))]
    split = split_items(mixed)
    assert {"a", "b"} <= set(split.test) and {"c", "d"} <= set(split.dev)
    assert Counter(name.startswith("x") for name in split.dev)[True] == 10


def test_two_items_have_one_each() -> None:
    for n in range(40):
        split = split_items([item(f"p{n}"), item(f"q{n}")])
        assert len(split.dev) == len(split.test) == 1


def test_what_cannot_be_divided_is_said() -> None:
    with pytest.raises(EvalkitError, match="no item for"):
        split_items([item("only")])
    with pytest.raises(EvalkitError, match="no item for test"):
        split_items([item("a", "split:dev"), item("b", "split:dev")])
    with pytest.raises(EvalkitError, match="between 0 and 1"):
        split_items(NAMES, 1.0)
    with pytest.raises(EvalkitError, match="split:dev and split:test"):
        split_items([item("a", "split:dev", "split:test"), item("b")])


def test_stages_hold_every_item_once_and_in_their_shares() -> None:
    ids = [one.id for one in NAMES]
    stages = in_stages(ids, (1, 1, 2))
    assert sorted(name for stage in stages for name in stage) == sorted(ids)
    assert [len(stage) for stage in stages] == [48, 47, 95] or [len(stage) for stage in stages] == [47, 48, 95]
    assert in_stages(list(reversed(ids)), (1, 1, 2)) == stages
    assert in_stages(["a"], (1, 1, 2)) == [["a"]]


def test_the_hash_is_what_it_was() -> None:
    """Another hash would move every item of every suite."""
    assert hash_share("in-001") == pytest.approx(0.7162, abs=1e-4)
