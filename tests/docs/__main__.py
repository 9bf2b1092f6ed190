"""`make docs`: writes every generated part of the pages anew, and names the pages that have changed."""

from tests.docs.all_parts import ALL
from tests.docs.parts import write

print("\n".join(write(ALL)) or "every page is as the code is")
