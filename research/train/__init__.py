"""One training loop for every arm; what is swept is an argument of its epoch."""
