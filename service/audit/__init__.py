"""Who did what: every action of an operator, written in the transaction that does it.

noting       one line of the audit, beside what it is about
reading      the audit, newest first
"""

from service.audit.noting import Action, Shown, Who, note
from service.audit.reading import Noted, noted

__all__ = ["Action", "Noted", "Shown", "Who", "note", "noted"]
