"""How good a model is, measured on labelled photos and written down for people.

    asking.py       a bundle or a run (scoring.py) answers about photos
    scored.py       what it said about labelled photos, as one checked object
    metrics.py      accuracy and its relatives with intervals, per class and per source
    mapping.py      what the class names of another data set mean
    domains.py      the same model on photos of several origins, and on strange ones (novelty.py)
    corruptions.py  photos made worse; robustness.py shows them to a model
    cross_validation.py  what the folds say together, and what leaks
    label_issues.py labels that are probably wrong; label_page.py shows them to a person
    figures.py      all of it as pictures (domain_figures.py, corruption_figures.py)
    report.py       a folder with all of it, and one HTML file to read or send

Nothing is imported here, because metrics need scikit-learn and figures matplotlib
(the extra ``train``).
"""
