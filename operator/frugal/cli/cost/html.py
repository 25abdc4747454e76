"""The overview and the month's report as one self-contained page: no script, no font, no request to anywhere.

Plots are inline SVG with a title and the same figures as a table; colours follow the reader's light or dark scheme.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from html import escape

from frugal.cli.cost.groups import Group, grouped, totals
from frugal.cli.cost.lines import Line
from frugal.cli.cost.style import STYLE
from frugal.cli.cost.tables import Table, cost_table, idle_table, money, savings_table
from frugal.pricing.cost import month_start, next_month
from frugal.units import rfc3339

TOP = 10  # bars of the overview
WIDTH, BAR, GAP, LABEL = 720, 22, 8, 220  # of a plot, in its own units
HEIGHT = 200


def page(lines: Sequence[Line], *, now: datetime) -> str:
    """Return the page."""
    month = f"{now:%B %Y}"
    body = [
        f"<h1>What serving costs, {month}</h1>",
        f"<p>As of <time datetime='{rfc3339(now)}'>{now:%Y-%m-%d %H:%M} UTC</time>; months are UTC.</p>",
        *(_overview(one, lines, now) for one in totals(lines)),
        _section("services", "Every workload", _table(_all(lines), "What each workload costs")),
        _section("savings", "Saved", _table(savings_table(lines), "Savings by service")),
        _section("idle", "Paid for and not used", _table(idle_table(lines), "Idle cost by service")),
    ]
    return (
        f"<!DOCTYPE html>\n<html lang='en'><head><meta charset='utf-8'><title>Cost, {month}</title>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<meta name='color-scheme' content='light dark'><style>{STYLE}</style></head>"
        f"<body><a class='skip' href='#main'>Skip to the figures</a>{_navigation()}"
        f"<main id='main' tabindex='-1'>{''.join(body)}</main></body></html>\n"
    )


def _navigation() -> str:
    links = {"overview": "Overview", "services": "Workloads", "savings": "Saved", "idle": "Idle"}
    return (
        "<nav aria-label='Sections'>" + "".join(f"<a href='#{to}'>{name}</a>" for to, name in links.items()) + "</nav>"
    )


def _overview(total: Group, lines: Sequence[Line], now: datetime) -> str:
    """Return the figures of one currency, its dearest workloads and its days."""
    ours = [one for one in lines if one.currency == total.currency]
    idle = sum((one.idle_hourly for one in ours if one.idle_hourly is not None), start=Decimal(0))
    unit = total.currency or "no price yet"
    cards = {
        "spent this month": money(total.month_to_date),
        "expected for the month": money(total.forecast_month),
        "an hour, now": f"{total.hourly:.4f}",
        "of it idle, an hour": f"{idle:.4f}",
        "saved and realized": money(total.realized),
        "allocated only": money(max(Decimal(0), total.allocated - total.realized)),
    }
    figures = "".join(
        f"<div><dt>{name}</dt><dd>{value} <small>{escape(unit)}</small></dd></div>" for name, value in cards.items()
    )
    groups = grouped(ours, "name")[:TOP]
    identity = "overview" if total is totals(lines)[0] or _is_first(total, lines) else f"overview-{unit}"
    plots = _bars(groups, unit) + _days(ours, unit, now)
    return _section(identity, f"Overview, {escape(unit)}", f"<dl class='cards'>{figures}</dl>{plots}")


def _is_first(total: Group, lines: Sequence[Line]) -> bool:
    return total.currency == totals(lines)[0].currency


def _bars(groups: Sequence[Group], unit: str) -> str:
    """Return the dearest workloads of the month as bars, and as a table."""
    most = max((one.month_to_date for one in groups), default=Decimal(0))
    if not most:
        return ""
    rows = []
    for index, one in enumerate(groups):
        top, length = index * (BAR + GAP), float(one.month_to_date / most) * (WIDTH - LABEL - 90)
        rows.append(
            f"<text x='{LABEL - 8}' y='{top + 16}' text-anchor='end'>{escape(_short(one.key))}</text>"
            f"<rect x='{LABEL}' y='{top}' width='{length:.1f}' height='{BAR}' rx='3'/>"
            f"<text x='{LABEL + length + 6:.1f}' y='{top + 16}'>{money(one.month_to_date)}</text>"
        )
    title = f"The {len(groups)} dearest workloads this month, {unit}"
    data = Table(headings=["WORKLOAD", "MONTH"], rows=[[one.key, money(one.month_to_date)] for one in groups])
    return _figure("dearest", title, "".join(rows), height=len(groups) * (BAR + GAP), data=data)


def _days(lines: Sequence[Line], unit: str, now: datetime) -> str:
    """Return what each day of the month cost, as columns and as a table; days to come are empty."""
    start, end = month_start(now), next_month(now)
    days = [f"{start + timedelta(days=number):%Y-%m-%d}" for number in range((end - start).days)]
    sums = {day: sum((one.days.get(day, Decimal(0)) for one in lines), start=Decimal(0)) for day in days}
    most = max(sums.values(), default=Decimal(0))
    if not most:
        return ""
    step = (WIDTH - 20) / len(days)
    rows = []
    for index, (day, amount) in enumerate(sums.items()):
        tall, left = float(amount / most) * (HEIGHT - 40), 10 + index * step
        rows.append(
            f"<rect x='{left:.1f}' y='{HEIGHT - 20 - tall:.1f}' width='{step - 3:.1f}' height='{tall:.1f}'>"
            f"<title>{day}: {money(amount)} {escape(unit)}</title></rect>"
        )
        if index % 7 == 0:
            rows.append(f"<text x='{left:.1f}' y='{HEIGHT - 4}'>{day[5:]}</text>")
    rows.append(f"<text x='10' y='14'>{money(most)} {escape(unit)} on the dearest day</text>")
    data = Table(headings=["DAY", "COST"], rows=[[day, money(amount)] for day, amount in sums.items() if amount])
    return _figure("days", f"Cost of each day, {unit}", "".join(rows), height=HEIGHT, data=data)


def _figure(name: str, title: str, drawing: str, *, height: int, data: Table) -> str:
    """Return a plot with its caption, and its figures as a table that opens."""
    return (
        f"<figure><figcaption>{escape(title)}</figcaption>"
        f"<svg role='img' aria-label='{escape(title)}; the figures are in the table below' "
        f"viewBox='0 0 {WIDTH} {height}' class='{name}'>{drawing}</svg>"
        f"<details><summary>The figures of this plot</summary>{_table(data, title)}</details></figure>"
    )


def _table(table: Table, caption: str) -> str:
    if not table.rows:
        return f"<p>{escape(' '.join(note for note in table.notes if note) or 'Nothing to show.')}</p>"
    heads = "".join(f"<th scope='col'>{escape(_worded(one))}</th>" for one in table.headings)
    rows = "".join(f"<tr>{_cells(row)}</tr>" for row in table.rows)
    notes = "".join(f"<p class='note'>{escape(note.strip())}</p>" for note in table.notes if note.strip())
    return (
        f"<div class='wide' role='region' aria-label='{escape(caption)}' tabindex='0'><table><caption>{escape(caption)}"
        f"</caption><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>{notes}"
    )


def _cells(row: Iterable[str]) -> str:
    first, *others = row
    return f"<th scope='row'>{escape(first)}</th>" + "".join(f"<td>{escape(cell)}</td>" for cell in others)


def _all(lines: Sequence[Line]) -> Table:
    return cost_table(grouped(lines, "name"), lines, since_text="month began")


def _section(identity: str, title: str, content: str) -> str:
    return (
        f"<section id='{identity}' aria-labelledby='{identity}-h'><h2 id='{identity}-h'>{title}</h2>{content}</section>"
    )


def _worded(heading: str) -> str:
    return heading.capitalize().replace("/h", " an hour").replace("/month", ", a month")


def _short(key: str) -> str:
    return key if len(key) <= 30 else f"…{key[-29:]}"
