"""A real Kubernetes control plane on this machine, Helm, and the schemas charts are checked against, without Docker."""
