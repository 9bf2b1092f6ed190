"""Who may place orders: API keys, and addresses that try wrong ones.

keys             made, shown once, looked up by hash, revoked
default_account  whose keys may see what belongs to no account
wrong_keys       how many wrong keys came from an address, and when it is refused
"""

from service.accounts.default_account import is_default
from service.accounts.keys import ApiKeys, Caller, WrongKey, create_key, install_key, list_keys, revoke_key
from service.accounts.wrong_keys import WrongKeys

__all__ = [
    "ApiKeys",
    "Caller",
    "WrongKey",
    "WrongKeys",
    "create_key",
    "install_key",
    "is_default",
    "list_keys",
    "revoke_key",
]
