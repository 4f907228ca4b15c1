"""resviz: see what happens inside a residual network.

    import resviz as rv

    net = rv.load_model("resnet50", fallback="cifar10-resnet56")
    images = rv.load_images(["cat.png"], net)
    rv.explore_feature_maps(rv.record(net, images))

Public names load on first use, so that ``import resviz`` alone stays fast.
"""

from __future__ import annotations

import sys

import lazy_loader

__version__ = "0.1.0"

# the names stand in __init__.pyi
_attached, _, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> object:
    if name not in __all__:
        # with name and obj, Python itself suggests the closest public name
        text = f"module 'resviz' has no attribute {name!r}"
        raise AttributeError(text, name=name, obj=sys.modules[__name__])
    value = globals()[name] = _attached(name)
    return value


def __dir__() -> list[str]:
    return [*sorted(__all__), "__version__"]
