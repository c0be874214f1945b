"""A published run made again in PyTorch, from its seed (peer.py)."""
