"""How requests reach a model: the wire, the providers' formats, the embedded model."""
