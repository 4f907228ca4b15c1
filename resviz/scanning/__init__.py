"""A data set streamed through a network once: what each channel looks for.

What a :class:`~resviz.scanning.scan.Scan` holds:

- ``plan`` (:mod:`~resviz.scanning.plan`): the layers (``plan.sites``: key, channels, axes,
  positions, receptive field), the measures, the classes. Two scans with the same plan, network and
  data set are parts of one, and ``merge``.
- ``seen`` (:mod:`~resviz.scanning.accumulated`): one accumulator per measure, each a few arrays
  named "number of the layer/what": ``scan.measured("top").arrays["3/value"]`` is (k, channels).
  Tables are made of them when asked for: ``channels``, ``layers``, ``blocks``, ``classes``,
  ``images``, ``top(layer, channel)``, ``quantiles``, ``histogram``, ``nearest``, ``class_means``,
  ``find``.
- ``names``: of the files, by position. An image is its position in the data set, everywhere.
- pictures of the top images, as the network saw them: ``picture(image)``, ``crop(layer,
  channel)``.

From floor to roof: sites; reducing, sums, watching (what a pass leaves); batch;
measures/ (an accumulator and a row of the registry each); accumulated; sources (what is read),
runner (one batch, wherever it runs); asking (what is to be done); local and cluster/ (Ray): an
engine each; engines; tables, saved, channel (what is asked of one), scan (the record); belonging
(is it of this network), maps (of a channel, over its images); scanning (the public function).

An engine is a function as :func:`resviz.scanning.local.run`: it fills an ``Accumulated``. Parts
that ran elsewhere come back as ``Accumulated.state()``, which ``load`` and ``merge`` read.
"""
