"""The key layout."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from logcommon.model import Destination
from logcommon.schema.keys import (
    decode_part,
    destination_keys,
    encode_part,
    marker_key,
    parse_registered,
    service_patterns,
)

any_text = st.text(st.characters(exclude_categories=[]), min_size=1)
short_text = st.text(st.characters(exclude_categories=[]), min_size=1, max_size=80)


def test_the_layout_is_the_books() -> None:
    """A program that runs the book's functions finds our counts under its keys."""
    keys = destination_keys(Destination("api", "info"))
    assert keys.current == b"common:api:info"
    assert keys.start == b"common:api:info:start"
    assert keys.last == b"common:api:info:last"
    assert keys.previous_start == b"common:api:info:pstart"
    assert keys.recent == b"recent:api:info"
    assert keys.hour(494_412) == b"common:api:info:2026-05-27T12:00:00"


def test_ordinary_names_stand_as_they_are() -> None:
    """Names that programs of the book use are not encoded, so they can share the keys."""
    for name in ("api", "shop/cart-2.checkout_v1", "100%", "größe", "a%zz"):
        assert encode_part(name) == name


@given(any_text)
def test_every_name_survives_the_key(name: str) -> None:
    """Whatever the name, decoding returns it, and the key keeps its layout."""
    encoded = encode_part(name)
    assert decode_part(encoded) == name
    assert not set(encoded) & set(":{} \t\r\n\x00")


@given(short_text, short_text)
def test_every_destination_survives_the_registry(name: str, severity: str) -> None:
    """A member of the registry names the destination that was entered."""
    destination = Destination.of(name, severity)
    assert parse_registered(destination_keys(destination).registered) == destination


@pytest.mark.parametrize(
    "member", [b"", b"api", b":info", b"api:", b"a:b:c", b"x" * 257 + b":info", b"\xff\xff"]
)
def test_a_member_that_names_no_destination(member: bytes) -> None:
    """Another program may have added it, and no reader could use it."""
    assert parse_registered(member) is None


@given(st.tuples(any_text, any_text), st.tuples(any_text, any_text))
def test_two_destinations_never_share_a_key(one: tuple[str, str], two: tuple[str, str]) -> None:
    """No choice of names makes the keys of one destination those of another."""
    if one != two:
        assert not set(destination_keys(Destination(*one))) & set(
            destination_keys(Destination(*two))
        )


def test_a_marker_is_no_destination() -> None:
    """A producer's marker can't be a key of any destination."""
    assert not marker_key("id").startswith((b"common:", b"recent:"))


@pytest.mark.parametrize("name", ["api", "a*", "a?", "[ab]", "a\\b", "größe 1", "a]"])
async def test_patterns_match_the_keys_of_a_service_alone(valkey: Redis, name: str) -> None:
    """Whatever the name, all of its keys are found, and those of similar names are not."""
    keys = destination_keys(Destination(name, "info"))
    ours = {*keys[:5], keys.hour(494_412)}
    for key in ours:
        await valkey.set(key, "")

    for other in ("api2", "ap", "aX", "a", "aXb", "b", "größe"):
        if other != name:
            for key in destination_keys(Destination(other, "info"))[:5]:
                await valkey.set(key, "")

    patterns = service_patterns(name)
    assert {key for each in patterns for key in await valkey.keys(each)} == ours
