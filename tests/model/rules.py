"""What each rule is for: the smallest model in which its absence breaks a promise, and how many steps that takes."""

from dataclasses import dataclass

from tests.model.checker import Result, check
from tests.model.protocol import Model


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of the protocol that the model can be without. `steps`: the length of the shortest broken schedule."""

    name: str
    says: str
    without: str
    steps: int
    faults: int = 0
    pays_again: bool = False
    restores: bool = False

    def check(self) -> Result:
        """Every schedule of the protocol without this rule, until the first that breaks a promise."""
        return check(Model(off=self.name, faults=self.faults, pays_again=self.pays_again, restores=self.restores))


RULES = (
    Rule(
        "R9",
        "A message carries outbox ids only; the rows are read again when it is opened.",
        "The worker believes the state in the message.",
        steps=4,
    ),
    Rule(
        "R12",
        "Open moves the order under its row lock, and charges only what is pending or processing.",
        "Open does not look at the order's state.",
        steps=4,
    ),
    Rule(
        "R13",
        "Before anything is sent, open commits token, `maybe_executed` and `first_sent_at`.",
        "They are written when the answer is settled.",
        steps=10,
        faults=1,
    ),
    Rule(
        "R14",
        "Immediately before the request a clock that counts suspension is compared with the send deadline.",
        "A worker sends whenever it wakes up.",
        steps=9,
    ),
    Rule(
        "R16",
        "Only a first send's refusal proves that nothing ran.",
        "A 429, 401 or 409 to a re-send clears the charge too.",
        steps=16,
        faults=2,
    ),
    Rule(
        "R17",
        "From 20 h after `first_sent_at` a key is never posted again.",
        "It is posted at any age.",
        steps=9,
    ),
    Rule(
        "R17 promise",
        "As long as no send is known, the key of an order older than 4 h is as old as the order.",
        "Its age begins with the first send this database knows of; only a first open after 20 h looks first.",
        steps=12,
        restores=True,
    ),
    Rule(
        "R18",
        "A complete look-up that does not show the charge counts only 24 h 30 min after the last send.",
        "It counts at once.",
        steps=12,
        faults=1,
        pays_again=True,
    ),
    Rule(
        "R19",
        "Found means: our account, order and attempt in the metadata, and amount and currency.",
        "Customer and amount are enough.",
        steps=7,
    ),
    Rule(
        "R21",
        "Only the holder of the charge's current token settles it; proof of success needs none.",
        "Whoever comes back settles.",
        steps=16,
        faults=1,
    ),
    Rule(
        "R23",
        "Stripe's success outranks every state: failed and canceled orders become paid, and are listed.",
        "A final state stays.",
        steps=5,
    ),
    Rule(
        "R25",
        "Before attempt 2 is sent, attempt 1's PaymentIntent is canceled at Stripe.",
        "Attempt 2 is sent at once.",
        steps=9,
        pays_again=True,
    ),
    Rule(
        "R33",
        "A refusal of our request is not a refusal of the order: a 400 about the request's form fails nothing.",
        "Every 400 is a definitive refusal.",
        steps=4,
        faults=1,
    ),
)
