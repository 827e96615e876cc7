"""Human judgement: blinded pictures out, people's answers back in, counted by the rule of paper A's Table 2."""
