"""`TrainingRecorder`: the records of resviz for a training loop of one's own."""
