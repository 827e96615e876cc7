"""What the stages found, laid side by side: tables, figures and one self-contained page."""
