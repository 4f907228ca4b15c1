"""The channel atlas: what each channel of a scanned network looks for.

From floor to roof: sheets (pictures as JPEG), crops (what channels saw), pictures (which ones, and
how large), layers (numbers of the channels), points (where images lie), view (the widget and
:func:`explore_channels`).
"""
