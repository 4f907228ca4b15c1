"""`plot_*`: one file per subject, each from data to a figure."""
