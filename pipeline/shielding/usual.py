"""How far a shield goes where nobody says so; apart, since a command's help tells it without the seconds of torch."""

QUANTILE = 0.005  # what docs/shield.md was measured with
BUDGET = 55.0  # dB between draws with and without the shield; of less people are told
