from __future__ import annotations

import re

import pytest

from frugal.metrics.catalogue import CATALOGUE, SECTIONS, Metric, MetricType, render_markdown

MONEY = re.compile(r"_(cost|savings|price)_")


@pytest.mark.parametrize("metric", CATALOGUE.values(), ids=lambda metric: metric.name)
def test_names_follow_the_conventions(metric: Metric) -> None:
    assert re.fullmatch(r"frugal(_[a-z]+)+", metric.name)
    assert metric.name.endswith("_total") is (metric.type is MetricType.COUNTER)
    assert not re.search(r"_(ms|milliseconds|percent|points|mib|gib|usd)(_|$)", metric.name)
    assert metric.help.endswith(".") or metric.help.endswith(".)")


@pytest.mark.parametrize("metric", CATALOGUE.values(), ids=lambda metric: metric.name)
def test_no_label_is_unbounded(metric: Metric) -> None:
    assert not {"pod", "node", "uid", "uri", "container", "message"} & set(metric.labels)


def test_money_names_its_currency() -> None:
    told = {name for name in CATALOGUE if MONEY.search(name + "_") and name != "frugal_price_missing"}

    assert told
    assert all("currency" in CATALOGUE[name].labels for name in told)


def test_every_metric_is_named_once() -> None:
    assert len(CATALOGUE) == sum(len(section) for section in SECTIONS.values())


def test_the_reference_has_a_row_for_each() -> None:
    page = render_markdown()

    assert all(f"\n| `{name}` | {metric.type} |" in page for name, metric in CATALOGUE.items())
    assert page.startswith("# Metrics\n")
    assert page.endswith("|\n")
