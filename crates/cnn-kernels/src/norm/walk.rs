//! The way over a map's pixels and channels that keeps memory busy.
#![allow(unsafe_code)]

use std::ops::Range;

use crate::machine::register::Register;

/// Pixels that are read at a time for each register of channels.
pub(crate) const GROUP: usize = 8;

/// Floats ahead of what is read that should be on their way: a few groups of pixels. Groups are
/// read line by line of several pixels in turn, which the processor does not foresee.
pub(crate) fn ahead(channels: usize) -> usize {
    1024usize.next_multiple_of(GROUP * channels.max(1))
}

/// What [`walk`] does for a register of channels of some neighbouring pixels.
pub(crate) trait Body<R: Register> {
    /// Works on `PIXELS` pixels from `pixel` on; a register that is not `FULL` has `count`
    /// channels.
    ///
    /// # Safety
    /// The pixels and channels exist, and that of [`Register`].
    unsafe fn run<const PIXELS: usize, const FULL: bool>(
        &mut self,
        pixel: usize,
        channel: usize,
        count: usize,
    );
}

/// Some pixels at a time, register after register of their channels: what belongs to a channel is
/// loaded once for several pixels, and memory is read as it lies.
///
/// # Safety
/// That of the body.
#[inline(always)]
pub(crate) unsafe fn walk<R: Register>(
    pixels: Range<usize>,
    channels: usize,
    body: &mut impl Body<R>,
) {
    let mut pixel = pixels.start;
    // SAFETY: the caller's promise.
    unsafe {
        while pixel + GROUP <= pixels.end {
            registers::<R, GROUP>(pixel, channels, body);
            pixel += GROUP;
        }
        while pixel < pixels.end {
            registers::<R, 1>(pixel, channels, body);
            pixel += 1;
        }
    }
}

#[inline(always)]
unsafe fn registers<R: Register, const PIXELS: usize>(
    pixel: usize,
    channels: usize,
    body: &mut impl Body<R>,
) {
    let mut channel = 0;
    // SAFETY: the caller's promise.
    unsafe {
        while channel + R::LANES <= channels {
            body.run::<PIXELS, true>(pixel, channel, R::LANES);
            channel += R::LANES;
        }
        if channel < channels {
            body.run::<PIXELS, false>(pixel, channel, channels - channel);
        }
    }
}
