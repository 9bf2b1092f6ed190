"""Measurements that can be repeated: results are JSON with the facts of the machine."""
