"""How good a model is, measured on labelled photos and written down for people.

    scored.py       what a model said about labelled photos, as one checked object
    calibration.py  is a confidence of 0.9 right nine times out of ten; when to say "not sure"
    metrics.py      accuracy and its relatives with intervals, per class and per source
    figures.py      the same as pictures
    report.py       a folder with all of it, and one HTML file to read or send

It knows probabilities and labels, not where they came from: running a model is left to its
callers. Nothing is imported here, because metrics need scikit-learn and figures matplotlib
(the extra ``train``).
"""
