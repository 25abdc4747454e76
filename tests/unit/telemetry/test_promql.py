"""PromQL: a constant number of queries of bounded length, and parameters that stay parameters."""

from __future__ import annotations

import re
from dataclasses import astuple

import pytest

from frugal.api.inference_deployment import RuntimeMetrics
from frugal.loop.ports import ObjectKey, Workload
from frugal.telemetry.promql import DECLARED_RUNTIMES, MATCHER_CHARACTERS, any_of, declared_runtimes, queries
from tests.fakes.exporters import Fleet
from tests.unit.telemetry.factories import pod, workload


def test_a_thousand_workloads_take_as_many_queries_as_one() -> None:
    many = [workload(pod(f"p{n}"), key=ObjectKey("InferenceDeployment", "team", f"i{n}")) for n in range(1000)]

    one, all_of_them = queries(many[:1], are_recorded=False), queries(many, are_recorded=False)

    assert astuple(one) == astuple(all_of_them)  # the same namespace and container: even the same text


def test_ten_thousand_namespaces_do_not_make_a_query_of_a_megabyte() -> None:
    fleet = Fleet(10_000, namespaces=10_000)

    asked = astuple(queries(fleet.described(), are_recorded=False))

    assert max(map(len, asked)) < 32_000  # the longest names its namespaces five times, 4,096 characters each


def test_a_name_with_a_quote_or_a_pattern_in_it_stays_a_name() -> None:
    assert any_of(['a"} or vector(1) #']) == '"a\\"\\\\}\\\\ or\\\\ vector\\\\(1\\\\)\\\\ \\\\#"'
    assert any_of(["b.c", "a|d"]) == '"a\\\\|d|b\\\\.c"'


def unquoted(pattern: str) -> str:
    return pattern[1:-1].replace("\\\\", "\\")


def test_names_for_which_there_is_no_room_are_matched_by_their_longest_beginnings() -> None:
    names = [f"team-{number}" for number in range(5000)]

    pattern = re.compile(unquoted(any_of(names)))

    assert len(pattern.pattern) <= MATCHER_CHARACTERS
    assert all(pattern.fullmatch(name) for name in names)
    assert not pattern.fullmatch("other")


def test_names_with_nothing_in_common_and_no_room_are_matched_by_everything() -> None:
    assert any_of([f"{letter}-name" for letter in "abcdefgh"], limit=10) == '".+"'


def test_a_few_names_are_matched_exactly() -> None:
    pattern = re.compile(unquoted(any_of(["a", "b"])))

    assert pattern.fullmatch("a")
    assert not pattern.fullmatch("ab")


def with_metrics(number: int, requests: str) -> Workload:
    key = ObjectKey("InferenceDeployment", "team", f"i{number}")
    return Workload(key=key, pods=(pod(f"p{number}"),), metrics=RuntimeMetrics(requests=requests))


def test_declared_metrics_take_one_query_more_however_many_declare_them() -> None:
    asked = queries([with_metrics(n, "ts_inference_requests_total") for n in range(50)], are_recorded=False)

    assert asked.declared == '{__name__=~"ts_inference_requests_total",namespace=~"team"}'
    assert queries([workload(pod())], are_recorded=False).declared == ""


def test_declarations_are_bounded() -> None:
    many = [with_metrics(n, f"requests_{n}_total") for n in range(DECLARED_RUNTIMES + 5)]

    assert len(declared_runtimes(many)) == DECLARED_RUNTIMES


@pytest.mark.parametrize("are_recorded", [True, False])
def test_no_query_has_a_sub_query(are_recorded: bool) -> None:
    asked = astuple(queries([with_metrics(1, "requests_total")], are_recorded=are_recorded))

    assert not [query for query in asked if re.search(r"\[[^\]]*:[^\]]*\]", query)]


def test_recorded_series_replace_the_kubelets() -> None:
    asked = queries([workload(pod())], are_recorded=True)

    assert "container_" in asked.cpu_seconds  # in the rule's name
    assert "container_cpu_usage_seconds_total" not in asked.cpu_seconds
    assert "max_over_time" not in asked.memory_bytes
