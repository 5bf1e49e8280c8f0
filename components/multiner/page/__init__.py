"""A folder of its own for the page: Streamlit looks for modules in a page's folder first, and finds none here."""
