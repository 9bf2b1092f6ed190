"""What each rule is for: the smallest model in which its absence breaks a promise, and how many steps that takes."""

from dataclasses import dataclass

from tests.model.checker import Result, check
from tests.model.forgetting import Forgetting
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

    @property
    def part(self) -> str:
        """The part of docs/explanation/protocol.md that shows it."""
        return self.name

    def check(self) -> Result:
        """Every schedule of the protocol without this rule, until the first that breaks a promise."""
        return check(Model(off=self.name, faults=self.faults, pays_again=self.pays_again, restores=self.restores))


@dataclass(frozen=True, slots=True)
class RuleOfLives:
    """A rule that the model of a forgetting database can be without."""

    name: str
    says: str
    without: str
    steps: int
    restores: int = 1
    pays_again: bool = False
    bodies: int = 1

    @property
    def part(self) -> str:
        """The part of docs/explanation/protocol.md that shows it."""
        return f"forgetting, {self.name}"

    def check(self) -> Result:
        """Every schedule without this rule, until the first that breaks a promise."""
        model = Forgetting(self.name, self.restores, workers=1, pays_again=self.pays_again, bodies=self.bodies)
        return check(model)


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

RULES_OF_LIVES = (
    RuleOfLives(
        "R31",
        "In a life of the database that is not verified nothing is opened.",
        "The database goes on as if it had forgotten nothing.",
        steps=10,
    ),
    RuleOfLives(
        "R31 adoption",
        "A payment that is unknown here is adopted: order, charge and books.",
        "It is only reported, and the life counts as verified.",
        steps=10,
    ),
    RuleOfLives(
        "R31 by its id",
        "A payment is known if a charge here has its Stripe id.",
        "It is known if its order is.",
        steps=14,
        pays_again=True,
    ),
    RuleOfLives(
        "R31 agreement",
        "A repeat's row takes a forgotten payment over only if the requests agree; else it is parked.",
        "The same key is enough.",
        steps=8,
        bodies=2,
    ),
    RuleOfLives(
        "R31 second listing",
        "A life is closed by a listing that begins when no worker of the life before can send any more.",
        "The first listing closes it.",
        steps=7,
    ),
    RuleOfLives(
        "R31 an hour",
        "An earlier listing is good for an hour.",
        "It is good until another one closes the life.",
        steps=13,
    ),
    RuleOfLives(
        "R31 from its beginning",
        "The hour counts from the moment at which the listing began.",
        "It counts from the moment at which the listing ended, however long it took.",
        steps=13,
    ),
    RuleOfLives(
        "R31 this very life",
        "A verification is written only in the life that its listing began in.",
        "It is written in whatever life it finds.",
        steps=12,
        restores=2,
    ),
    RuleOfLives(
        "R31 verified rows",
        "The bound is the newest moment that a row of a verified life tells of.",
        "Any row will do, that of an order accepted just now, too.",
        steps=13,
    ),
    RuleOfLives(
        "R31 frozen",
        "The bound stays what it was at first sight until the life is closed.",
        "Each listing goes back to the newest row.",
        steps=15,
    ),
    RuleOfLives(
        "R31 handed on",
        "A life that ends before it is closed hands its bound on.",
        "The next life takes its bound from the newest row.",
        steps=15,
        restores=2,
    ),
    RuleOfLives(
        "R14",
        "Who has opened an order sends within its send deadline, or not at all.",
        "A worker of the life before sends whenever it wakes up.",
        steps=8,
    ),
    RuleOfLives(
        "R25 never executed",
        "Paying again after an attempt that was never executed is the same attempt, with the same key at Stripe.",
        "It is attempt 2, of which Stripe shows nothing to a database that has forgotten it, until it is sent.",
        steps=19,
        pays_again=True,
    ),
    RuleOfLives(
        "R32",
        "What has met a key conflict, or disagrees with a forgotten payment, is looked up, and never posted again.",
        "It is parked, and `eo outbox retry` posts it.",
        steps=15,
        bodies=2,
    ),
    RuleOfLives(
        "R31 fenced",
        "Nothing works at the database of the life before any more.",
        "An old primary goes on beside the promoted one.",
        steps=9,
    ),
)
