"""The papers' stand-alone experiments, a folder each; catalogue.py lists them."""
