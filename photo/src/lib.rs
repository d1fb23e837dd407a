//! A photo's bytes to an upright image and back, and the filters between.
//!
//! - [`decode()`], [`header`]: bytes to an image, within [`Limits`] that are checked before decoding;
//! - [`within`], [`encode_jpeg`]: an image to a size that can be sent, and to bytes;
//! - [`filters`]: an image in and an image out;
//! - [`coco`]: the classes that the usual models know.

pub mod coco;
mod decode;
mod encode;
pub mod filters;

pub use decode::{Header, Limits, PhotoError, Unturned, decode, decode_unturned, header};
pub use encode::{MAX_JPEG_SIDE, encode_jpeg, within};
