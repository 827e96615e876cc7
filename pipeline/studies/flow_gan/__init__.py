"""Paper B's Flow-GAN: a flow that is trained against a discriminator, with and without its likelihood."""
