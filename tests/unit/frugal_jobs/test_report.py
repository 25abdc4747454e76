"""The report for people, the report for programs, and the termination message."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

from frugal.api.compression_job import Strategy
from frugal.api.result import (
    MAX_TERMINATION_MESSAGE_BYTES,
    Artifact,
    Best,
    Candidate,
    CompressionResult,
    ModelFigures,
    Report,
    ResultVerdict,
)
from frugal_jobs.report.page import page_of
from frugal_jobs.report.plot import trade_off
from frugal_jobs.report.publication import publish_model, publish_report
from frugal_jobs.report.wording import comparison_rows, rejection_sentence, reproduction, verdict_sentence
from frugal_jobs.termination import message_of
from tests.unit.frugal_jobs.small_models import small_cnn, storage

STEPS = [
    {"prune": {"kind": "structured", "ratio": 0.5, "epochs": 2.25}},
    {"quantize": {"scheme": "linear", "bits": 8, "perChannel": True, "calibrate": "minmax"}},
]
BEFORE = ModelFigures(accuracy=0.92, samples=10_000, parameters=1000, size_bytes=4000, latency_p50_seconds=0.0002)
AFTER = ModelFigures(accuracy=0.918, samples=10_000, parameters=250, size_bytes=400, latency_p50_seconds=0.00005)
PUBLISHED = Candidate(
    technique="prune 50 % + int8", loss=0.2, size_ratio=10, latency_ratio=4, objective=0.2, figures=AFTER,
    verdict="verified on 10,000 evaluation samples and published",
)  # fmt: skip
EVIL = Candidate(
    technique="<script>alert(1)</script>",
    loss=3,
    size_ratio=4,
    latency_ratio=2,
    objective=0.5,
    figures=AFTER,
    verdict="x",
)
BEST = Best(technique="prune 50 % + int8", loss=0.2, loss_upper_bound=0.41, size_ratio=10, latency_ratio=4)


def result(**more: object) -> CompressionResult:
    options: dict[str, object] = {
        "verdict": ResultVerdict.SUCCEEDED, "message": "fine", "inputs_hash": "abc", "baseline": BEFORE, "best": BEST
    }  # fmt: skip
    return CompressionResult.model_validate(options | more)


def report(*candidates: Candidate) -> Report:
    return Report(
        namespace="default", name="fashion-cnn", inputs_hash="abc", result=result(), candidates=list(candidates),
        front=list(candidates[:1]), pipeline=STEPS, environment={"cpu": "a <fast> one"},
    )  # fmt: skip


class Links(HTMLParser):
    """Collects what a page would fetch, and whether its tags are balanced."""

    VOID = frozenset({"meta", "br", "hr", "img", "link", "input"})

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.fetched += [str(value) for name, value in attrs if name in ("src", "href", "srcset", "action")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_and_fetches_nothing() -> None:
    page = page_of(report(PUBLISHED, EVIL), published=PUBLISHED, max_loss=0.5)

    links = Links()
    links.feed(page)
    assert links.fetched == []
    assert links.open == []
    assert "url(" not in page
    assert "@import" not in page


def test_what_a_user_named_cannot_run_in_the_page() -> None:
    page = page_of(report(EVIL), published=None, max_loss=0.5)

    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "&lt;fast&gt;" in page


def test_the_page_says_verdict_change_and_why_others_were_not_taken() -> None:
    page = page_of(report(PUBLISHED, EVIL), published=PUBLISHED, max_loss=0.5)

    assert re.search(r"<strong>Succeeded\.</strong> fine", page)
    assert "÷ 10.00" in page  # 4,000 / 400 bytes
    assert "-0.20 points" in page
    assert page.count('<tr class="published">') == 1


def test_the_plot_is_well_formed_and_has_a_dot_for_each_candidate() -> None:
    failed = Candidate(technique="failed", loss=0, size_ratio=1, latency_ratio=1)

    plot = trade_off([PUBLISHED, EVIL, failed], [PUBLISHED], max_loss=0.5, published=PUBLISHED)

    drawing = ElementTree.fromstring(str(plot))
    assert [dot.get("class") for dot in drawing.iter("circle")] == ["published", "dot"]
    assert all(0 <= float(dot.get("cx", "-1")) <= 640 for dot in drawing.iter("circle"))


@pytest.mark.parametrize("loss", [-3.0, 0.0, 50.0])
def test_the_plot_copes_with_any_loss(loss: float) -> None:
    one = PUBLISHED.model_copy(update={"loss": loss, "size_ratio": 1.0})

    plot = trade_off([one], [one], max_loss=0.0, published=None)

    assert ElementTree.fromstring(str(plot)).tag == "svg"


def test_without_candidates_there_is_no_plot() -> None:
    assert trade_off([], [], max_loss=0.5, published=None) == ""


def test_the_recipe_in_the_report_is_a_valid_strategy() -> None:
    text = reproduction(STEPS)

    strategy = Strategy.model_validate(yaml.safe_load(text)["strategy"])
    assert [step.to_json() for step in strategy.pipeline] == STEPS


def test_the_sentences_carry_the_figures_that_decide() -> None:
    won = verdict_sentence(BEST, max_loss=0.5, confidence=0.96)
    lost = rejection_sentence([PUBLISHED], verified=2, max_loss=0.5)

    assert won == (
        "prune 50 % + int8: 10.00x smaller, 4.00x as fast, loses 0.20 points "
        "(at most 0.41 lost at 96 % confidence, 0.5 allowed)"
    )
    assert lost == "2 candidates went to verification and none kept its loss surely under 0.5 points"


def test_a_bound_below_zero_is_a_gain() -> None:
    gained = verdict_sentence(BEST.model_copy(update={"loss_upper_bound": -0.23}), max_loss=0.5, confidence=0.96)

    assert "at least 0.23 gained at 96 % confidence" in gained


def test_rows_without_a_published_model_show_the_original_alone() -> None:
    rows = comparison_rows(BEFORE, None)

    assert rows[0] == ("Accuracy", "92.00 %", "", "")


def test_artifact_and_report_lie_at_their_digests(tmp_path: Path) -> None:
    model = small_cnn()

    artifact = publish_model(storage(), tmp_path.as_uri(), model, target="onnxruntime/cpu")
    uri, digest = publish_report(storage(), tmp_path.as_uri(), report(PUBLISHED), "<html></html>")

    assert (tmp_path / "sha256" / artifact.sha256 / "model.onnx").read_bytes() == model.content
    assert uri == f"{tmp_path.as_uri()}/sha256/{digest}/report.json"
    written = json.loads((tmp_path / "sha256" / digest / "report.json").read_text())
    assert Report.model_validate(written).pipeline == STEPS
    assert (tmp_path / "sha256" / digest / "report.html").exists()


def test_a_short_result_is_said_whole() -> None:
    whole = result(advice="12 Conv: convolutional")

    assert CompressionResult.model_validate_json(message_of(whole)) == whole


def test_a_long_result_loses_words_before_it_loses_its_verdict() -> None:
    artifacts = [
        Artifact(target="onnxruntime/cpu", uri="file:///" + "ä" * 900, sha256="0" * 64, size_bytes=1, verified=True)
        for _ in range(3)
    ]
    long = result(message="ü" * 1024, advice="é" * 2000, artifacts=artifacts, report_uri="file:///" + "x" * 900)

    content = message_of(long)

    said = CompressionResult.model_validate_json(content)
    assert len(content) <= MAX_TERMINATION_MESSAGE_BYTES
    assert said.verdict is ResultVerdict.SUCCEEDED
    assert said.best is not None
    assert said.best.loss_upper_bound == 0.41
    assert said.artifacts[0].sha256 == "0" * 64
