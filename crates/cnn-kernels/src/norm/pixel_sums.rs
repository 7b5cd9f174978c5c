//! Sums over the channels of a pixel.
#![allow(unsafe_code)]

use crate::autograd::element::Element;
use crate::machine::register::{Register, load};
use crate::machine::simd::MAX_LANES;

/// How the channels of a pixel lie in registers.
pub(crate) struct Row<R> {
    pub(crate) channels: usize,
    /// Ones in the lanes of the last register that have channels.
    present: R,
}

impl<T: Element, R: Register<Value = T>> Row<R> {
    /// # Safety
    /// That of [`Register`].
    #[inline(always)]
    pub(crate) unsafe fn new(channels: usize) -> Self {
        let ones = [T::one(); MAX_LANES];
        Self {
            channels,
            // SAFETY: a register has at most that many lanes.
            present: unsafe { R::load_first(ones.as_ptr(), channels % R::LANES) },
        }
    }

    /// Values of a whole register.
    #[inline(always)]
    pub(crate) fn lanes(&self) -> usize {
        R::LANES
    }

    /// The first channels of the whole registers.
    #[inline(always)]
    pub(crate) fn registers(&self) -> impl Iterator<Item = usize> + use<T, R> {
        (0..self.channels / R::LANES).map(|register| register * R::LANES)
    }

    /// The first channel behind the whole registers, if there is one.
    #[inline(always)]
    pub(crate) fn rest(&self) -> Option<usize> {
        let whole = self.channels / R::LANES * R::LANES;
        (whole < self.channels).then_some(whole)
    }
}

/// What a value of each of `N` maps adds to each of `M` sums of its pixel. Implementations are
/// `#[inline(always)]`, as those of [`Terms`](crate::norm::channel_sums::Terms).
pub(crate) trait PixelTerms<R, const N: usize, const M: usize> {
    /// The terms of a register of channels. In one that is not `FULL` those behind the last channel
    /// have to be zero; the values there are zero, and `present` is one in the other lanes.
    ///
    /// # Safety
    /// That of [`Register`].
    unsafe fn of<const FULL: bool>(&self, values: [R; N], present: R) -> [R; M];
}

/// Registers that are summed side by side, so that one addition need not wait for the last.
const SIDE_BY_SIDE: usize = 4;

/// The sums of a pixel's terms, in an order that only the instruction set decides.
///
/// # Safety
/// The maps have the channels of the row, and that of [`Register`].
#[inline(always)]
pub(crate) unsafe fn pixel_sums<T, R, F, const N: usize, const M: usize>(
    row: &Row<R>,
    maps: [*const T; N],
    terms: &F,
) -> [T; M]
where
    T: Element,
    R: Register<Value = T>,
    F: PixelTerms<R, N, M>,
{
    // SAFETY: the caller's promise.
    unsafe {
        let mut sums = [[R::splat(T::zero()); M]; SIDE_BY_SIDE];
        let whole = row.channels / R::LANES;
        let mut register = 0;
        while register + SIDE_BY_SIDE <= whole {
            for (side, sums) in sums.iter_mut().enumerate() {
                let channel = (register + side) * R::LANES;
                add::<T, R, F, N, M, true>(row, maps, terms, channel, sums);
            }
            register += SIDE_BY_SIDE;
        }
        for sums in sums.iter_mut().take(whole - register) {
            add::<T, R, F, N, M, true>(row, maps, terms, register * R::LANES, sums);
            register += 1;
        }
        if register * R::LANES < row.channels {
            let last = &mut sums[SIDE_BY_SIDE - 1];
            add::<T, R, F, N, M, false>(row, maps, terms, register * R::LANES, last);
        }
        let [first, second, third, fourth] = sums;
        std::array::from_fn(|sum| {
            let left = first[sum].add(second[sum]);
            lanes_sum(left.add(third[sum].add(fourth[sum])))
        })
    }
}

#[inline(always)]
unsafe fn add<T, R, F, const N: usize, const M: usize, const FULL: bool>(
    row: &Row<R>,
    maps: [*const T; N],
    terms: &F,
    channel: usize,
    sums: &mut [R; M],
) where
    T: Element,
    R: Register<Value = T>,
    F: PixelTerms<R, N, M>,
{
    // SAFETY: the caller's promise.
    unsafe {
        let count = row.channels - channel;
        let values = maps.map(|map| load::<R, FULL>(map.add(channel), count));
        let terms = terms.of::<FULL>(values, row.present);
        for (sum, term) in sums.iter_mut().zip(terms) {
            *sum = sum.add(term);
        }
    }
}

/// The sum of all lanes, halves first.
#[inline(always)]
unsafe fn lanes_sum<T: Element, R: Register<Value = T>>(register: R) -> T {
    let mut lanes = [T::zero(); MAX_LANES];
    // SAFETY: a register has at most that many lanes.
    unsafe { register.store(lanes.as_mut_ptr()) };
    let mut half = R::LANES / 2;
    while half > 0 {
        for lane in 0..half {
            lanes[lane] += lanes[lane + half];
        }
        half /= 2;
    }
    lanes[0]
}
