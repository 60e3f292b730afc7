"""What the benchmarks share: scratch vaults, the real daemon, figures, and the page that tells them."""
