"""What the console's pages show and who may see them, without any HTTP framework: `service.web.console` has the routes.

doorway      at which address browsers reach the console, and which requests come from there
live         pages that renew themselves: one reader, any number of watchers
access       one-time links, sessions, and the token that proves that a form is ours
switchboard  the faults that the chaos page offers, and what they leave to count
rendering    templates to HTML: states, money, times
story/       one order's timeline as a picture and as text
templates/   one page each; `layout.html` is around all, `parts.html` has what they share
static/      the style sheet, the script and the icon
"""

from service.console.access import Access, Role, Visitor
from service.console.doorway import Doorway
from service.console.rendering import render

__all__ = ["Access", "Doorway", "Role", "Visitor", "render"]
