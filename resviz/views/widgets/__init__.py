"""Views to explore with: each is an ipywidget with a picture for when no kernel runs."""
