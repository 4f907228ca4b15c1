"""The pages of the reference: title, a sentence, and the public names on it, each on one page."""

from __future__ import annotations

# what has no public name of its own: a page, its title, a sentence, the paths
APART: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "integrations": (
        "In other training loops",
        "Callbacks for Lightning and Hugging Face's Trainer, writers for TensorBoard and Weights & "
        "Biases.",
        (
            "resviz.integrations.lightning.TrainingRecorderCallback",
            "resviz.integrations.transformers.TrainingRecorderCallback",
            "resviz.integrations.writers.write_tensorboard",
            "resviz.integrations.writers.write_wandb",
        ),
    ),
}

GROUPS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "networks": (
        "Networks and images",
        "A network by name or of your own, what it is made of, and pictures as it wants them.",
        (
            *("load_model", "packaged_networks", "training_log", "load_images", "sources_of"),
            *("predict", "Preset", "preset_of", "set_preset", "list_layers", "architecture"),
            "plot_architecture",
        ),
    ),
    "recording": (
        "Record one pass",
        "Activations, gradient norms and residual branches of one forward and backward pass.",
        (
            *("record", "Recording", "load_recording", "gradient_norms", "residual_branches"),
            *("plot_depth_profile", "plot_residual_branches", "plot_feature_maps"),
        ),
    ),
    "explaining": (
        "Explain a prediction",
        "Maps over the input, for any class, method and layer; and whether to believe them.",
        (
            *("explain", "Explanation", "load_explanation", "explanation_methods", "target"),
            *("channel_contributions", "faithfulness", "plot_explanation", "plot_faithfulness"),
        ),
    ),
    "views": (
        "Look at it live",
        "Widgets for a notebook, which also save themselves as a page of their own.",
        (
            *("explore", "explore_feature_maps", "explore_residuals", "explore_gradients"),
            *("explore_explanation", "explore_channels", "live_training", "save", "save_html"),
        ),
    ),
    "scanning": (
        "A whole data set",
        "The same questions of every image of a data set, streamed through the network once.",
        ("scan", "Scan", "load_scan", "plot_top_images", "plot_channel_statistics"),
    ),
    "surgery": (
        "Change a network",
        "Without a block, with weaker branches, without shortcuts: for a while, or as a copy.",
        (
            *("drop_blocks", "scale_branches", "scale_shortcuts", "swap_blocks"),
            *("zero_init_residual", "plain_twin", "untrained_copy"),
        ),
    ),
    "studies": (
        "Studies",
        "What the papers on residual networks measured, on your network.",
        (
            *("gradient_flow", "GradientFlow", "load_gradient_flow", "plot_gradient_flow"),
            *("lesion_study", "plot_lesions", "logit_lens", "path_study", "plot_paths"),
            *("gradient_correlation", "shattering_study", "plot_gradient_correlation"),
            *("branch_study", "plot_branch_study", "response_std", "plot_response_std"),
            *("refinement_study", "plot_refinement", "similarity_study", "plot_similarity"),
            *("receptive_field_study", "plot_receptive_fields"),
            *("loss_landscape", "LossLandscape"),
            *("load_landscape", "plot_landscape", "nonconvexity"),
        ),
    ),
    "training": (
        "While networks train",
        "Gradient norms in a training loop of your own, and networks trained side by side.",
        (
            *("TrainingRecorder", "TrainingRecord", "load_training_record"),
            *("plot_training_record", "train_compare", "TrainComparison", "training_data"),
            *("plot_train_compare", "plot_training"),
        ),
    ),
    "errors": (
        "Errors and warnings",
        "What resviz raises besides Python's own.",
        ("NonFinite", "NotTraceable", "ResvizWarning", "WeightsUnavailable"),
    ),
}
