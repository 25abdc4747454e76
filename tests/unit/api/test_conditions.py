"""Conditions move only when what they say changes."""

from datetime import UTC, datetime

from frugal.api.conditions import ConditionType, Reason, carry_transitions, condition

BEFORE = datetime(2026, 11, 1, 12, tzinfo=UTC)
NOW = datetime(2026, 11, 1, 13, tzinfo=UTC)


def test_an_unknown_condition_is_neither_true_nor_false() -> None:
    found = condition(ConditionType.WORTH_IT, None, Reason.PRICE_MISSING, "no price", generation=1, now=NOW)

    assert found.status == "Unknown"


def test_a_transition_keeps_its_time_while_the_status_stays() -> None:
    old = condition(ConditionType.READY, False, Reason.PENDING, "", generation=1, now=BEFORE).to_json()
    new = condition(ConditionType.READY, False, Reason.SEARCHING, "trial 3", generation=1, now=NOW)

    (carried,) = carry_transitions([new], [old])

    assert (carried.last_transition_time, carried.reason) == ("2026-11-01T12:00:00Z", "Searching")


def test_a_transition_moves_when_the_status_does() -> None:
    old = condition(ConditionType.READY, False, Reason.PENDING, "", generation=1, now=BEFORE).to_json()
    new = condition(ConditionType.READY, True, Reason.SUCCEEDED, "", generation=1, now=NOW)

    (carried,) = carry_transitions([new], [old])

    assert carried.last_transition_time == "2026-11-01T13:00:00Z"


def test_conditions_come_in_order_of_their_type() -> None:
    made = [
        condition(kind, True, Reason.ACCEPTED, "", generation=1, now=NOW)
        for kind in (ConditionType.VALID, ConditionType.READY)
    ]

    assert [one.type for one in carry_transitions(made, [])] == ["Ready", "Valid"]


def test_a_message_is_cut_at_what_the_crd_allows() -> None:
    found = condition(ConditionType.READY, False, Reason.POD_FAILED, "x" * 5000, generation=1, now=NOW)

    assert len(found.message) == 4096
