"""What a body of our own can be pretrained on; `study.objectives.make` has the table."""
