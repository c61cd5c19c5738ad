"""The single-purpose services of Voxrelay. They never import each other."""
