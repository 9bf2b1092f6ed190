"""One order's timeline as a picture and as a text: who did what, what was absorbed, what was lost, what was booked.

model      scenes, and the arrows between who takes part                                                [pure]
calls      opened, called, answered: the effects at Stripe                                              [pure]
around     the door, the outbox, the ledger, Stripe's and the bank's news, people                       [pure]
guards     what came twice, and what absorbed it                                                        [pure]
telling    from events to scenes; each kind of event has one                                            [pure]
folding    what repeats is told once, and counted                                                       [pure]
layout     where everything stands                                                                      [pure]
words      the same as text                                                                             [pure]
drawing    the picture as SVG                                                                           [pure]
"""

from service.console.story.drawing import draw
from service.console.story.folding import fold
from service.console.story.model import Kind, Scene, Subject
from service.console.story.telling import Teller, clock, scenes_of, since
from service.console.story.words import headline, lines_of, summary, text_of

__all__ = [
    "Kind",
    "Scene",
    "Subject",
    "Teller",
    "clock",
    "draw",
    "fold",
    "headline",
    "lines_of",
    "scenes_of",
    "since",
    "summary",
    "text_of",
]
