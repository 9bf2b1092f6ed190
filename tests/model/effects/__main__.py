"""Tries every schedule of the interleavings that are too large for the suite, or of those that are named."""

import sys
import time

from tests.model.checker import check
from tests.model.effects.interleavings import INTERLEAVINGS, LONGER

for name in sys.argv[1:] or LONGER:
    began = time.process_time()
    result = check(({**INTERLEAVINGS, **LONGER})[name])
    print(f"{name}: {'holds' if result.holds else ''} {result} in {time.process_time() - began:.0f} s", flush=True)
