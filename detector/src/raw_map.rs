//! A raw map in the network's memory order, read by channel and pixel.

use std::ops::Range;

use tract_onnx::prelude::*;

use crate::engine::Piece;

/// A map made of channels of blocked maps, all of one size.
#[derive(Debug)]
pub(crate) struct RawMap<'a> {
    /// `[1, blocks, height, width, lanes]` each.
    tensors: Vec<&'a [f32]>,
    lanes: usize,
    height: usize,
    width: usize,
    /// For each channel: which tensor, and which channel of it.
    channels: Vec<(usize, usize)>,
}

impl<'a> RawMap<'a> {
    /// The map made of these pieces; `steps` names the step that each of `tensors` is the result of.
    pub(crate) fn new(pieces: &[Piece], steps: &[usize], tensors: &'a [TValue]) -> TractResult<Self> {
        let position = |step: usize| steps.iter().position(|&other| other == step).unwrap_or_default();
        let channels = pieces
            .iter()
            .flat_map(|piece| (piece.first..piece.first + piece.count).map(|c| (position(piece.step), c)))
            .collect();
        let shape = pieces.first().map_or(&[][..], |piece| tensors[position(piece.step)].shape());
        let &[_, _, height, width, lanes] = shape else { return Err(TractError::msg("a map of no channels")) };
        let tensors = tensors.iter().map(|tensor| tensor.try_as_plain_ram()?.as_slice()).collect::<TractResult<_>>()?;
        Ok(Self { tensors, lanes, height, width, channels })
    }

    /// A map `[1, channels, height, width]` as it is: blocks of one channel.
    pub(crate) fn of_planar(tensor: &'a Tensor) -> Option<Self> {
        let &[1, channels, height, width] = tensor.shape() else { return None };
        let values = tensor.as_plain_ram()?.as_slice::<f32>().ok()?;
        let channels = (0..channels).map(|channel| (0, channel)).collect();
        Some(Self { tensors: vec![values], lanes: 1, height, width, channels })
    }

    /// Pixels in all.
    pub(crate) fn pixels(&self) -> usize {
        self.height * self.width
    }

    /// Pixels in a row.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// The value of a channel at a pixel, counted row by row.
    pub(crate) fn at(&self, channel: usize, pixel: usize) -> f32 {
        let (tensor, channel) = self.channels[channel];
        let (block, lane) = (channel / self.lanes, channel % self.lanes);
        self.tensors[tensor][(block * self.height * self.width + pixel) * self.lanes + lane]
    }

    /// The pixels where any of these channels is at least `least`, in order.
    pub(crate) fn pixels_reaching(&self, channels: Range<usize>, least: f32) -> Vec<usize> {
        let pixels = self.height * self.width;
        let mut reaching = vec![false; pixels];
        let mut channel = channels.start;
        while channel < channels.end {
            let (tensor, first) = self.channels[channel];
            let (block, lane) = (first / self.lanes, first % self.lanes);
            let is_next = |i: usize| self.channels.get(channel + i) == Some(&(tensor, first + i));
            let most = (self.lanes - lane).min(channels.end - channel);
            let count = (1..most).take_while(|&i| is_next(i)).count() + 1;
            let plane = &self.tensors[tensor][block * pixels * self.lanes..][..pixels * self.lanes];
            for (values, reaching) in plane.chunks_exact(self.lanes).zip(&mut reaching) {
                // No early end: without one the lanes are compared at once.
                *reaching |= values[lane..lane + count].iter().fold(false, |any, &value| any | (value >= least));
            }
            channel += count;
        }
        (0..pixels).filter(|&pixel| reaching[pixel]).collect()
    }
}
