"""Laws of quantities and durations: what a text means is never lost or invented."""

from datetime import UTC, datetime
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as some

from frugal.units import (
    MIB,
    Duration,
    Quantity,
    cpu_quantity,
    duration_text,
    memory_quantity,
    parse_rfc3339,
    rfc3339,
)

BINARY = ["Ki", "Mi", "Gi", "Ti"]
UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


@given(some.integers(0, 10**12))
def test_a_whole_number_is_worth_itself(number: int) -> None:
    assert Quantity(number).value == number


@given(some.integers(0, 10**6), some.sampled_from(range(3)))
def test_a_binary_suffix_is_worth_1024_of_the_one_before(number: int, step: int) -> None:
    assert Quantity(f"{number}{BINARY[step + 1]}").value == 1024 * Quantity(f"{number}{BINARY[step]}").value


@given(some.decimals(0, 10**6, places=3))
def test_a_thousand_milli_are_one(number: Decimal) -> None:
    assert Quantity(f"{number}").value * 1000 == Quantity(f"{number}k").value
    assert Quantity(f"{number}m").value * 1000 == Quantity(f"{number}").value


@given(some.floats(0, 10**6))
def test_a_cpu_quantity_is_never_less_and_never_a_millicore_more(cores: float) -> None:
    exact = Decimal(str(cores))

    assert exact <= cpu_quantity(cores).value <= exact + Decimal("0.001")


@given(some.integers(0, 2**50))
def test_a_memory_quantity_is_never_less_and_never_a_mebibyte_more(size_bytes: int) -> None:
    assert size_bytes <= memory_quantity(size_bytes).value < size_bytes + MIB


@given(some.lists(some.tuples(some.integers(0, 9999), some.sampled_from(list(UNITS))), min_size=1, max_size=4))
def test_a_duration_is_the_sum_of_its_parts(parts: list[tuple[int, str]]) -> None:
    text = "".join(f"{number}{unit}" for number, unit in parts)

    assert abs(Duration(text).seconds - sum(number * UNITS[unit] for number, unit in parts)) < 1e-6


@given(some.integers(1, 10**7))
def test_a_duration_for_people_is_off_by_less_than_its_smaller_unit(seconds: int) -> None:
    text = duration_text(seconds)

    read = Duration(text).seconds
    smaller = max(1, min(UNITS[unit] for unit in ("s", "m", "h", "d") if text.endswith(unit)))
    assert 0 <= seconds - read < max(smaller * 60, 86400 if text.endswith("d") else 0)


@given(some.floats(0, 7e9))
def test_a_moment_survives_its_text_to_the_second(epoch_seconds: float) -> None:
    moment = datetime.fromtimestamp(epoch_seconds, UTC)

    assert parse_rfc3339(rfc3339(moment)) == moment.replace(microsecond=0)
