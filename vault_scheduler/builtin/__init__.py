"""The built-in python tasks: `call: NAME` runs the function `run` of the module of that name."""
