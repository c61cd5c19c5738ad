"""One call from its opening to its last result, whatever the protocol: onto the log, back from it, taken up again. ``hub`` holds them all."""
