"""Looks at an account before polybot is deployed there, and at the stack afterwards. Run it as `infra/polybotctl doctor`."""
