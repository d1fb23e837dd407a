mod isa;
mod kernels;
pub use isa::Isa;
