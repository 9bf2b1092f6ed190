"""Who may place orders: API keys, and addresses that try wrong ones.

keys         made, shown once, looked up by hash, revoked
wrong_keys   how many wrong keys came from an address, and when it is refused
"""
