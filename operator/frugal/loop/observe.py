"""From the ports to one frozen snapshot of all that decides about one object. Decides nothing, writes nothing."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache

import yaml
from pydantic import ValidationError

from frugal.api.price_book import PriceBook
from frugal.api.result import ProgressLine
from frugal.api.validation import parse_model
from frugal.decisions.snapshot import (
    Children,
    CompressionSnapshot,
    Environment,
    InferenceSnapshot,
    Manifest,
    Measured,
)
from frugal.errors import InvalidObject, PriceUnknown
from frugal.loop.ports import COMPRESSION_JOB, INFERENCE_DEPLOYMENT, Clock, Cluster
from frugal.loop.references import referred_by
from frugal.pricing.pricebook import next_change, valid_at
from frugal.settings import Settings


class Observer:
    """Looks at the world through the cluster port. A price book is parsed once for each text that it had."""

    def __init__(self, cluster: Cluster, settings: Settings, clock: Clock) -> None:
        self._cluster, self._settings, self._clock = cluster, settings, clock
        self._price_text: str | None = None
        self._written: tuple[PriceBook | None, str] = (None, self._no_prices())
        self._valid: tuple[PriceBook | None, str] = self._written
        self._valid_from = datetime.min.replace(tzinfo=UTC)
        self._valid_until: datetime | None = None

    def environment(self) -> Environment:
        """Return what holds for every object at this moment."""
        now = self._clock()
        prices, problem = self.prices(now)
        return Environment(
            now=now,
            jobs_image=self._settings.jobs_image,
            serve_image=self._settings.serve_image,
            image_pull_policy=self._settings.image_pull_policy,
            prices=prices,
            prices_problem=problem,
            prices_change_at=self._valid_until,
            node_labels=self._cluster.node_labels(),
            capabilities=self._cluster.capabilities,
        )

    def prices(self, now: datetime) -> tuple[PriceBook | None, str]:
        """Return the price book as it holds now, or None and why there is none."""
        text = self._cluster.price_book()
        if text != self._price_text:
            self._price_text = text
            self._written = (None, self._no_prices()) if text is None else self._parse(text)
            self._hold(now)
        if now < self._valid_from or (self._valid_until is not None and now >= self._valid_until):
            self._hold(now)
        return self._valid

    def _hold(self, now: datetime) -> None:
        """Take over what the book says for `now`, and until when that holds."""
        self._valid, self._valid_from, self._valid_until = self._written, now, None
        book, _ = self._written
        if book is None:
            return
        self._valid_until = next_change(book, now)
        try:
            self._valid = valid_at(book, now), ""
        except PriceUnknown as unknown:
            self._valid = None, str(unknown)

    def compression(self, manifest: Manifest, children: Children) -> CompressionSnapshot:
        """Return everything that decides about a CompressionJob."""
        return CompressionSnapshot(
            environment=self.environment(),
            manifest=manifest,
            children=children,
            progress=self._progress(children),
            served_by=self._referred(manifest),
            earlier=self._earlier(manifest),
        )

    def inference(self, manifest: Manifest, children: Children, measured: Measured | None) -> InferenceSnapshot:
        """Return everything that decides about an InferenceDeployment."""
        environment = self.environment()
        return InferenceSnapshot(
            environment=environment,
            manifest=manifest,
            children=children,
            compression_job=self._referred(manifest),
            measured=measured,
            namespace_forecast=self._forecast(manifest["metadata"]["namespace"], environment.prices),
        )

    def _forecast(self, namespace: str, prices: PriceBook | None) -> Decimal | None:
        """Return what the services of a namespace with a budget will cost together, as their statuses say."""
        if prices is None or namespace not in {one.namespace for one in prices.budgets}:
            return None
        wanted = (INFERENCE_DEPLOYMENT, namespace)
        keys = [key for key in sorted(self._cluster.keys()) if (key.kind, key.namespace) == wanted]
        costs = [((self._cluster.get(key) or {}).get("status") or {}).get("cost") or {} for key in keys]
        known = [one for one in costs if one.get("currency") == prices.currency]
        return sum((Decimal(str(one["forecastMonth"])) for one in known), start=Decimal(0))

    def _referred(self, manifest: Manifest) -> Manifest | None:
        key = referred_by(manifest)
        return self._cluster.get(key) if key is not None else None

    def _earlier(self, manifest: Manifest) -> tuple[Manifest, ...]:
        """Return the CompressionJobs that ended, while a prediction from them is still to be made."""
        if ((manifest.get("status") or {}).get("costBenefit") or {}).get("speedup"):
            return ()
        jobs = (self._cluster.get(key) for key in sorted(self._cluster.keys()) if key.kind == COMPRESSION_JOB)
        return tuple(one for one in jobs if one is not None and (one.get("status") or {}).get("finishedAt"))

    def _progress(self, children: Children) -> tuple[ProgressLine, ...]:
        pod = max(children.pods, key=_age_order, default=None)
        lines = self._cluster.progress_lines(pod) if pod is not None else ()
        return tuple(told for line in lines if (told := _progress_line(line)) is not None)

    def _parse(self, text: str) -> tuple[PriceBook | None, str]:
        try:
            return parse_model(PriceBook, yaml.safe_load(text)), ""
        except (yaml.YAMLError, InvalidObject) as error:
            where = f"ConfigMap {self._settings.operator_namespace}/{self._settings.price_book}, key prices.yaml"
            return None, f"the price book ({where}) cannot be used: {error}"

    def _no_prices(self) -> str:
        where = f"ConfigMap {self._settings.operator_namespace}/{self._settings.price_book}, key prices.yaml"
        return f"there is no price book: put one into {where}"


def _age_order(pod: Manifest) -> tuple[str, str]:
    metadata = pod["metadata"]
    return metadata.get("creationTimestamp") or "", metadata["name"]


@lru_cache(maxsize=8192)  # every new line of a log shows all earlier ones again
def _progress_line(line: str) -> ProgressLine | None:
    """Return the progress that a line of a log tells; a library's own output there is not an error."""
    if not line.startswith("{"):
        return None
    try:
        return ProgressLine.model_validate_json(line)
    except ValidationError:
        return None
