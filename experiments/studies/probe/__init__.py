"""What a model and its negatives look like from inside."""
