"""Guards broken on purpose: each must turn a test red, or nobody would notice when it breaks by accident.

charging     orders that are accepted and charged
producing    what a producer asks for after its order, and what it is told
following    what Stripe tells, lists and pays out
operating    people who act: the console's door, its forms and faults, and the audit
watching     keys and their limits, and what is counted, shown and logged
surviving    databases that forget or are silent, and the processes around them
"""

from tests.chaos.mutations.charging import CHARGING
from tests.chaos.mutations.following import FOLLOWING
from tests.chaos.mutations.mutation import Mutation
from tests.chaos.mutations.operating import OPERATING
from tests.chaos.mutations.producing import PRODUCING
from tests.chaos.mutations.surviving import SURVIVING
from tests.chaos.mutations.watching import WATCHING

__all__ = ["MUTATIONS", "Mutation"]

MUTATIONS = (*CHARGING, *PRODUCING, *FOLLOWING, *OPERATING, *WATCHING, *SURVIVING)
