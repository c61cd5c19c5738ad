"""Helm, and the schemas and checks that the chart and the images are held to, without Docker."""
