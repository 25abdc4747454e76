"""The environment that the operator gives, and each way in which it can be wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from frugal.errors import InvalidSettings
from frugal_serve.settings import ServeSettings

LEAST = {"FRUGAL_MODEL_NAME": "fashion", "FRUGAL_MODEL_URI": "pvc://models/model.onnx"}


def test_name_and_place_of_the_model_are_enough() -> None:
    settings = ServeSettings.from_environment({**LEAST, "PATH": "/bin", "FRUGAL_UNKNOWN": "x"})

    assert settings.model_name == "fashion"
    assert (settings.port, settings.threads, settings.max_batch) == (8080, 1, 32)
    assert (settings.batch_delay_ms, settings.queue_limit, settings.drain_seconds) == (0, 1000, 20)


def test_each_variable_is_read() -> None:
    settings = ServeSettings.from_environment(
        LEAST
        | {
            "FRUGAL_MODEL_SHA256": "A" * 64,
            "FRUGAL_MODEL_VERSION": "7",
            "FRUGAL_VOLUMES": "/volumes",
            "FRUGAL_LATENCY_THRESHOLD_SECONDS": "0.05",
            "FRUGAL_BATCH_DELAY_MS": "1.5",
            "FRUGAL_TERMINATION_LOG": "/dev/termination-log",
        }
    )

    assert settings.model_sha256 == "A" * 64
    assert settings.model_version == "7"
    assert settings.volumes == Path("/volumes")
    assert settings.latency_threshold_seconds == 0.05
    assert settings.batch_delay_ms == 1.5
    assert settings.termination_log == Path("/dev/termination-log")


def test_an_empty_variable_is_as_good_as_none() -> None:
    settings = ServeSettings.from_environment({**LEAST, "FRUGAL_MODEL_SHA256": "", "FRUGAL_PORT": ""})

    assert settings == ServeSettings.from_environment(LEAST)


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("FRUGAL_MODEL_NAME", "a b", "pattern"),
        ("FRUGAL_MODEL_NAME", "", "required"),
        ("FRUGAL_MODEL_SHA256", "abc", "pattern"),
        ("FRUGAL_PORT", "65536", "less than or equal to 65535"),
        ("FRUGAL_PORT", "http", "integer"),
        ("FRUGAL_THREADS", "0", "greater than or equal to 1"),
        ("FRUGAL_MAX_BATCH", "1.5", "integer"),
        ("FRUGAL_BATCH_DELAY_MS", "-1", "greater than or equal to 0"),
        ("FRUGAL_DRAIN_SECONDS", "nan", "finite"),
        ("FRUGAL_QUEUE_LIMIT", "many", "integer"),
        ("FRUGAL_LATENCY_THRESHOLD_SECONDS", "0", "greater than 0"),
    ],
)
def test_a_wrong_value_names_variable_value_and_what_is_allowed(variable: str, value: str, words: str) -> None:
    with pytest.raises(InvalidSettings) as caught:
        ServeSettings.from_environment({**LEAST, variable: value})

    assert caught.value.variable == variable
    assert caught.value.value == value
    assert words in str(caught.value)


def test_settings_do_not_change() -> None:
    settings = ServeSettings.from_environment(LEAST)

    with pytest.raises(ValidationError):
        settings.port = 1
