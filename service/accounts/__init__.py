"""Who may place orders: API keys, and addresses that try wrong ones.

scopes           what a key may be used for                                                               [pure]
keys             the caller of a request, looked up by the HMAC of its key
making           keys are made, shown once, rolled, revoked
listing          keys as an operator sees them
last_used        when each key was used last, written now and then
default_account  whose keys may see what belongs to no account
wrong_keys       how many wrong keys came from an address, and when it is refused
"""

from service.accounts.default_account import is_default
from service.accounts.keys import ApiKeys, Caller, WrongKey
from service.accounts.listing import KeyRow, ending_keys, list_keys
from service.accounts.making import KeyTerms, create_key, install_key, revoke_key, roll_key
from service.accounts.scopes import Scope
from service.accounts.wrong_keys import WrongKeys

__all__ = [
    "ApiKeys",
    "Caller",
    "KeyRow",
    "KeyTerms",
    "Scope",
    "WrongKey",
    "WrongKeys",
    "create_key",
    "ending_keys",
    "install_key",
    "is_default",
    "list_keys",
    "revoke_key",
    "roll_key",
]
