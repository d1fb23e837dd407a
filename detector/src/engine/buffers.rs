//! Memory for the operators' outputs, kept from one run to the next.
//!
//! A run of yolo12n writes some 90 MB of maps. If each run allocated them, the kernel would take the pages back and hand them
//! out again each time: an eighth of YOLOv5n's time.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, PoisonError};

use tract_onnx::prelude::*;

use super::Element;

/// Tensors of one run. Those that only this list refers to are free.
type Tensors = Vec<Arc<Tensor>>;

/// Bytes that one run's list may hold before the free ones are dropped: inputs of many sizes need tensors of many sizes.
const MOST_BYTES: usize = 128 << 20;

/// Lists of tensors: one for each of the runs that were at work at the same time.
#[derive(Debug, Default)]
pub(crate) struct Buffers(Mutex<Vec<Tensors>>);

thread_local! {
    /// The list of the run that this thread is in.
    static CURRENT: RefCell<Option<Tensors>> = const { RefCell::new(None) };
}

impl Buffers {
    /// Calls `run`. The operators that it evaluates on this thread take their memory from one of these lists.
    pub(crate) fn lend<R>(&self, run: impl FnOnce() -> R) -> R {
        let lists = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let list = lists().pop().unwrap_or_default();
        let before = CURRENT.replace(Some(list));
        let result = run();
        if let Some(mut list) = CURRENT.replace(before) {
            if list.iter().map(|tensor| tensor.datum_type().size_of() * tensor.len()).sum::<usize>() > MOST_BYTES {
                list.retain_mut(|tensor| Arc::get_mut(tensor).is_none());
            }
            lists().push(list);
        }
        result
    }
}

/// A tensor of this shape, filled by `fill`. `fill` has to write every value: the tensor still holds what an earlier run left.
pub(super) fn filled<E: Element>(shape: &[usize], fill: impl FnOnce(&mut [E])) -> TractResult<Arc<Tensor>> {
    let length = shape.iter().product::<usize>();
    let free = CURRENT.with_borrow_mut(|list| {
        let list = list.as_mut()?;
        // From the end: what was used last is likeliest in a cache.
        let index = list.iter_mut().rposition(|tensor| {
            tensor.len() == length && tensor.datum_type() == E::datum_type() && Arc::get_mut(tensor).is_some()
        })?;
        Some(list.remove(index))
    });
    let mut tensor = match free {
        Some(tensor) => tensor,
        None => Arc::new(Tensor::zero_dt(E::datum_type(), shape)?),
    };
    let unique = Arc::get_mut(&mut tensor).ok_or_else(|| TractError::msg("a free tensor that is in use"))?;
    unique.set_shape(shape)?;
    fill(unique.try_as_plain_ram_mut()?.as_slice_mut::<E>()?);
    CURRENT.with_borrow_mut(|list| {
        if let Some(list) = list {
            list.push(Arc::clone(&tensor));
        }
    });
    Ok(tensor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_used_again_once_it_is_free() {
        let buffers = Buffers::default();
        let fresh = |value: f32| filled::<f32>(&[2, 3], |values| values.fill(value)).expect("filled");
        let (first, second) = buffers.lend(|| (fresh(1.0), fresh(2.0)));
        let address = |tensor: &Tensor| tensor.as_ptr::<f32>().expect("f32");
        assert_ne!(address(&first), address(&second));
        let freed = address(&first);
        drop(first);
        let third = buffers.lend(|| filled::<f32>(&[3, 2], |values| values.fill(3.0)).expect("filled"));
        assert_eq!(address(&third), freed);
        assert_eq!(third.shape(), [3, 2]);
        assert_eq!(second.as_plain_ram().expect("plain").as_slice::<f32>().expect("f32"), [2.0; 6]);
    }
}
