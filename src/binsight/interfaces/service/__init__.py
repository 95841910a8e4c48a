"""The HTTP service: photos in over the network, answers out as JSON.

A request passes, in this order: `edge` (identity, log, metrics), `tokens` (who may ask), `places`
(is there room), `bodies` (read within limits), `model` (answer, in threads), `problems` (what went
wrong, in one form). `application` puts them together; `server` runs it.
"""
