//! embedded-aws
