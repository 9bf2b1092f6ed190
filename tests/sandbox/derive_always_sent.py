"""Write `always_sent.json` anew: which fields of Stripe's objects are always sent, as the Node SDK's types say.

`npm pack stripe` elsewhere and unpack it, then

    python tests/sandbox/derive_always_sent.py …/package [TYPE …]

The types in the file stay, TYPEs (such as `Refund` or `Charge.Outcome`) come in. Types of Stripe's second API are held
to what must be there only: its own examples show null where these types say that a field may be absent.
"""

import json
import re
import sys
from pathlib import Path

FILE = Path(__file__).with_name("always_sent.json")
# Where a type of the Python SDK stands in the Node SDK under another name.
SECOND = "V2."
ELSEWHERE = {
    "Event": "EventBase",
    "ErrorObject": "PaymentIntent.LastPaymentError",
    "V1PaymentIntentSucceededEvent": f"{SECOND}EventBase",
    "Event.Reason": f"{SECOND}Event.Reason",
    "Event.Reason.Request": f"{SECOND}Event.Reason.Request",
    "EventDestination": f"{SECOND}EventDestination",
    "EventDestination.StatusDetails": f"{SECOND}EventDestination.StatusDetails",
    "EventDestination.StatusDetails.Disabled": f"{SECOND}EventDestination.StatusDetails.Disabled",
    "EventDestination.WebhookEndpoint": f"{SECOND}EventDestination.WebhookEndpoint",
    "V1PaymentIntentSucceededEvent.RelatedObject": f"{SECOND}V2.Core.Events.RelatedObject",
}
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_OPENS = re.compile(r"(?:export )?(?:declare )?(?:interface|namespace|class) (\w+).*\{$")
_FIELD = re.compile(r"(\w+)(\??): (.*);$")

Fields = dict[str, tuple[bool, bool]]  # name → (may be absent, may be null)


def fields(declarations: str) -> dict[str, Fields]:
    """Every interface by its full name (`Charge.Outcome`), with its fields."""
    found: dict[str, Fields] = {}
    inside: list[str] = []
    for raw in _COMMENT.sub("", declarations).splitlines():
        line = raw.strip()
        opened, field = _OPENS.match(line), _FIELD.match(line)
        if opened:
            inside.append(opened[1])
            found.setdefault(".".join(inside), {})
        elif line.endswith("{"):
            inside.append("")
        elif line.startswith("}"):
            inside.pop()
        elif field and "" not in inside:
            found[".".join(inside)][field[1]] = (field[2] == "?", "| null" in field[3])
    return found


def told(known: dict[str, Fields], name: str) -> dict[str, list[str]]:
    """What the file holds about one type."""
    source = "Address" if name.endswith("Address") else ELSEWHERE.get(name, name)
    if source not in known:
        raise SystemExit(f"The Node SDK has no type {source}.")
    of_type = known[source]
    not_null = [field for field, (absent, null) in of_type.items() if absent and not null]
    return {
        "always": sorted(field for field, (absent, _) in of_type.items() if not absent),
        "never_null": [] if source.startswith(SECOND) else sorted(not_null),
    }


def main(package: Path, *added: str) -> None:
    """Read the package's types, write the file."""
    known: dict[str, Fields] = {}
    resources = package / "esm/resources"
    files = [package / "esm/shared.d.ts", *sorted(resources.glob("*.d.ts")), *sorted(resources.glob("Radar/*.d.ts"))]
    for file in files:
        for name, of_type in fields(file.read_text()).items():
            known.setdefault(name, of_type)
    for file in sorted((package / "esm/resources/V2/Core").glob("*.d.ts")):
        for name, of_type in fields(file.read_text()).items():
            known.setdefault(f"{SECOND}{name}", of_type)
    version = re.search(r'ApiVersion = "([^"]+)"', (package / "esm/apiVersion.d.ts").read_text())
    assert version
    names = sorted({*json.loads(FILE.read_text())["types"], *added})
    document = {"api_version": version[1], "types": {name: told(known, name) for name in names}}
    FILE.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
