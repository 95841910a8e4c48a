"""The HTTP service: photos in over the network, answers out as JSON.

A request passes, in this order: `connections` (who waits for whom), `edge` (identity, log,
metrics), `tokens` (who may ask), `bodies` (read within limits, while there is room), `places`
(whose turn is it), `leaving` (is the client still there), `model` (answer, in threads), `problems`
(what went wrong, in one form). `application` puts them together; `server` runs it.
"""
