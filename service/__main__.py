"""`python -m service …` is `eo …`."""

from service.cli import main

main()
