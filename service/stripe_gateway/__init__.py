"""The only room that talks to Stripe. This face is empty, because importing the client costs half a second.

calls         what changes something: a request and its answer
client        that, the lists, and questions about one object
listings      Stripe's lists, page by page
paths         Stripe's routes                                                                             [pure]
balance       what is in the balance                                                                      [pure]
objects       what Stripe sends, as far as it is used                                                     [pure]
events        what Stripe tells, and by what it is known                                                [pure]
marks         our names in Stripe's metadata                                                              [pure]
headers       what Stripe says in headers                                                                 [pure]
signature     whether Stripe sent what reached us                                                         [pure]
permissions   what a restricted key must be allowed                                                       [pure]
pacing        how fast Stripe is asked, and how often again
standstill    why nothing is sent at the moment
"""
