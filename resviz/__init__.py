"""resviz: see what happens inside a residual network.

    import resviz as rv

    net = rv.load_model("resnet50", fallback="cifar10-resnet56")
    images = rv.load_images(["cat.png"], net)
    rv.explore_feature_maps(rv.record(net, images))

Public names load on first use, so that ``import resviz`` alone stays fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from resviz import networks
    from resviz.analysis.branches import branch_study
    from resviz.analysis.flow import GradientFlow, gradient_flow, load_gradient_flow
    from resviz.analysis.gradients import gradient_norms
    from resviz.analysis.landscape.convexity import nonconvexity
    from resviz.analysis.landscape.loss import loss_landscape
    from resviz.analysis.landscape.surface import LossLandscape, load_landscape
    from resviz.analysis.lesions import lesion_study
    from resviz.analysis.paths import path_study
    from resviz.analysis.refinement import refinement_study
    from resviz.analysis.residuals import residual_branches
    from resviz.analysis.responses import response_std
    from resviz.analysis.shattering import gradient_correlation, shattering_study
    from resviz.attribution.explain import explain
    from resviz.attribution.explanation import Explanation, load_explanation
    from resviz.attribution.methods.registry import explanation_methods
    from resviz.attribution.target import target
    from resviz.attribution.trust.faithfulness import faithfulness
    from resviz.errors import NonFinite, NotTraceable, ResvizWarning, WeightsUnavailable
    from resviz.images import load_images
    from resviz.networks.anatomy.architecture.table import architecture
    from resviz.networks.anatomy.survey import list_layers
    from resviz.networks.predict import predict
    from resviz.networks.surgery.blocks import (
        drop_blocks,
        scale_branches,
        scale_shortcuts,
        swap_blocks,
        zero_init_residual,
    )
    from resviz.networks.surgery.twin import plain_twin, untrained_copy
    from resviz.networks.zoo.load import load_model, packaged_networks
    from resviz.networks.zoo.packaged import training_log
    from resviz.preset import Preset, preset_of, set_preset
    from resviz.recording.recorder import record
    from resviz.recording.recording import Recording, load_recording
    from resviz.training.compare.comparison import TrainComparison, train_compare
    from resviz.training.compare.data import training_data
    from resviz.training.recorder.record import TrainingRecord, load_training_record
    from resviz.training.recorder.recorder import TrainingRecorder
    from resviz.views.export import save_html
    from resviz.views.figures.architecture import plot_architecture
    from resviz.views.figures.branches import plot_branch_study
    from resviz.views.figures.depth import plot_depth_profile
    from resviz.views.figures.explanation import plot_explanation
    from resviz.views.figures.faithfulness import plot_faithfulness
    from resviz.views.figures.feature_maps import plot_feature_maps
    from resviz.views.figures.gradient_flow import plot_gradient_flow
    from resviz.views.figures.landscape import plot_landscape
    from resviz.views.figures.lesions import plot_lesions
    from resviz.views.figures.paths import plot_paths
    from resviz.views.figures.refinement import plot_refinement
    from resviz.views.figures.residuals import plot_residual_branches
    from resviz.views.figures.responses import plot_response_std
    from resviz.views.figures.shattering import plot_gradient_correlation
    from resviz.views.figures.train_compare import plot_train_compare
    from resviz.views.figures.training import plot_training
    from resviz.views.figures.training_record import plot_training_record
    from resviz.views.widgets.explanation import explore_explanation
    from resviz.views.widgets.explore import explore
    from resviz.views.widgets.feature_maps import explore_feature_maps
    from resviz.views.widgets.gradients import explore_gradients
    from resviz.views.widgets.residuals import explore_residuals
    from resviz.views.widgets.training import live_training


__version__ = "0.1.0"

__all__ = [
    "Explanation",
    "GradientFlow",
    "LossLandscape",
    "NonFinite",
    "NotTraceable",
    "Preset",
    "Recording",
    "ResvizWarning",
    "TrainComparison",
    "TrainingRecord",
    "TrainingRecorder",
    "WeightsUnavailable",
    "architecture",
    "branch_study",
    "drop_blocks",
    "explain",
    "explanation_methods",
    "explore",
    "explore_explanation",
    "explore_feature_maps",
    "explore_gradients",
    "explore_residuals",
    "faithfulness",
    "gradient_correlation",
    "gradient_flow",
    "gradient_norms",
    "lesion_study",
    "list_layers",
    "live_training",
    "load_explanation",
    "load_gradient_flow",
    "load_images",
    "load_landscape",
    "load_model",
    "load_recording",
    "load_training_record",
    "loss_landscape",
    "networks",
    "nonconvexity",
    "packaged_networks",
    "path_study",
    "plain_twin",
    "plot_architecture",
    "plot_branch_study",
    "plot_depth_profile",
    "plot_explanation",
    "plot_faithfulness",
    "plot_feature_maps",
    "plot_gradient_correlation",
    "plot_gradient_flow",
    "plot_landscape",
    "plot_lesions",
    "plot_paths",
    "plot_refinement",
    "plot_residual_branches",
    "plot_response_std",
    "plot_train_compare",
    "plot_training",
    "plot_training_record",
    "predict",
    "preset_of",
    "record",
    "refinement_study",
    "residual_branches",
    "response_std",
    "save_html",
    "scale_branches",
    "scale_shortcuts",
    "set_preset",
    "shattering_study",
    "swap_blocks",
    "target",
    "train_compare",
    "training_data",
    "training_log",
    "untrained_copy",
    "zero_init_residual",
]

# public name -> the module that defines it; the imports above tell type checkers the same
_HOME = {
    "Explanation": "attribution.explanation",
    "GradientFlow": "analysis.flow",
    "LossLandscape": "analysis.landscape.surface",
    "NonFinite": "errors",
    "NotTraceable": "errors",
    "Preset": "preset",
    "Recording": "recording.recording",
    "ResvizWarning": "errors",
    "TrainComparison": "training.compare.comparison",
    "TrainingRecord": "training.recorder.record",
    "TrainingRecorder": "training.recorder.recorder",
    "WeightsUnavailable": "errors",
    "architecture": "networks.anatomy.architecture.table",
    "branch_study": "analysis.branches",
    "drop_blocks": "networks.surgery.blocks",
    "explain": "attribution.explain",
    "explanation_methods": "attribution.methods.registry",
    "explore": "views.widgets.explore",
    "explore_explanation": "views.widgets.explanation",
    "explore_feature_maps": "views.widgets.feature_maps",
    "explore_gradients": "views.widgets.gradients",
    "explore_residuals": "views.widgets.residuals",
    "faithfulness": "attribution.trust.faithfulness",
    "gradient_correlation": "analysis.shattering",
    "gradient_flow": "analysis.flow",
    "gradient_norms": "analysis.gradients",
    "lesion_study": "analysis.lesions",
    "list_layers": "networks.anatomy.survey",
    "live_training": "views.widgets.training",
    "load_explanation": "attribution.explanation",
    "load_gradient_flow": "analysis.flow",
    "load_images": "images",
    "load_landscape": "analysis.landscape.surface",
    "load_model": "networks.zoo.load",
    "load_recording": "recording.recording",
    "load_training_record": "training.recorder.record",
    "loss_landscape": "analysis.landscape.loss",
    "nonconvexity": "analysis.landscape.convexity",
    "packaged_networks": "networks.zoo.load",
    "path_study": "analysis.paths",
    "plain_twin": "networks.surgery.twin",
    "plot_architecture": "views.figures.architecture",
    "plot_branch_study": "views.figures.branches",
    "plot_depth_profile": "views.figures.depth",
    "plot_explanation": "views.figures.explanation",
    "plot_faithfulness": "views.figures.faithfulness",
    "plot_feature_maps": "views.figures.feature_maps",
    "plot_gradient_correlation": "views.figures.shattering",
    "plot_gradient_flow": "views.figures.gradient_flow",
    "plot_landscape": "views.figures.landscape",
    "plot_lesions": "views.figures.lesions",
    "plot_paths": "views.figures.paths",
    "plot_refinement": "views.figures.refinement",
    "plot_residual_branches": "views.figures.residuals",
    "plot_response_std": "views.figures.responses",
    "plot_train_compare": "views.figures.train_compare",
    "plot_training": "views.figures.training",
    "plot_training_record": "views.figures.training_record",
    "predict": "networks.predict",
    "preset_of": "preset",
    "record": "recording.recorder",
    "refinement_study": "analysis.refinement",
    "residual_branches": "analysis.residuals",
    "response_std": "analysis.responses",
    "save_html": "views.export",
    "scale_branches": "networks.surgery.blocks",
    "scale_shortcuts": "networks.surgery.blocks",
    "set_preset": "preset",
    "shattering_study": "analysis.shattering",
    "swap_blocks": "networks.surgery.blocks",
    "target": "attribution.target",
    "train_compare": "training.compare.comparison",
    "training_data": "training.compare.data",
    "training_log": "networks.zoo.packaged",
    "untrained_copy": "networks.surgery.twin",
    "zero_init_residual": "networks.surgery.blocks",
}


def __getattr__(name: str) -> object:
    if name == "networks":
        return importlib.import_module(f"{__name__}.networks")
    if name not in _HOME:
        # with name and obj, Python itself suggests the closest public name
        raise AttributeError(
            f"module 'resviz' has no attribute {name!r}",
            name=name,
            obj=importlib.import_module(__name__),
        )
    value: object = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__) + ["__version__"]
