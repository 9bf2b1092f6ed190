"""The checker of requests finds what Stripe does not know, wherever it stands, and nothing else."""

import pytest

from service.stripe_gateway.paths import PAYMENT_INTENTS as CREATE
from tests.meta.stripe_names import decode, problems

GOOD = (
    "amount=1999&currency=usd&confirm=true&automatic_payment_methods[enabled]=true"
    "&automatic_payment_methods[allow_redirects]=never&metadata[mine]=1&expand[0]=latest_charge.balance_transaction"
)
WRONG = {
    "payment_method_types[0]=card": "payment_method_types: unknown",
    "automatic_payment_methods[redirects]=never": "automatic_payment_methods[redirects]: unknown",
    "payment_method_options[card][colour]=red": "payment_method_options[card][colour]: unknown",
    "capture_method=later": "capture_method: 'later' is none of its values",
    "off_session=perhaps": "off_session: 'perhaps' is none of its values",
    "customer[id]=cus_1": "customer: no hash",
    "description[]=a": "description: no list",
    "expand[1]=status": "expand status: cannot be expanded",
    "expand[1]=invoice": "expand invoice: invoice is unknown",
    "expand[1]=latest_charge.invoice": "expand latest_charge.invoice: invoice is unknown",
    "expand[1]=data.latest_charge": "expand data.latest_charge: data is unknown",
}


def test_what_is_right_is_found_right() -> None:
    assert problems("POST", CREATE, decode(GOOD)) == []


@pytest.mark.parametrize("planted", WRONG)
def test_a_wrong_name_is_found_wherever_it_stands(planted: str) -> None:
    assert problems("POST", CREATE, decode(f"{GOOD}&{planted}")) == [WRONG[planted]]


@pytest.mark.parametrize(
    ("form", "problem"),
    [
        ("created[since]=1", "created[since]: unknown"),
        ("limit=many", "limit: 'many' is none of its values"),
        ("status=succeeded", "status: unknown"),
        ("expand[]=latest_charge", "expand latest_charge: a list is expanded below `data`"),
        ("expand[]=data.latest_charge.fee", "expand data.latest_charge.fee: fee is unknown"),
    ],
)
def test_a_wrong_name_of_a_list_is_found(form: str, problem: str) -> None:
    assert problems("GET", CREATE, decode(form)) == [problem]


def test_what_must_be_sent_and_is_not_is_found() -> None:
    assert problems("POST", CREATE, decode("automatic_payment_methods[allow_redirects]=never&currency=usd")) == [
        "amount: missing",
        "automatic_payment_methods[enabled]: missing",
    ]


def test_a_route_that_stripe_does_not_have_is_found() -> None:
    assert problems("POST", "/v1/payment_intent", {}) == ["no such route: POST /v1/payment_intent"]
