# What a developer runs, by short names: https://just.systems (`cargo install just`). Each recipe is one command that can be
# typed as well; CONTRIBUTING.md says when to use which.

_default:
    @just --list --unsorted

# Format, lints, documentation, unused dependencies, features: what fails fastest in CI
check:
    .ci/run format unused features lints docs

# Unit tests of one crate, in the dev profile: just test polybot [FILTER]
test CRATE *FILTER:
    cargo test -p {{ CRATE }} -- {{ FILTER }}

# End-to-end tests, all or those with NAME in their path: just e2e faults::
e2e *NAME:
    cargo test --release -p local --test e2e -- {{ NAME }}

# Everything that has to pass before a change lands
ci:
    .ci/run
