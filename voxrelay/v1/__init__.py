"""Generated from proto/voxrelay/v1 by scripts/generate; never edited."""
