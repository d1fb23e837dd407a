//! Values from one type to another.

use super::Kernel;
use super::format::Format;
use super::lanes::Lanes;
use crate::engine::{Element, Isa};

/// `from` as `E`.
///
/// # Panics
/// If the lengths differ.
pub(crate) fn narrow<E: Element>(isa: Isa, from: &[f32], to: &mut [E]) {
    assert_eq!(from.len(), to.len());
    // SAFETY: the lengths were checked above.
    unsafe { E::run(isa, Narrow { from, to }) }
}

/// `from` as `f32`.
///
/// # Panics
/// If the lengths differ.
pub(crate) fn widen<E: Element>(isa: Isa, from: &[E], to: &mut [f32]) {
    assert_eq!(from.len(), to.len());
    // SAFETY: the lengths were checked above.
    unsafe { E::run(isa, Widen { from, to }) }
}

struct Narrow<'a, E> {
    from: &'a [f32],
    to: &'a mut [E],
}

impl<E: Element> Kernel<E> for Narrow<'_, E> {
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

struct Widen<'a, E> {
    from: &'a [E],
    to: &'a mut [f32],
}

impl<E: Element> Kernel<E> for Widen<'_, E> {
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
