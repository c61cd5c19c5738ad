"""The field's measures, each by the library that people trust for it; a file imports one library."""
