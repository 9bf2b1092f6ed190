"""The running API against its own description: whatever it allows and forbids, no 5xx, nothing it does not name.

And a second account, through every route of that description: it sees nothing of the first's.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.fleet import ORDER, Fleet, NewFleet

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

SEED = 20_261_124
FUZZ_S = 30
TAKEN, GIVEN_BACK = 19_999_877, 12_345_677  # no random id of hexadecimal digits shows eight given ones
CASES_MIN = 15  # on a machine that is busy with other tests; some hundreds on a quiet one
# What no schema says and the description says in words: an amount's bounds per currency, a cursor that was never given
# out, a key that was used for another body. Such requests fit the schema and are refused with a documented 4xx.
_RULES_IN_WORDS = "positive_data_acceptance"

# A batch judges each item by itself: a bad one is a 400 inside a 200, and its neighbours are accepted.
_BATCH_IS_JUDGED_BY_ITEM = """
[[operations]]
include-path = "/v1/orders/batch"
checks.negative_data_rejection.enabled = false
"""


@pytest.fixture(scope="module")
def fleet(new_fleet: NewFleet) -> Fleet:
    """One that takes events of Stripe's. Whatever is made up here is not signed, and is a 400 like any other."""
    return new_fleet(STRIPE_WEBHOOK_SECRET="whsec_" + "0" * 32).start_all()


def test_every_answer_is_one_the_description_names(fleet: Fleet, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    (tmp_path / "schemathesis.toml").write_text(_BATCH_IS_JUDGED_BY_ITEM)
    command = [
        str(Path(sys.executable).parent / "st"), "run", f"{fleet.url()}/openapi.json",
        "--header", f"Authorization: Bearer {fleet.api_key}",
        "--seed", str(SEED), "--max-time", str(FUZZ_S), "--exclude-checks", _RULES_IN_WORDS,
        "--report", "json", "--report-json-path", str(report),
        "--generation-database", "none", "--no-color", "--no-shrink", "--continue-on-failure",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=180, check=False)
    assert report.exists(), done.stdout + done.stderr
    told = json.loads(report.read_text())
    print(f"seed {SEED}: {told['test_cases']}, phases {told['phases']}")
    assert told["failures"] == [], done.stdout
    assert told["errors"] == [], done.stdout
    assert told["operations"]["tested"] == told["operations"]["total"]
    assert told["test_cases"]["generated"] >= CASES_MIN
    assert fleet.dead() == []
    assert json.loads(fleet.eo("events", "list", "--json").stdout) == []


def routes(description: dict[str, Any], wanted: str) -> list[tuple[str, dict[str, Any]]]:
    """Path and description of all that is under /v1 and has this method."""
    return [
        (path, operation)
        for path, operations in description["paths"].items()
        for method, operation in operations.items()
        if path.startswith("/v1/") and method == wanted
    ]


def test_another_account_sees_nothing_of_the_first_through_any_route(fleet: Fleet) -> None:
    order = {**ORDER, "amount": TAKEN, "customer": "cus_first"}
    ours = fleet.post("/v1/orders", order, key="isolated", prefer="wait=10").body
    back = fleet.post(f"/v1/orders/{ours['id']}/refunds", {"amount": GIVEN_BACK}, key="isolated").body
    made = fleet.eo("keys", "create", "--account", "second", "--json")
    assert made.returncode == 0, made.stderr
    key = json.loads(made.stdout)["key"]
    description = fleet.get("/openapi.json").body
    asked = 0
    ids = {"{order_id}": ours["id"], "{refund_id}": back["id"]}
    for path, _ in routes(description, "get"):
        place = next((name for name in ids if name in path), "")
        for query in ("", f"?order_id={ours['id']}", "?idempotency_key=isolated", "?status=paid"):
            answer = fleet.get((path.replace(place, ids[place]) if place else path) + query, api_key=key)
            text = json.dumps(answer.body)
            said = text.replace(ours["id"], "") if answer.status >= 400 else text  # an error may name what was asked
            for secret in (ours["id"], ours["payment_intent"], back["id"], "cus_first", str(TAKEN), str(GIVEN_BACK)):
                assert secret not in said, f"{path}{query} shows {secret}: {text}"
            if place and not query:
                assert answer.status == 404, f"{path}: {answer.status}"
            asked += 1
    assert asked >= 16
    for path, operation in routes(description, "post"):
        if "{order_id}" in path:
            body = operation["requestBody"]["content"]["application/json"]["example"]
            answer = fleet.post(path.replace("{order_id}", ours["id"]), body, key="theirs", api_key=key)
            assert answer.status == 404, f"{path}: {answer.status}"
    # The same key of another account is another order: nothing is replayed across.
    theirs = fleet.post("/v1/orders", ORDER, key="isolated", api_key=key)
    assert theirs.status == 201
    assert "idempotent-replayed" not in theirs.headers
    assert theirs.body["id"] != ours["id"]
    in_batch = {"orders": [{**ORDER, "amount": 777, "idempotency_key": "isolated"}]}
    refused = fleet.post("/v1/orders/batch", in_batch, key="b", api_key=key).body["results"][0]
    assert refused["status"] == 422, "compared with their own order, and told nothing of ours"
    assert ours["id"] not in json.dumps(refused)
