//! What is done with the sums of a convolution on their way to memory.

use super::format::Format;
use super::lanes::{Lanes, silu};

/// What follows a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Activation {
    /// Nothing.
    None,
    /// `x * sigmoid(x)`.
    Silu,
}

/// Where a convolution's values go, pixel by pixel.
#[derive(Clone, Copy)]
pub(super) enum Destination<E> {
    /// A map as the others.
    Narrow(*mut E),
    /// A map of `f32`: one that leaves the network.
    Wide(*mut f32),
}

impl<E> Destination<E> {
    /// # Safety
    /// As `pointer::add`.
    pub(super) unsafe fn add(self, count: usize) -> Self {
        unsafe {
            match self {
                Self::Narrow(to) => Self::Narrow(to.add(count)),
                Self::Wide(to) => Self::Wide(to.add(count)),
            }
        }
    }
}

/// Activate the sums of `pixels` pixels beside each other, add what is at `residual`, and store them.
///
/// The sums come from memory, not from registers: so the loops before this have all registers for themselves.
///
/// # Safety
/// As [`Lanes`]; sums, residual and destination hold a register's values for each pixel.
#[inline(always)]
pub(super) unsafe fn finish<F: Format>(
    sums: *const f32,
    pixels: usize,
    activation: Activation,
    residual: Option<*const F::Element>,
    to: Destination<F::Element>,
) {
    for pixel in 0..pixels {
        let at = pixel * F::Lanes::N;
        // SAFETY: the caller's.
        unsafe {
            let mut value = F::Lanes::load(sums.add(at));
            if activation == Activation::Silu {
                value = silu(value);
            }
            if let Some(residual) = residual {
                value = value.add(F::load(residual.add(at)));
            }
            match to {
                Destination::Narrow(to) => F::store(value, to.add(at)),
                Destination::Wide(to) => value.store(to.add(at)),
            }
        }
    }
}
