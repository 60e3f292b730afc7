"""Attacks on the promise that nothing is lost and nothing damaged, each a program: `python -m tests.torture.NAME`.

All of them: `make torture`. Each prints one line of figures and exits with 1 if something that was promised did not
hold. An attack is a module here with `main() -> int`, 0 where everything held; short versions of them run in
`tests/process`.
"""
