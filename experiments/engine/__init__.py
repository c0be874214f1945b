"""What runs the runs: this machine, a Ray cluster, or several processes together."""
