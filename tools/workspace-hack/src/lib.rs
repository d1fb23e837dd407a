//! Nothing: what counts is `Cargo.toml`, which cargo-hakari writes. See `.config/hakari.toml`.
