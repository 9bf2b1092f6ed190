"""What each rule is for, asked of what follows a charge: the interleaving in which its absence breaks a promise."""

from dataclasses import dataclass, replace

from tests.model.checker import Result, check
from tests.model.effects.interleavings import INTERLEAVINGS, LONGER


@dataclass(frozen=True, slots=True)
class RuleOfEffects:
    """A rule that the model of all effects can be without. `steps`: the length of the shortest broken schedule."""

    name: str
    says: str
    without: str
    steps: int
    interleaving: str
    faults: int | None = None  # where it takes another number of them

    @property
    def part(self) -> str:
        """The part of docs/explanation/protocol.md that shows it."""
        return f"effects, {self.name}"

    def check(self) -> Result:
        """Every schedule without this rule, until the first that breaks a promise."""
        model = replace({**INTERLEAVINGS, **LONGER}[self.interleaving], off=self.name)
        return check(model if self.faults is None else replace(model, faults=self.faults))


_REFUND = "a refund, two workers"
_ANY_TIME = "a forgotten refund, a backup of any time"

RULES_OF_EFFECTS = (
    RuleOfEffects(
        "R13",
        "Before a refund is sent, open commits token, `maybe_executed` and `first_sent_at`.",
        "They are written when the answer is settled.",
        steps=12,
        interleaving=_REFUND,
    ),
    RuleOfEffects(
        "R14",
        "Immediately before the request a clock that counts suspension is compared with the send deadline.",
        "A worker sends whenever it wakes up.",
        steps=8,
        interleaving=_REFUND,
    ),
    RuleOfEffects(
        "R16",
        "Only a first send's refusal proves that nothing ran.",
        "A 429, or a balance that is short, to a re-send clears the refund too.",
        steps=15,
        interleaving=_REFUND,
        faults=2,
    ),
    RuleOfEffects(
        "R17",
        "From 20 h after `first_sent_at` a key is never posted again.",
        "It is posted at any age.",
        steps=8,
        interleaving=_REFUND,
    ),
    RuleOfEffects(
        "R18",
        "That the list of a payment's refunds does not show it counts only 24 h 30 min after the last send.",
        "It counts at once.",
        steps=12,
        interleaving=_REFUND,
    ),
    RuleOfEffects(
        "R19",
        "Found means: our account, order and refund in the metadata, and amount and currency.",
        "The payment and the amount are enough.",
        steps=10,
        interleaving="two refunds",
    ),
    RuleOfEffects(
        "R21",
        "Only the holder of the current token settles what is no proof.",
        "Whoever comes back settles.",
        steps=15,
        interleaving=_REFUND,
    ),
    RuleOfEffects(
        "R25",
        "Before attempt 2 is owed, attempt 1's PaymentIntent is canceled at Stripe.",
        "Attempt 2 is owed at once.",
        steps=4,
        interleaving="a further attempt beside its customer",
    ),
    RuleOfEffects(
        "R25 answer",
        "Attempt 2 is owed when Stripe shows that attempt 1's PaymentIntent is canceled.",
        "It is owed when the cancellation is opened.",
        steps=7,
        interleaving="a further attempt beside its customer",
    ),
    RuleOfEffects(
        "R25 newest",
        "An earlier attempt moves its order by a success alone.",
        "The cancellation of attempt 1 makes the order canceled.",
        steps=4,
        interleaving="a further attempt beside its customer",
    ),
    RuleOfEffects(
        "R26 cap",
        "A refund that is under way counts as given back.",
        "Only what has succeeded counts.",
        steps=7,
        interleaving="two refunds of all",
    ),
    RuleOfEffects(
        "R26 drawn",
        "What the customer is owed is drawn down when Stripe has made the refund.",
        "It is counted when the refund is asked for.",
        steps=11,
        interleaving="refunds that fail days later, beside one past us",
    ),
    RuleOfEffects(
        "R26 read again",
        "A refund that would be more than is left is not booked alone: another one has failed meanwhile.",
        "It is booked as it comes.",
        steps=11,
        interleaving="refunds that fail days later, beside one past us",
    ),
    RuleOfEffects(
        "R26 asked again",
        "A refund that the list does not show is owed still, and sent again.",
        "It is called failed, as a charge is.",
        steps=15,
        interleaving=_ANY_TIME,
    ),
    RuleOfEffects(
        "R26 same key",
        "It is sent again under the same key.",
        "Each time has a key of its own.",
        steps=18,
        interleaving=_ANY_TIME,
    ),
    RuleOfEffects(
        "R26 stages",
        "A refund never goes back, and each of its stages is booked once.",
        "What Stripe shows is booked whenever it differs.",
        steps=7,
        interleaving="refunds that fail days later",
    ),
    RuleOfEffects(
        "R31",
        "In a life of the database that is not verified nothing is opened.",
        "The database goes on as if it had forgotten nothing.",
        steps=11,
        interleaving="a forgotten refund",
    ),
    RuleOfEffects(
        "R31 cancel",
        "A pending order is canceled only in a life that is closed.",
        "It is canceled in any life, also where a worker of the life before holds it.",
        steps=4,
        interleaving="a forgotten cancellation beside the first charge",
    ),
    RuleOfEffects(
        "R31 refunds",
        "The listing shows refunds, too, and those that are unknown here are adopted.",
        "It shows PaymentIntents only.",
        steps=12,
        interleaving="a forgotten refund",
    ),
    RuleOfEffects(
        "R31 failures",
        "A known refund that has failed at Stripe is settled by the listing.",
        "It is passed over, for its id is known.",
        steps=9,
        interleaving="a forgotten refund that fails, a backup of any time",
    ),
    RuleOfEffects(
        "R31 payments first",
        "PaymentIntents are adopted before refunds.",
        "Refunds are adopted first, and their charge is not settled yet.",
        steps=5,
        interleaving="a forgotten refund of a forgotten charge",
    ),
    RuleOfEffects(
        "R31 whose cancel",
        "A PaymentIntent canceled as `duplicate` was canceled before another attempt: it is declined.",
        "It is canceled, and so is its order.",
        steps=7,
        interleaving="a forgotten further attempt of a forgotten charge",
    ),
    RuleOfEffects(
        "R31 sweep",
        "Lists are swept by `created` after the life is closed, too.",
        "The second listing is the last look.",
        steps=13,
        interleaving=_ANY_TIME,
    ),
    RuleOfEffects(
        "R32 refund",
        "A refund is found by its producer's key, too, where its repeat has another id.",
        "It is found by its id alone.",
        steps=8,
        interleaving="a forgotten refund",
    ),
    RuleOfEffects(
        "R37 metadata",
        "A refund that Stripe shows is ours by its metadata, also before our own commit.",
        "What is not known by its Stripe id was made past us.",
        steps=5,
        interleaving=_REFUND,
    ),
    RuleOfEffects(
        "R37 next try",
        "A change that is still possible is sent under another key: Stripe saves a refusal for a day.",
        "It is sent under the same key.",
        steps=3,
        interleaving="a cancellation beside its customer",
    ),
    RuleOfEffects(
        "R37 refusal",
        "What a refusal of a change means is told by the PaymentIntent's present state.",
        "The change is refused.",
        steps=5,
        interleaving="a further attempt beside its customer",
    ),
)
