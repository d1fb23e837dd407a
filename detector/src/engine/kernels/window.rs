//! Which values of its input a convolution or a pool reads.

/// Height and width of a kernel, its strides, dilations and padding; one number for the height, one for the width.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Window {
    /// Taps.
    pub(crate) kernel: [usize; 2],
    /// Input pixels from one output pixel to the next.
    pub(crate) stride: [usize; 2],
    /// Input pixels from one tap to the next.
    pub(crate) dilation: [usize; 2],
    /// Zeros above and left of the input.
    pub(crate) before: [usize; 2],
    /// Zeros below and right of the input.
    pub(crate) after: [usize; 2],
}

impl Window {
    /// Height and width of the output for an input of this height and width; 0 where no window fits.
    pub(crate) fn output(&self, input: [usize; 2]) -> [usize; 2] {
        std::array::from_fn(|axis| {
            let span = (self.kernel[axis] - 1) * self.dilation[axis] + 1;
            let padded = input[axis] + self.before[axis] + self.after[axis];
            if padded < span { 0 } else { (padded - span) / self.stride[axis] + 1 }
        })
    }

    /// Whether each output pixel reads the input pixel at its own place and nothing else.
    pub(crate) fn is_point(&self) -> bool {
        self.kernel == [1, 1] && self.stride == [1, 1] && self.before == [0, 0] && self.after == [0, 0]
    }

    /// Whether its border tiles fit the scratch row of the kernels.
    pub(crate) fn is_supported(&self) -> bool {
        let span = (MAX_PIXELS - 1) * self.stride[1] + (self.kernel[1] - 1) * self.dilation[1] + 1;
        span <= MAX_SPAN
    }

    /// The taps along the height that meet the input, for the output row `y`.
    #[inline(always)]
    pub(super) fn rows(&self, y: usize, height: usize) -> (usize, usize) {
        let top = y * self.stride[0];
        let first = self.before[0].saturating_sub(top).div_ceil(self.dilation[0]);
        let end = (height + self.before[0]).saturating_sub(top).div_ceil(self.dilation[0]);
        (first.min(self.kernel[0]), end.min(self.kernel[0]))
    }
}

/// The most pixels that any kernel computes at once.
pub(super) const MAX_PIXELS: usize = 10;
/// The most input pixels in a row that [`MAX_PIXELS`] output pixels may need.
pub(super) const MAX_SPAN: usize = 64;
/// Values in the scratch row of a tile at the border: [`MAX_SPAN`] pixels, and one that is read with a weight of 0.
pub(super) const SCRATCH: usize = (MAX_SPAN + 1) * 16;

/// The `span` pixels of a row from `first_x` on, some of which lie outside it: in `scratch`, those that lie inside copied
/// into it.
///
/// # Safety
/// `row` holds `width` pixels of `channels` values, and `scratch` `span`, zero where the pixels lie outside.
#[inline(always)]
pub(super) unsafe fn padded_row<E: Copy>(
    row: *const E,
    width: isize,
    first_x: isize,
    span: usize,
    channels: usize,
    scratch: *mut E,
) -> *const E {
    let skipped = (-first_x).max(0);
    let count = (first_x + span as isize).min(width) - (first_x + skipped);
    if count > 0 {
        // SAFETY: what is copied is inside the row, and as far into the scratch as it is behind `first_x`.
        unsafe {
            std::ptr::copy_nonoverlapping(
                row.offset((first_x + skipped) * channels as isize),
                scratch.offset(skipped * channels as isize),
                count as usize * channels,
            );
        }
    }
    scratch.cast_const()
}
