"""Speed and memory of this project beside PyTorch and TensorFlow."""
