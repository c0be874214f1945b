"""How fast, and in how much memory: this project beside PyTorch and TensorFlow."""
