"""Where people train: the records of resviz in other libraries' loops and files.

- ``lightning``: a callback for ``lightning.Trainer`` (``pip install resviz[lightning]``).
- ``transformers``: a callback for Hugging Face's ``Trainer`` (``resviz[hf]``).
- ``writers``: TensorBoard (``resviz[tensorboard]``) and Weights & Biases (``resviz[wandb]``).

None is imported unless it is asked for by name: ``from resviz.integrations.lightning import
TrainingRecorderCallback``.
"""
