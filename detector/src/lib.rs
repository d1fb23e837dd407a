//! An image in, labels out: a YOLO detector on [tract](tract_onnx), in pure Rust.
//!
//! This crate does not use AWS, tokio or the network. The way of one photo:
//!
//! 1. [`photo::decode`] (a crate of its own, as polybot needs it without a model): bytes to an upright RGB image;
//! 2. [`letterbox`]: the image to the network's input tensor, and the way back;
//! 3. [`Model::run`]: the network;
//! 4. [`decode`]: raw outputs (YOLOv5's layout or YOLOv8's and later) to candidate boxes;
//! 5. [`nms`]: candidates to detections;
//! 6. [`annotate`]: boxes and names drawn on the image.
//!
//! [`Detector`] puts 2 to 5 together.

pub mod annotate;
mod bounded;
mod bounding_box;
pub mod decode;
mod detection;
mod detector;
mod engine;
mod head;
mod layout;
pub mod letterbox;
mod metadata;
mod model;
pub mod nms;
mod onnx;
#[doc(hidden)]
pub mod operators;
mod profile;
mod python;
mod raw_map;
pub mod redact;
pub mod reference;
mod stand_in;

pub use bounding_box::BoundingBox;
pub use detection::Detection;
pub use detector::{DetectError, Detector, Thresholds, Timings};
pub use engine::{Isa, Precision, UnknownIsa, UnknownPrecision};
pub use image::RgbImage;
pub use layout::{Layout, LayoutName, UnknownLayout};
pub use model::{LoadError, Model, Options, Output};
pub use photo;
pub use profile::OperatorTime;
pub use stand_in::StandIn;
