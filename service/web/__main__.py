"""`python -m service.web`, which is what `eo api` runs."""

from service.foundation.settings import Settings
from service.web import run

if __name__ == "__main__":
    run(Settings.from_env())
