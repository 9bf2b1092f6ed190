"""The calls that a case may make, with the SDK's own types for their parameters.

mypy reads the cases against these types: a parameter that the pinned SDK does not have is an error there. `NODE` names
the same call in the Node SDK; the fields, in order, are its arguments in every SDK.
"""

from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

from stripe.params import (
    AccountRetrieveCurrentParams,
    BalanceRetrieveParams,
    BalanceTransactionListParams,
    BalanceTransactionRetrieveParams,
    ChargeListParams,
    ChargeRetrieveParams,
    DisputeCloseParams,
    DisputeListParams,
    DisputeRetrieveParams,
    DisputeUpdateParams,
    EventListParams,
    EventRetrieveParams,
    PaymentIntentCancelParams,
    PaymentIntentCaptureParams,
    PaymentIntentConfirmParams,
    PaymentIntentCreateParams,
    PaymentIntentListParams,
    PaymentIntentRetrieveParams,
    PayoutCancelParams,
    PayoutCreateParams,
    PayoutListParams,
    PayoutRetrieveParams,
    PayoutUpdateParams,
    RefundCancelParams,
    RefundCreateParams,
    RefundListParams,
    RefundRetrieveParams,
    RefundUpdateParams,
    WebhookEndpointCreateParams,
    WebhookEndpointDeleteParams,
    WebhookEndpointListParams,
    WebhookEndpointRetrieveParams,
    WebhookEndpointUpdateParams,
)
from stripe.params.radar import EarlyFraudWarningListParams, EarlyFraudWarningRetrieveParams
from stripe.params.v2 import core


@dataclass(frozen=True)
class CreateIntent:
    NODE: ClassVar = "paymentIntents.create"
    params: PaymentIntentCreateParams


@dataclass(frozen=True)
class RetrieveIntent:
    NODE: ClassVar = "paymentIntents.retrieve"
    id: str
    params: PaymentIntentRetrieveParams = field(default_factory=PaymentIntentRetrieveParams)


@dataclass(frozen=True)
class ConfirmIntent:
    NODE: ClassVar = "paymentIntents.confirm"
    id: str
    params: PaymentIntentConfirmParams = field(default_factory=PaymentIntentConfirmParams)


@dataclass(frozen=True)
class CancelIntent:
    NODE: ClassVar = "paymentIntents.cancel"
    id: str
    params: PaymentIntentCancelParams = field(default_factory=PaymentIntentCancelParams)


@dataclass(frozen=True)
class CaptureIntent:
    NODE: ClassVar = "paymentIntents.capture"
    id: str
    params: PaymentIntentCaptureParams = field(default_factory=PaymentIntentCaptureParams)


@dataclass(frozen=True)
class CreateRefund:
    NODE: ClassVar = "refunds.create"
    params: RefundCreateParams


@dataclass(frozen=True)
class RetrieveRefund:
    NODE: ClassVar = "refunds.retrieve"
    id: str
    params: RefundRetrieveParams = field(default_factory=RefundRetrieveParams)


@dataclass(frozen=True)
class UpdateRefund:
    NODE: ClassVar = "refunds.update"
    id: str
    params: RefundUpdateParams


@dataclass(frozen=True)
class CancelRefund:
    NODE: ClassVar = "refunds.cancel"
    id: str
    params: RefundCancelParams = field(default_factory=RefundCancelParams)


@dataclass(frozen=True)
class RetrieveCharge:
    NODE: ClassVar = "charges.retrieve"
    id: str
    params: ChargeRetrieveParams = field(default_factory=ChargeRetrieveParams)


@dataclass(frozen=True)
class RetrieveDispute:
    NODE: ClassVar = "disputes.retrieve"
    id: str
    params: DisputeRetrieveParams = field(default_factory=DisputeRetrieveParams)


@dataclass(frozen=True)
class UpdateDispute:
    NODE: ClassVar = "disputes.update"
    id: str
    params: DisputeUpdateParams


@dataclass(frozen=True)
class CloseDispute:
    NODE: ClassVar = "disputes.close"
    id: str
    params: DisputeCloseParams = field(default_factory=DisputeCloseParams)


@dataclass(frozen=True)
class RetrieveWarning:
    NODE: ClassVar = "radar.earlyFraudWarnings.retrieve"
    id: str
    params: EarlyFraudWarningRetrieveParams = field(default_factory=EarlyFraudWarningRetrieveParams)


@dataclass(frozen=True)
class CreatePayout:
    NODE: ClassVar = "payouts.create"
    params: PayoutCreateParams


@dataclass(frozen=True)
class RetrievePayout:
    NODE: ClassVar = "payouts.retrieve"
    id: str
    params: PayoutRetrieveParams = field(default_factory=PayoutRetrieveParams)


@dataclass(frozen=True)
class UpdatePayout:
    NODE: ClassVar = "payouts.update"
    id: str
    params: PayoutUpdateParams


@dataclass(frozen=True)
class CancelPayout:
    NODE: ClassVar = "payouts.cancel"
    id: str
    params: PayoutCancelParams = field(default_factory=PayoutCancelParams)


@dataclass(frozen=True)
class RetrieveMovement:
    NODE: ClassVar = "balanceTransactions.retrieve"
    id: str
    params: BalanceTransactionRetrieveParams = field(default_factory=BalanceTransactionRetrieveParams)


@dataclass(frozen=True)
class RetrieveEvent:
    NODE: ClassVar = "events.retrieve"
    id: str
    params: EventRetrieveParams = field(default_factory=EventRetrieveParams)


@dataclass(frozen=True)
class RetrieveAccount:
    NODE: ClassVar = "accounts.retrieveCurrent"
    params: AccountRetrieveCurrentParams = field(default_factory=AccountRetrieveCurrentParams)


@dataclass(frozen=True)
class RetrieveBalance:
    NODE: ClassVar = "balance.retrieve"
    params: BalanceRetrieveParams = field(default_factory=BalanceRetrieveParams)


@dataclass(frozen=True)
class CreateEndpoint:
    NODE: ClassVar = "webhookEndpoints.create"
    params: WebhookEndpointCreateParams


@dataclass(frozen=True)
class RetrieveEndpoint:
    NODE: ClassVar = "webhookEndpoints.retrieve"
    id: str
    params: WebhookEndpointRetrieveParams = field(default_factory=WebhookEndpointRetrieveParams)


@dataclass(frozen=True)
class UpdateEndpoint:
    NODE: ClassVar = "webhookEndpoints.update"
    id: str
    params: WebhookEndpointUpdateParams


@dataclass(frozen=True)
class DeleteEndpoint:
    NODE: ClassVar = "webhookEndpoints.del"
    id: str
    params: WebhookEndpointDeleteParams = field(default_factory=WebhookEndpointDeleteParams)


@dataclass(frozen=True)
class CreateDestination:
    NODE: ClassVar = "v2.core.eventDestinations.create"
    params: core.EventDestinationCreateParams


@dataclass(frozen=True)
class RetrieveDestination:
    NODE: ClassVar = "v2.core.eventDestinations.retrieve"
    id: str
    params: core.EventDestinationRetrieveParams = field(default_factory=core.EventDestinationRetrieveParams)


@dataclass(frozen=True)
class UpdateDestination:
    NODE: ClassVar = "v2.core.eventDestinations.update"
    id: str
    params: core.EventDestinationUpdateParams


@dataclass(frozen=True)
class DisableDestination:
    NODE: ClassVar = "v2.core.eventDestinations.disable"
    id: str
    params: core.EventDestinationDisableParams = field(default_factory=core.EventDestinationDisableParams)


@dataclass(frozen=True)
class EnableDestination:
    NODE: ClassVar = "v2.core.eventDestinations.enable"
    id: str
    params: core.EventDestinationEnableParams = field(default_factory=core.EventDestinationEnableParams)


@dataclass(frozen=True)
class DeleteDestination:
    NODE: ClassVar = "v2.core.eventDestinations.del"
    id: str
    params: core.EventDestinationDeleteParams = field(default_factory=core.EventDestinationDeleteParams)


@dataclass(frozen=True)
class ListDestinations:
    NODE: ClassVar = "v2.core.eventDestinations.list"
    params: core.EventDestinationListParams


@dataclass(frozen=True)
class RetrieveThinEvent:
    NODE: ClassVar = "v2.core.events.retrieve"
    id: str
    params: core.EventRetrieveParams = field(default_factory=core.EventRetrieveParams)


@dataclass(frozen=True)
class ListThinEvents:
    NODE: ClassVar = "v2.core.events.list"
    params: core.EventListParams


@dataclass(frozen=True)
class ListEndpoints:
    NODE: ClassVar = "webhookEndpoints.list"
    params: WebhookEndpointListParams


@dataclass(frozen=True)
class ListIntents:
    NODE: ClassVar = "paymentIntents.list"
    params: PaymentIntentListParams


@dataclass(frozen=True)
class ListCharges:
    NODE: ClassVar = "charges.list"
    params: ChargeListParams


@dataclass(frozen=True)
class ListRefunds:
    NODE: ClassVar = "refunds.list"
    params: RefundListParams


@dataclass(frozen=True)
class ListDisputes:
    NODE: ClassVar = "disputes.list"
    params: DisputeListParams


@dataclass(frozen=True)
class ListWarnings:
    NODE: ClassVar = "radar.earlyFraudWarnings.list"
    params: EarlyFraudWarningListParams


@dataclass(frozen=True)
class ListPayouts:
    NODE: ClassVar = "payouts.list"
    params: PayoutListParams


@dataclass(frozen=True)
class ListMovements:
    NODE: ClassVar = "balanceTransactions.list"
    params: BalanceTransactionListParams


@dataclass(frozen=True)
class ListEvents:
    NODE: ClassVar = "events.list"
    params: EventListParams


Listing = (
    ListIntents
    | ListCharges
    | ListRefunds
    | ListDisputes
    | ListWarnings
    | ListPayouts
    | ListMovements
    | ListEvents
    | ListEndpoints
)
# Of webhook endpoints and the second API, whose lists are not those of the first.
Telling = (
    CreateEndpoint
    | RetrieveEndpoint
    | UpdateEndpoint
    | DeleteEndpoint
    | CreateDestination
    | RetrieveDestination
    | UpdateDestination
    | DisableDestination
    | EnableDestination
    | DeleteDestination
    | ListDestinations
    | RetrieveThinEvent
    | ListThinEvents
)
Single = (
    CreateIntent
    | RetrieveIntent
    | ConfirmIntent
    | CancelIntent
    | CaptureIntent
    | CreateRefund
    | RetrieveRefund
    | UpdateRefund
    | CancelRefund
    | RetrieveCharge
    | RetrieveDispute
    | UpdateDispute
    | CloseDispute
    | RetrieveWarning
    | CreatePayout
    | RetrievePayout
    | UpdatePayout
    | CancelPayout
    | RetrieveMovement
    | RetrieveEvent
    | RetrieveAccount
    | RetrieveBalance
    | Telling
)


@dataclass(frozen=True)
class AutoPage:
    """All pages of a list, joined by the SDK itself, up to `most` objects. The answer is `{"data": […]}`."""

    listing: Listing
    most: int = 50


Call = Single | Listing | AutoPage


@dataclass(frozen=True)
class Options:
    """What a request carries beside its parameters. None: what the SDK does by itself."""

    idempotency_key: str | None = None
    api_key: str | None = None
    stripe_version: str | None = None


@dataclass(frozen=True)
class Request:
    """One call as a driver makes it, all references resolved."""

    call: Call
    options: Options


def arguments(call: Single | Listing) -> list[Any]:
    """The call's arguments in order."""
    return [getattr(call, argument.name) for argument in fields(call)]
