"""The cost page: whole without a network, readable in both schemes, by keyboard and by screen reader."""

from __future__ import annotations

import re
import shutil
import subprocess
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from frugal.cli.cost.html import page
from frugal.cli.cost.lines import lines_of
from frugal.cli.cost.style import DARK, LIGHT
from frugal.pricing.cost import month_start

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def service(name: str, hourly: str, spent: str, currency: str = "USD") -> dict[str, Any]:
    cost = {"hourly": hourly, "hourlyByResource": {"cpu": hourly}, "monthToDate": spent, "forecastMonth": "900"}
    days = [{"day": "2026-03-08", "amount": "4"}, {"day": "2026-03-09", "amount": spent}]
    status = {
        "cost": {**cost, "currency": currency, "days": days, "observedAt": "2026-03-10T12:00:00Z"},
        "utilization": {"cpu": 0.02, "requestsPerSecond": 0, "observedAt": "2026-03-10T12:00:00Z"},
    }
    return {"kind": "InferenceDeployment", "metadata": {"name": name, "namespace": "shop"}, "status": status}


def made() -> str:
    manifests = [
        service("<b>fashion", "0.50", "100.25"),
        service("search", "0.25", "60"),
        service("eu", "1", "7", "EUR"),
    ]
    return page(lines_of(manifests, since=month_start(NOW), now=NOW), now=NOW)


class Outline(HTMLParser):
    """What a screen reader walks along."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def outline() -> Outline:
    parser = Outline()
    parser.feed(made())
    return parser


def test_it_needs_nothing_but_itself() -> None:
    text = made()

    assert not re.search(r"https?://|<script|<link|@import|url\(", text)


def test_names_of_objects_are_text_and_no_markup() -> None:
    assert "&lt;b&gt;fashion" in made()
    assert "<b>fashion" not in made()


def test_a_screen_reader_finds_language_landmarks_headings_and_captions() -> None:
    found = outline()

    assert found.all("html")[0]["lang"] == "en"
    assert len(found.all("main")) == len(found.all("nav")) == len(found.all("h1")) == 1
    assert len(found.all("table")) == len(found.all("caption"))
    assert all(cell.get("scope") in ("col", "row") for cell in found.all("th"))
    assert all(plot["role"] == "img" and plot["aria-label"] for plot in found.all("svg"))
    assert len(found.all("svg")) == len(found.all("details")) == 4  # two plots a currency, each with its figures


def test_every_link_and_label_leads_somewhere_once() -> None:
    found = outline()

    names = [attributes["id"] for _, attributes in found.found if "id" in attributes]
    assert len(names) == len(set(names))
    assert {str(link["href"]).removeprefix("#") for link in found.all("a")} <= set(names)
    assert {attributes["aria-labelledby"] for _, attributes in found.found if "aria-labelledby" in attributes} <= set(
        names
    )


def test_the_keyboard_reaches_what_scrolls_and_what_opens() -> None:
    found = outline()

    assert all(region.get("tabindex") == "0" for region in found.all("div") if region.get("role") == "region")
    assert len(found.all("summary")) == len(found.all("details"))
    assert found.all("a")[0] == {"class": "skip", "href": "#main"}


@pytest.mark.parametrize("colours", [LIGHT, DARK])
def test_text_stands_out_in_both_schemes(colours: dict[str, str]) -> None:
    for name in ("text", "quiet", "link"):
        assert contrast(colours[name], colours["back"]) >= 4.5, name
    assert contrast(colours["bar"], colours["back"]) >= 3  # WCAG 2.2, 1.4.11: graphics


def test_the_figures_of_a_plot_are_those_of_the_table() -> None:
    text = made()

    assert text.count("100.25") >= 3  # bar, its table, and the table of every workload
    assert "EUR" in text
    assert "160.25" in text  # the dollars alone add up


@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium here")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_draws_it_in_both_schemes(tmp_path: Path, scheme: str) -> None:
    assert CHROMIUM is not None
    (tmp_path / "cost.html").write_text(made())

    preferred = f"--blink-settings=preferredColorScheme={0 if scheme == 'dark' else 1}"
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/profile", preferred]
    done = subprocess.run(
        [
            CHROMIUM,
            *options,
            f"--screenshot={tmp_path}/page.png",
            "--window-size=900,900",
            f"file://{tmp_path}/cost.html",
        ],
        timeout=60,
        check=False,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr[-500:]
    red, green, blue = corner(tmp_path / "page.png")
    assert (red + green + blue < 120) is (scheme == "dark")


def corner(png: Path) -> tuple[int, int, int]:
    """Return the first pixel of a PNG with 8 bits a channel: its filter may be any, because nothing precedes it."""
    import struct
    import zlib

    content, place, packed = png.read_bytes(), 8, b""
    while place < len(content):
        (length,) = struct.unpack(">I", content[place : place + 4])
        if content[place + 4 : place + 8] == b"IDAT":
            packed += content[place + 8 : place + 8 + length]
        place += 12 + length
    row = zlib.decompressobj().decompress(packed, 4)
    return row[1], row[2], row[3]


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours by WCAG 2.2."""
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
