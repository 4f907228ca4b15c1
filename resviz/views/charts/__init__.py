"""What a chart is, as frozen data in plain words, and the pens that draw it."""
