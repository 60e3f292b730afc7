"""The only modules that name a feature of an operating system."""
