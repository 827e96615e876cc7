"""The layers that flows are built from; each is a Bijection or a net inside one."""
