"""Views to explore with: a host shows each as a widget, with a picture for when no kernel runs."""
