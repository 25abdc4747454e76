"""Events: the same event about the same object has one name, any other another."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from frugal.api.conditions import Reason
from frugal.cluster.events import MESSAGE_CHARACTERS, event_manifest
from frugal.decisions.plan import Event

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def posted(event: Event, *, uid: str = "u1", minutes: int = 0, name: str = "cnn") -> dict[str, Any]:
    metadata = {"namespace": "team", "name": name, "uid": uid}
    about = {"apiVersion": "frugal.dev/v1alpha1", "kind": "CompressionJob", "metadata": metadata}
    return event_manifest(about, event, now=NOW.replace(minute=minutes), reporter="pod-1")


def name_of(manifest: dict[str, Any]) -> str:
    return str(manifest["metadata"]["name"])


def test_the_same_event_has_the_same_name_at_any_time() -> None:
    event = Event(reason=Reason.PROGRESSING, message="started")

    assert name_of(posted(event, minutes=0)) == name_of(posted(event, minutes=30))


def test_another_message_another_reason_and_another_object_have_other_names() -> None:
    events = [
        posted(Event(reason=Reason.PROGRESSING, message="started")),
        posted(Event(reason=Reason.PROGRESSING, message="started again")),
        posted(Event(reason=Reason.PENDING, message="started")),
        posted(Event(reason=Reason.PROGRESSING, message="started"), uid="u2"),
    ]

    assert len({name_of(event) for event in events}) == 4


def test_the_name_of_an_object_with_the_longest_name_still_fits() -> None:
    event = posted(Event(reason=Reason.PROGRESSING, message="started"), name="n" * 253)

    assert len(name_of(event)) <= 253


def test_a_message_too_long_for_the_server_is_shortened_but_still_tells_two_events_apart() -> None:
    long = "x" * 2000

    first, second = (posted(Event(reason=Reason.PROGRESSING, message=long + end)) for end in "ab")

    assert len(first["message"]) == MESSAGE_CHARACTERS
    assert name_of(first) != name_of(second)
