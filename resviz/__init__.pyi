"""The public names of resviz: the one list of them.

Type checkers read it, and lazy_loader, which imports a name where it stands on its first use.
"""

from . import networks as networks
from .analysis.branches import branch_study as branch_study
from .analysis.flow import GradientFlow as GradientFlow
from .analysis.flow import gradient_flow as gradient_flow
from .analysis.flow import load_gradient_flow as load_gradient_flow
from .analysis.gradients import gradient_norms as gradient_norms
from .analysis.landscape.convexity import nonconvexity as nonconvexity
from .analysis.landscape.loss import loss_landscape as loss_landscape
from .analysis.landscape.surface import LossLandscape as LossLandscape
from .analysis.landscape.surface import load_landscape as load_landscape
from .analysis.lesions import lesion_study as lesion_study
from .analysis.logit_lens import logit_lens as logit_lens
from .analysis.paths import path_study as path_study
from .analysis.receptive_fields import receptive_field_study as receptive_field_study
from .analysis.refinement import refinement_study as refinement_study
from .analysis.residuals import residual_branches as residual_branches
from .analysis.responses import response_std as response_std
from .analysis.shattering import gradient_correlation as gradient_correlation
from .analysis.shattering import shattering_study as shattering_study
from .analysis.similarity import similarity_study as similarity_study
from .attribution.contributions import channel_contributions as channel_contributions
from .attribution.explain import explain as explain
from .attribution.explanation import Explanation as Explanation
from .attribution.explanation import load_explanation as load_explanation
from .attribution.methods.registry import explanation_methods as explanation_methods
from .attribution.target import target as target
from .attribution.trust.faithfulness import faithfulness as faithfulness
from .errors import NonFinite as NonFinite
from .errors import NotTraceable as NotTraceable
from .errors import ResvizWarning as ResvizWarning
from .errors import WeightsUnavailable as WeightsUnavailable
from .images.loading import load_images as load_images
from .images.origin import sources_of as sources_of
from .networks.anatomy.architecture.table import architecture as architecture
from .networks.anatomy.survey import list_layers as list_layers
from .networks.predict import predict as predict
from .networks.surgery.blocks import drop_blocks as drop_blocks
from .networks.surgery.blocks import scale_branches as scale_branches
from .networks.surgery.blocks import scale_shortcuts as scale_shortcuts
from .networks.surgery.blocks import swap_blocks as swap_blocks
from .networks.surgery.blocks import zero_init_residual as zero_init_residual
from .networks.surgery.twin import plain_twin as plain_twin
from .networks.surgery.twin import untrained_copy as untrained_copy
from .networks.zoo.load import load_model as load_model
from .networks.zoo.packaged import packaged_networks as packaged_networks
from .networks.zoo.packaged import training_log as training_log
from .preset.definition import Preset as Preset
from .preset.network import preset_of as preset_of
from .preset.network import set_preset as set_preset
from .recording.recorder import record as record
from .recording.recording import Recording as Recording
from .recording.recording import load_recording as load_recording
from .scanning.scan import Scan as Scan
from .scanning.scan import load_scan as load_scan
from .scanning.scanning import scan as scan
from .training.compare.comparison import TrainComparison as TrainComparison
from .training.compare.comparison import train_compare as train_compare
from .training.compare.data import training_data as training_data
from .training.recorder.record import TrainingRecord as TrainingRecord
from .training.recorder.record import load_training_record as load_training_record
from .training.recorder.recorder import TrainingRecorder as TrainingRecorder
from .views.export import save as save
from .views.export import save_html as save_html
from .views.figures.architecture import plot_architecture as plot_architecture
from .views.figures.branches import plot_branch_study as plot_branch_study
from .views.figures.channel_statistics import (
    plot_channel_statistics as plot_channel_statistics,
)
from .views.figures.depth import plot_depth_profile as plot_depth_profile
from .views.figures.explanation import plot_explanation as plot_explanation
from .views.figures.faithfulness import plot_faithfulness as plot_faithfulness
from .views.figures.feature_maps import plot_feature_maps as plot_feature_maps
from .views.figures.gradient_flow import plot_gradient_flow as plot_gradient_flow
from .views.figures.landscape import plot_landscape as plot_landscape
from .views.figures.lesions import plot_lesions as plot_lesions
from .views.figures.paths import plot_paths as plot_paths
from .views.figures.receptive_fields import (
    plot_receptive_fields as plot_receptive_fields,
)
from .views.figures.refinement import plot_refinement as plot_refinement
from .views.figures.residuals import plot_residual_branches as plot_residual_branches
from .views.figures.responses import plot_response_std as plot_response_std
from .views.figures.shattering import plot_gradient_correlation as plot_gradient_correlation
from .views.figures.similarity import plot_similarity as plot_similarity
from .views.figures.top_images import plot_top_images as plot_top_images
from .views.figures.train_compare import plot_train_compare as plot_train_compare
from .views.figures.training import plot_training as plot_training
from .views.figures.training_record import plot_training_record as plot_training_record
from .views.widgets.atlas.view import explore_channels as explore_channels
from .views.widgets.explanation import explore_explanation as explore_explanation
from .views.widgets.explore import explore as explore
from .views.widgets.feature_maps import explore_feature_maps as explore_feature_maps
from .views.widgets.gradients import explore_gradients as explore_gradients
from .views.widgets.residuals import explore_residuals as explore_residuals
from .views.widgets.training import live_training as live_training

__version__: str
