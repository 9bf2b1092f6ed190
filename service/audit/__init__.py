"""Who did what: every action of an operator, written in the transaction that does it.

noting       lines of the audit, beside what they are about
reading      the audit, newest first
"""

from service.audit.noting import Action, Deed, Shown, Via, Who, note, note_each
from service.audit.reading import Noted, changed, noted

__all__ = ["Action", "Deed", "Noted", "Shown", "Via", "Who", "changed", "note", "note_each", "noted"]
