"""The live page: plain files that a browser takes as they are. protocols/page.py serves them."""
