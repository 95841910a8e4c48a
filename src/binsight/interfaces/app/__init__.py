"""The app: a page for a phone or a desk, on Streamlit and the base install, without torch.

`serve` starts Streamlit, which runs `script` anew for every click; the pages are `sort_page` and
`model_page`. What they show comes from `desk`, which knows the model and no page, in the words of
`words` and the shapes of `parts`.
"""
