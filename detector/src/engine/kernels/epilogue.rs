//! The epilogue of a convolution: activation and residual, on the way of its sums to memory.

use super::Kernel;
use super::format::Format;
use super::lanes::{Lanes, exp, silu};
use crate::engine::{Element, Isa};

/// The activation function of a convolution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Activation {
    /// Nothing.
    None,
    /// `x * sigmoid(x)`.
    Silu,
    /// `x` between two bounds: ReLU is from 0 to infinity, ReLU6 from 0 to 6.
    Clip {
        /// The lower one.
        least: f32,
        /// The upper one.
        most: f32,
    },
    /// `x`, or this times `x` below 0.
    LeakyRelu(f32),
    /// `x * clip(x / 6 + 1 / 2, 0, 1)`.
    HardSwish,
    /// `x * tanh(ln(1 + e^x))`.
    Mish,
}

// No exporter writes NaN as a bound or a slope.
impl Eq for Activation {}

impl Activation {
    /// # Safety
    /// As [`Lanes`].
    #[inline(always)]
    unsafe fn of<L: Lanes>(self, value: L) -> L {
        // SAFETY: the caller vouches for the instruction set.
        unsafe {
            match self {
                Self::None => value,
                Self::Silu => silu(value),
                Self::Clip { least, most } => value.max(L::splat(least)).min(L::splat(most)),
                Self::LeakyRelu(slope) => value.min(L::splat(0.0)).mul_add(L::splat(slope), value.max(L::splat(0.0))),
                Self::HardSwish => {
                    let part = value.mul_add(L::splat(1.0 / 6.0), L::splat(0.5));
                    value.mul(part.max(L::splat(0.0)).min(L::splat(1.0)))
                }
                Self::Mish => {
                    // With p = e^x (e^x + 2) it is x p / (p + 2), which is x from 20 on.
                    let power = exp(value.min(L::splat(20.0)));
                    let p = power.mul(power.add(L::splat(2.0)));
                    value.mul(p).mul(p.add(L::splat(2.0)).reciprocal())
                }
            }
        }
    }
}

/// Writes the activated values of `from` into `to`, in whole registers.
///
/// # Panics
/// If the lengths differ or are not whole registers.
pub(crate) fn activate<E: Element>(isa: Isa, activation: Activation, from: &[E], to: &mut [E]) {
    assert_eq!(from.len(), to.len());
    assert_eq!(from.len() % isa.lanes(), 0);
    // SAFETY: the lengths were checked above.
    unsafe { E::run(isa, Activating { activation, from, to }) }
}

struct Activating<'a, E> {
    activation: Activation,
    from: &'a [E],
    to: &'a mut [E],
}

impl<E: Element> Kernel<E> for Activating<'_, E> {
    #[inline(always)]
    unsafe fn run<F: Format<Element = E>>(self) {
        for at in (0..self.from.len()).step_by(F::Lanes::N) {
            // SAFETY: `N` values from `at` on are inside both.
            unsafe { F::store(self.activation.of(F::load(self.from.as_ptr().add(at))), self.to.as_mut_ptr().add(at)) }
        }
    }
}

/// Where a convolution's values go, pixel by pixel.
#[derive(Clone, Copy)]
pub(super) enum Destination<E> {
    /// A map of the same element type as the input.
    Map(*mut E),
    /// A map of `f32`: one that leaves the network.
    F32(*mut f32),
}

impl<E> Destination<E> {
    /// # Safety
    /// As `pointer::add`.
    pub(super) unsafe fn add(self, count: usize) -> Self {
        unsafe {
            match self {
                Self::Map(to) => Self::Map(to.add(count)),
                Self::F32(to) => Self::F32(to.add(count)),
            }
        }
    }
}

/// Activates the sums of `pixels` pixels beside each other, adds what is at `residual`, and stores them.
///
/// The sums come from memory, not from registers, so the loops before this have all registers for themselves.
///
/// # Safety
/// As [`Lanes`]; sums, residual and destination hold a register's values for each pixel.
#[inline(always)]
pub(super) unsafe fn epilogue<F: Format>(
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
            let mut value = activation.of(F::Lanes::load(sums.add(at)));
            if let Some(residual) = residual {
                value = value.add(F::load(residual.add(at)));
            }
            match to {
                Destination::Map(to) => F::store(value, to.add(at)),
                Destination::F32(to) => value.store(to.add(at)),
            }
        }
    }
}
