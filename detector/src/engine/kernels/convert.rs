//! Values from one type to another.

use super::Kernel;
use super::format::Format;
use super::lanes::Lanes;
use crate::engine::{Element, Isa};

/// `from` as `E`.
///
/// # Panics
/// If the lengths differ.
pub(crate) fn to_bf16<E: Element>(isa: Isa, from: &[f32], to: &mut [E]) {
    assert_eq!(from.len(), to.len());
    // SAFETY: the lengths were checked above.
    unsafe { E::run(isa, ToBf16 { from, to }) }
}

/// `from` as `f32`.
///
/// # Panics
/// If the lengths differ.
pub(crate) fn to_f32<E: Element>(isa: Isa, from: &[E], to: &mut [f32]) {
    assert_eq!(from.len(), to.len());
    // SAFETY: the lengths were checked above.
    unsafe { E::run(isa, ToF32 { from, to }) }
}

struct ToBf16<'a, E> {
    from: &'a [f32],
    to: &'a mut [E],
}

impl<E: Element> Kernel<E> for ToBf16<'_, E> {
    #[inline(always)]
    unsafe fn run<F: Format<Element = E>>(self) {
        let whole = self.from.len() / F::Lanes::N * F::Lanes::N;
        for at in (0..whole).step_by(F::Lanes::N) {
            // SAFETY: `N` values from `at` on are inside both.
            unsafe { F::store(F::Lanes::load(self.from.as_ptr().add(at)), self.to.as_mut_ptr().add(at)) }
        }
        for (from, to) in self.from[whole..].iter().zip(&mut self.to[whole..]) {
            *to = E::from_f32(*from);
        }
    }
}

struct ToF32<'a, E> {
    from: &'a [E],
    to: &'a mut [f32],
}

impl<E: Element> Kernel<E> for ToF32<'_, E> {
    #[inline(always)]
    unsafe fn run<F: Format<Element = E>>(self) {
        let whole = self.from.len() / F::Lanes::N * F::Lanes::N;
        for at in (0..whole).step_by(F::Lanes::N) {
            // SAFETY: `N` values from `at` on are inside both.
            unsafe { F::load(self.from.as_ptr().add(at)).store(self.to.as_mut_ptr().add(at)) }
        }
        for (from, to) in self.from[whole..].iter().zip(&mut self.to[whole..]) {
            *to = from.to_f32();
        }
    }
}
