//! polybot
