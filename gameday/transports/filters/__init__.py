"""Which subscription must get a message: our own reading of AWS's filters, asked of no service.

A judge that asked the service which messages it should have delivered could never find it wrong. `sns_filter` reads the
filter policies of SNS, `event_pattern` the patterns of EventBridge; `rules` is the language the two have in common.
"""
