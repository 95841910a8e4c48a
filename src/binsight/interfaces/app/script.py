"""What Streamlit runs, from the top, for each visit and each click."""

from __future__ import annotations

import sys

import streamlit as st

from binsight.interfaces.app import model_page, sort_page
from binsight.interfaces.app.desk import Desk
from binsight.interfaces.app.parts import style
from binsight.interfaces.app.settings import Settings


@st.cache_resource(show_spinner="Waking up the model ...")
def _desk(argument: str) -> Desk:
    """One for all who have the page open."""
    return Desk(Settings.from_argument(argument))


def main(argument: str) -> None:
    """Draw the page that was asked for."""
    st.set_page_config(page_title="binsight", page_icon=":material/recycling:", layout="wide")
    desk = _desk(argument)
    st.html(style())
    page = st.navigation(
        [
            st.Page(
                lambda: sort_page.show(desk),
                title="Sort",
                icon=":material/recycling:",
                url_path="sort",
                default=True,
            ),
            st.Page(
                lambda: model_page.show(desk),
                title="The model",
                icon=":material/info:",
                url_path="model",
            ),
        ],
        position="top",
    )
    page.run()


if __name__ == "__main__":
    main(sys.argv[1])
