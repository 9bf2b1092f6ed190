"""The console over HTTP: its routes, one module per page, which `pages` names.

frame    what all share: who comes in, the policy of every answer, forms and their token
streams  pages that renew themselves
chaos    faults on purpose, where Stripe is the sandbox of `eo up`
door     opening by a link, signing out, files
pages    the modules, and the handlers made of them
"""
