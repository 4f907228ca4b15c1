"""A pass through a network, module by module: which one is running, and for which time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from torch import Tensor, nn

from resviz.given import Images, Inputs
from resviz.hooks import Hooks
from resviz.networks.anatomy.axes.watch import Axes
from resviz.networks.anatomy.dataflow import Dataflow, Frame
from resviz.networks.anatomy.structure import is_leaf, makes_weights, may_be_block
from resviz.networks.first_call import checked
from resviz.networks.inputs import check_not_inside_vmap
from resviz.torch_private import modules_of, scripted_functions_seen

Entered = Callable[[Frame, tuple[Any, ...]], None]
Left = Callable[[Frame, Any], None]


_NONE = Inputs((), ())


class Walk:
    """Tells when the modules of a network start and end, each call with its path and number.

    The network itself is left out. A module under several names has its first one. Between two
    passes the hooks do nothing.

    Args:
        net: the network.
        hooks: where the hooks live.
        entered: called with (frame, args) when a module starts.
        left: called with (frame, output) when it has run.
        axes: which axis is which, noted in every pass.
        check: say it plainly where the first layer cannot take the images; False leaves the
            network's own error as it is.
        leaves: False tells nothing of modules without children, which costs a third.

    Attributes:
        running: the module calls under way, outermost first.
    """

    def __init__(
        self,
        net: nn.Module,
        hooks: Hooks,
        entered: Entered | None = None,
        left: Left | None = None,
        *,
        axes: Axes | None = None,
        check: bool = True,
        leaves: bool = True,
    ) -> None:
        self.running: list[Frame] = []
        self._net, self._axes, self._check = net, axes, check
        self._calls: dict[str, int] = {}
        self._inputs = _NONE
        self._flow: Dataflow | None = None
        self._active = False
        for path, module in modules_of(net).items():  # the hooks alone hold on to who listens
            if path and not makes_weights(path) and (leaves or not is_leaf(module)):
                hooks.before_forward(module, self._entering(path, module, entered))
                hooks.forward(module, self._leaving(left))

    def run(self, inputs: Images, flow: Dataflow | None = None) -> Any:
        """A pass over `inputs`, seen by `flow` too; what the network returned.

        Raises:
            TypeError, ValueError: the first layer cannot take the images.
        """
        given = Inputs.of(inputs)
        return self.around(lambda: given.run(self._net), given, flow)

    def run_one(self, images: Images, flow: Dataflow | None = None) -> Any:
        """The same over a copy of the first of the images; errors speak of all of them."""
        one = Inputs.of(images).one().copies()
        return self.around(lambda: one.run(self._net), one, flow)

    def around(
        self,
        forward: Callable[[], Any],
        inputs: Iterable[Tensor],
        flow: Dataflow | None = None,
    ) -> Any:
        """The same for a pass that `forward` makes over `inputs`."""
        self.running.clear()
        self._calls.clear()
        self._inputs = inputs if isinstance(inputs, Inputs) else Inputs.of(tuple(inputs))
        self._flow, self._active = flow, True
        with checked(self._net, self._inputs, said=self._check):
            try:
                with self._watching(inputs, flow):
                    if flow is not None:
                        for tensor in self._inputs:
                            flow.source(tensor)
                    output = forward()
                if flow is not None:
                    flow.returned(output)
                return output
            finally:
                self.running.clear()  # of a pass that failed
                self._inputs = _NONE
                self._flow, self._active = None, False

    @contextmanager
    def _watching(self, inputs: Iterable[Tensor], flow: Dataflow | None) -> Iterator[None]:
        """One mode that sees the torch functions, where two want to: each costs as much again."""
        axes: AbstractContextManager[object] = nullcontext()
        if self._axes is not None:
            axes = self._axes.watching(inputs, alone=flow is None)
            if flow is not None:
                flow.also = self._axes.saw
        with scripted_functions_seen(), axes, flow if flow is not None else nullcontext():
            yield

    def _entering(
        self, path: str, module: nn.Module, entered: Entered | None
    ) -> Callable[[nn.Module, Any], None]:
        leaf, block, kind = is_leaf(module), may_be_block(path, module), type(module).__name__

        def enter(_: nn.Module, args: Any) -> None:
            if not self._active:
                return
            check_not_inside_vmap(args, path)
            call = self._calls.get(path, 0)
            self._calls[path] = call + 1
            frame = Frame(path, call, kind, leaf, block)
            self.running.append(frame)
            if self._flow is not None:
                self._flow.enter(frame)
            if entered is not None:
                entered(frame, args)

        return enter

    def _leaving(self, left: Left | None) -> Callable[[nn.Module, Any, Any], None]:
        def leave(_: nn.Module, args: Any, output: Any) -> None:
            if not self._active:
                return
            frame = self.running.pop()
            if self._flow is not None:
                self._flow.leave()
            if left is not None:
                left(frame, output)

        return leave
