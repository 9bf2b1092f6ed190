"""The metrics of the real API, as Prometheus's own parser reads them."""

from collections.abc import Mapping

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.web.conftest import Api, api

__all__ = ["api"]


async def scrape(api: Api) -> Mapping[str, Metric]:
    """All families by their names."""
    answer = await api.http.get("/metrics")
    assert answer.status_code == 200, answer.text
    return {family.name: family for family in text_string_to_metric_families(answer.text)}


def values(families: Mapping[str, Metric], name: str, **labels: str) -> list[float]:
    """The values of a family's samples that have these labels."""
    return [
        sample.value
        for sample in families[name].samples
        if labels.items() <= sample.labels.items() and not sample.name.endswith(("_created", "_bucket", "_sum"))
    ]
