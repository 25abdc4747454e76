"""Probes: what is wrong makes them fail, and what a restart cannot mend does not restart."""

from __future__ import annotations

from dataclasses import replace

from frugal.handlers.health import SILENT_SECONDS, STUCK_SECONDS, Health

WELL = Health(
    longest_in_hand_seconds=lambda: 0.0,
    silent_seconds=lambda: 0.0,
    is_synced=lambda: True,
    is_leader=lambda: True,
)


def test_all_is_well() -> None:
    assert WELL.live() == ""
    assert WELL.ready() == ""


def test_who_does_not_lead_is_ready_too() -> None:
    follower = replace(WELL, is_leader=lambda: False)

    assert follower.ready() == ""


def test_a_reconcile_that_hangs_is_not_alive() -> None:
    hanging = replace(WELL, longest_in_hand_seconds=lambda: STUCK_SECONDS + 1)

    assert "has not ended" in hanging.live()


def test_before_the_first_listing_it_is_alive_but_not_ready() -> None:
    starting = replace(WELL, is_synced=lambda: False)

    assert starting.live() == ""
    assert "not listed yet" in starting.ready()


def test_a_silent_api_server_makes_it_unready_but_a_restart_would_mend_nothing() -> None:
    cut_off = replace(WELL, silent_seconds=lambda: SILENT_SECONDS + 1)

    assert "has not answered" in cut_off.ready()
    assert cut_off.live() == ""
