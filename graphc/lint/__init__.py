"""The linter: what is wrong with a loss and its gradients, told before anything runs."""
