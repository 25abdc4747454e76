"""One frozen Settings, read once from the environment by `__main__`. Nothing else reads the environment.

Every variable is `FRUGAL_` plus the field's name in capitals; a value that cannot be used names its variable.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from frugal.errors import InvalidSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The operator's own settings."""

    namespaces: tuple[str, ...] = ()  # empty: the whole cluster
    operator_namespace: str = "frugal-system"
    identity: str = "frugal"  # of this process in the Lease; the pod's name in a cluster
    jobs_image: str = "frugal.dev/jobs:0.1.0"
    serve_image: str = "frugal.dev/serve:0.1.0"
    image_pull_policy: str = "IfNotPresent"
    prometheus_url: str = ""  # empty: pods are scraped directly
    prometheus_credentials: str = ""  # a folder: token | username, password; ca.crt; tls.crt, tls.key
    prometheus_token: str = field(default="", repr=False)  # instead of the folder's
    prometheus_tenant: str = ""  # X-Scope-OrgID
    prometheus_query_seconds: float = 10.0  # how long one query may take
    kubelet_credentials: str = ""  # a folder: token, ca.crt; empty: kubelets are not asked
    price_book: str = "frugal-prices"  # a ConfigMap in operator_namespace, key prices.yaml
    workload_labels: tuple[str, ...] = ()  # labels of objects that frugal_workload_labels shows
    metrics_port: int = 9095
    health_port: int = 8081
    tick_seconds: float = 15.0  # one look at telemetry; a Prometheus scrape interval
    lease_seconds: float = 15.0  # as client-go's LeaderElectionConfig recommends
    workers: int = 4  # objects reconciled at a time

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Return the settings that `environment` holds; raises InvalidSettings."""
        given: dict[str, Any] = {
            one.name: _parse(variable, environment[variable], one.default)
            for one in fields(cls)
            if (variable := f"FRUGAL_{one.name.upper()}") in environment
        }
        return cls(**given)


def _parse(variable: str, text: str, default: object) -> object:
    if isinstance(default, tuple):
        return tuple(part.strip() for part in text.split(",") if part.strip())
    if isinstance(default, int | float):
        try:
            number = type(default)(text)
        except ValueError:
            raise InvalidSettings(variable=variable, value=text, allowed=f"a number such as {default}") from None
        if number <= 0:
            raise InvalidSettings(variable=variable, value=text, allowed="a number above 0")
        return number
    return text
