//! Coefficients in arithmetic codes (ITU-T T.81, Annex D; F.1.4 and F.2.4 sequential, G.1.3 and G.2.3
//! progressive).

use super::huffman::TRUNCATED;
use super::scan::{Block, BlockReader};
use super::segments::{Conditioning, Frame, Scan, Segments, ZIGZAG};

/// What is known of one binary decision: a row of [`ESTIMATES`], and in the upper bit the more
/// probable outcome.
type Estimate = u8;

/// The estimate that stays even.
const EVEN: Estimate = 113;

/// Decisions about differences, for each of four tables.
type DifferenceEstimates = [Estimate; 64];
/// Decisions about other coefficients, for each of four tables.
type BandEstimates = [Estimate; 256];

/// Reads the blocks of a scan.
pub(super) struct Arithmetic<'a> {
    decisions: Decisions<'a>,
    conditioning: Conditioning,
    /// For each component of the scan the numbers of its tables.
    tables: Vec<[usize; 2]>,
    is_progressive: bool,
    first: usize,
    last: usize,
    low: u32,
    is_refinement: bool,
    differences: [DifferenceEstimates; 4],
    bands: [BandEstimates; 4],
    /// The last mean of each component, and what the last difference was like.
    means: [i32; 4],
    contexts: [usize; 4],
}

impl<'a> Arithmetic<'a> {
    pub(super) fn new(
        bytes: &'a [u8],
        segments: &Segments,
        frame: &Frame,
        scan: &Scan,
    ) -> Result<Self, &'static str> {
        let tables = scan.components.iter();
        let tables: Vec<_> = tables
            .map(|component| [component.dc, component.ac])
            .collect();
        if tables.as_flattened().iter().any(|&table| table > 3) {
            return Err("more than four tables of arithmetic coding");
        }
        Ok(Self {
            decisions: Decisions::new(bytes, segments.position()),
            conditioning: segments.conditioning,
            tables,
            is_progressive: frame.process.is_progressive,
            first: scan.first,
            last: scan.last,
            low: scan.low,
            is_refinement: scan.high > 0,
            differences: [[0; 64]; 4],
            bands: [[0; 256]; 4],
            means: [0; 4],
            contexts: [0; 4],
        })
    }

    /// Where the marker behind the data lies.
    pub(super) fn position(&self) -> usize {
        self.decisions.position
    }

    /// Fails if no marker follows the data.
    pub(super) fn check_end(&self) -> Result<(), &'static str> {
        let rest = &self.decisions.bytes[self.decisions.position..];
        rest.contains(&0xff).then_some(()).ok_or(TRUNCATED)
    }

    /// The next mean (figures F.19 and F.22).
    fn mean(&mut self, component: usize) -> Result<i32, &'static str> {
        let [table, _] = self.tables[component];
        let estimates = &mut self.differences[table];
        let context = &mut self.contexts[component];
        let at = *context;
        if !self.decisions.next(&mut estimates[at]) {
            *context = 0;
            return Ok(self.means[component]);
        }
        let is_negative = self.decisions.next(&mut estimates[at + 1]);
        let at = at + 2 + usize::from(is_negative);
        let (magnitude, at) = match self.decisions.next(&mut estimates[at]) {
            true => self.decisions.magnitude(estimates, 20, 1)?,
            false => (0, at),
        };
        let sign = if is_negative { 4 } else { 0 };
        let bound = |exponent: u8| (1 << exponent) >> 1;
        *context = if magnitude < bound(self.conditioning.dc_low[table]) {
            0
        } else if magnitude > bound(self.conditioning.dc_high[table]) {
            12 + sign
        } else {
            4 + sign
        };
        let difference = self
            .decisions
            .lower_bits(magnitude, &mut estimates[at + 14])
            + 1;
        let mean = &mut self.means[component];
        *mean = mean.wrapping_add(if is_negative { -difference } else { difference });
        Ok(*mean)
    }

    /// The coefficients from `first` to `last` (figure F.20).
    fn band(
        &mut self,
        component: usize,
        first: usize,
        last: usize,
        block: &mut Block,
    ) -> Result<(), &'static str> {
        let [_, table] = self.tables[component];
        let estimates = &mut self.bands[table];
        let mut at = first;
        while at <= last {
            if self.decisions.next(&mut estimates[3 * (at - 1)]) {
                break;
            }
            while !self.decisions.next(&mut estimates[3 * (at - 1) + 1]) {
                at += 1;
                if at > last {
                    return Err(OVERRUN);
                }
            }
            let is_negative = self.decisions.next(&mut { EVEN });
            let own = 3 * (at - 1) + 2;
            let mut magnitude = (0, own);
            if self.decisions.next(&mut estimates[own]) {
                magnitude = (1, own);
                if self.decisions.next(&mut estimates[own]) {
                    let is_low = at <= usize::from(self.conditioning.ac[table]);
                    let start = if is_low { 189 } else { 217 };
                    magnitude = self.decisions.magnitude(estimates, start, 2)?;
                }
            }
            let (magnitude, bits_at) = magnitude;
            let value = self
                .decisions
                .lower_bits(magnitude, &mut estimates[bits_at + 14])
                + 1;
            let value = if is_negative { -value } else { value };
            block[usize::from(ZIGZAG[at])] = (value << self.low) as i16;
            at += 1;
        }
        Ok(())
    }

    /// Another place of the coefficients of earlier scans, and new ones (figure G.10).
    fn refine_band(&mut self, component: usize, block: &mut Block) -> Result<(), &'static str> {
        let [_, table] = self.tables[component];
        let estimates = &mut self.bands[table];
        let one = 1_i16 << self.low;
        let place = |at: usize| usize::from(ZIGZAG[at]);
        let end = (1..=self.last)
            .rfind(|&at| block[place(at)] != 0)
            .unwrap_or(0);
        let mut at = self.first;
        while at <= self.last {
            if at > end && self.decisions.next(&mut estimates[3 * (at - 1)]) {
                break;
            }
            loop {
                let value = &mut block[place(at)];
                if *value != 0 {
                    if self.decisions.next(&mut estimates[3 * (at - 1) + 2]) {
                        *value = value.wrapping_add(if *value < 0 { -one } else { one });
                    }
                    break;
                }
                if self.decisions.next(&mut estimates[3 * (at - 1) + 1]) {
                    let is_negative = self.decisions.next(&mut { EVEN });
                    *value = if is_negative { -one } else { one };
                    break;
                }
                at += 1;
                if at > self.last {
                    return Err(OVERRUN);
                }
            }
            at += 1;
        }
        Ok(())
    }
}

impl BlockReader for Arithmetic<'_> {
    fn read(&mut self, component: usize, block: &mut Block) -> Result<(), &'static str> {
        if !self.is_progressive {
            block[0] = self.mean(component)? as i16;
            return self.band(component, 1, 63, block);
        }
        match (self.first, self.is_refinement) {
            (0, false) => block[0] = (self.mean(component)? << self.low) as i16,
            (0, true) => {
                if self.decisions.next(&mut { EVEN }) {
                    block[0] |= 1 << self.low;
                }
            }
            (first, false) => self.band(component, first, self.last, block)?,
            (_, true) => self.refine_band(component, block)?,
        }
        Ok(())
    }

    fn restart(&mut self, number: u8) -> Result<(), &'static str> {
        self.differences = [[0; 64]; 4];
        self.bands = [[0; 256]; 4];
        self.means = [0; 4];
        self.contexts = [0; 4];
        self.decisions.restart(number)
    }

    fn is_starved(&self) -> bool {
        // Zeros without end are part of the coding: an encoder leaves them out.
        false
    }
}

/// The decoder of binary decisions (figures D.14 to D.19).
struct Decisions<'a> {
    bytes: &'a [u8],
    /// The next byte to take, or where the marker lies.
    position: usize,
    code: u32,
    interval: u32,
    /// Bits of `code` that are not yet in use; negative while the first bytes are taken.
    count: i32,
}

impl<'a> Decisions<'a> {
    fn new(bytes: &'a [u8], position: usize) -> Self {
        Self {
            bytes,
            position,
            code: 0,
            interval: 0,
            count: -16,
        }
    }

    fn next(&mut self, estimate: &mut Estimate) -> bool {
        while self.interval < 0x8000 {
            self.count -= 1;
            if self.count < 0 {
                self.code = self.code << 8 | u32::from(self.byte());
                self.count += 8;
                if self.count < 0 {
                    self.count += 1;
                    if self.count == 0 {
                        self.interval = 0x8000;
                    }
                }
            }
            self.interval <<= 1;
        }
        let probable = *estimate & 0x80;
        let (width, if_improbable, if_probable, is_switched) =
            ESTIMATES[usize::from(*estimate & 0x7f)];
        let width = u32::from(width);
        self.interval -= width;
        let bound = self.interval << self.count;
        let is_upper = self.code >= bound;
        if !is_upper && self.interval >= 0x8000 {
            return probable != 0;
        }
        // The smaller part of the interval stands for the less probable outcome.
        let is_probable = is_upper == (self.interval < width);
        if is_upper {
            self.code -= bound;
            self.interval = width;
        }
        if is_probable {
            *estimate = probable | if_probable;
            return probable != 0;
        }
        *estimate = probable ^ (is_switched << 7 | if_improbable);
        probable == 0
    }

    /// The highest bit of a number and the place of the estimate that decided so (figure F.23).
    fn magnitude(
        &mut self,
        estimates: &mut [Estimate],
        start: usize,
        lowest: i32,
    ) -> Result<(i32, usize), &'static str> {
        let mut magnitude = lowest;
        let mut at = start;
        while self.next(&mut estimates[at]) {
            magnitude <<= 1;
            if magnitude == 0x8000 {
                return Err("a number of too many bits");
            }
            at += 1;
        }
        Ok((magnitude, at))
    }

    /// A number of which the highest bit is known (figure F.24).
    fn lower_bits(&mut self, magnitude: i32, estimate: &mut Estimate) -> i32 {
        let mut value = magnitude;
        let mut bit = magnitude >> 1;
        while bit > 0 {
            if self.next(estimate) {
                value |= bit;
            }
            bit >>= 1;
        }
        value
    }

    fn restart(&mut self, number: u8) -> Result<(), &'static str> {
        let mut at = self.position;
        loop {
            let rest = &self.bytes[at..];
            at += rest
                .iter()
                .position(|&byte| byte == 0xff)
                .ok_or(TRUNCATED)?
                + 1;
            match *self.bytes.get(at).ok_or(TRUNCATED)? {
                0 | 0xff => {}
                marker if marker == 0xd0 + number => break,
                _ => return Err("another marker where one of restart should be"),
            }
        }
        *self = Self::new(self.bytes, at + 1);
        Ok(())
    }

    /// The next byte, or 0 at a marker.
    fn byte(&mut self) -> u8 {
        let Some(&byte) = self.bytes.get(self.position) else {
            return 0;
        };
        let mut next = self.position + 1;
        if byte == 0xff {
            while self.bytes.get(next) == Some(&0xff) {
                next += 1;
            }
            if self.bytes.get(next) != Some(&0) {
                return 0;
            }
            next += 1;
        }
        self.position = next;
        byte
    }
}

const OVERRUN: &str = "a run of zeros that leads out of its block";

/// Table D.3: width of the less probable part, the next row after the less and after the more
/// probable outcome, and whether the former changes which is which. The last row stays as it is.
#[rustfmt::skip]
const ESTIMATES: [(u16, u8, u8, u8); 114] = [
    (0x5a1d, 1, 1, 1), (0x2586, 14, 2, 0), (0x1114, 16, 3, 0), (0x080b, 18, 4, 0),
    (0x03d8, 20, 5, 0), (0x01da, 23, 6, 0), (0x00e5, 25, 7, 0), (0x006f, 28, 8, 0),
    (0x0036, 30, 9, 0), (0x001a, 33, 10, 0), (0x000d, 35, 11, 0), (0x0006, 9, 12, 0),
    (0x0003, 10, 13, 0), (0x0001, 12, 13, 0), (0x5a7f, 15, 15, 1), (0x3f25, 36, 16, 0),
    (0x2cf2, 38, 17, 0), (0x207c, 39, 18, 0), (0x17b9, 40, 19, 0), (0x1182, 42, 20, 0),
    (0x0cef, 43, 21, 0), (0x09a1, 45, 22, 0), (0x072f, 46, 23, 0), (0x055c, 48, 24, 0),
    (0x0406, 49, 25, 0), (0x0303, 51, 26, 0), (0x0240, 52, 27, 0), (0x01b1, 54, 28, 0),
    (0x0144, 56, 29, 0), (0x00f5, 57, 30, 0), (0x00b7, 59, 31, 0), (0x008a, 60, 32, 0),
    (0x0068, 62, 33, 0), (0x004e, 63, 34, 0), (0x003b, 32, 35, 0), (0x002c, 33, 9, 0),
    (0x5ae1, 37, 37, 1), (0x484c, 64, 38, 0), (0x3a0d, 65, 39, 0), (0x2ef1, 67, 40, 0),
    (0x261f, 68, 41, 0), (0x1f33, 69, 42, 0), (0x19a8, 70, 43, 0), (0x1518, 72, 44, 0),
    (0x1177, 73, 45, 0), (0x0e74, 74, 46, 0), (0x0bfb, 75, 47, 0), (0x09f8, 77, 48, 0),
    (0x0861, 78, 49, 0), (0x0706, 79, 50, 0), (0x05cd, 48, 51, 0), (0x04de, 50, 52, 0),
    (0x040f, 50, 53, 0), (0x0363, 51, 54, 0), (0x02d4, 52, 55, 0), (0x025c, 53, 56, 0),
    (0x01f8, 54, 57, 0), (0x01a4, 55, 58, 0), (0x0160, 56, 59, 0), (0x0125, 57, 60, 0),
    (0x00f6, 58, 61, 0), (0x00cb, 59, 62, 0), (0x00ab, 61, 63, 0), (0x008f, 61, 32, 0),
    (0x5b12, 65, 65, 1), (0x4d04, 80, 66, 0), (0x412c, 81, 67, 0), (0x37d8, 82, 68, 0),
    (0x2fe8, 83, 69, 0), (0x293c, 84, 70, 0), (0x2379, 86, 71, 0), (0x1edf, 87, 72, 0),
    (0x1aa9, 87, 73, 0), (0x174e, 72, 74, 0), (0x1424, 72, 75, 0), (0x119c, 74, 76, 0),
    (0x0f6b, 74, 77, 0), (0x0d51, 75, 78, 0), (0x0bb6, 77, 79, 0), (0x0a40, 77, 48, 0),
    (0x5832, 80, 81, 1), (0x4d1c, 88, 82, 0), (0x438e, 89, 83, 0), (0x3bdd, 90, 84, 0),
    (0x34ee, 91, 85, 0), (0x2eae, 92, 86, 0), (0x299a, 93, 87, 0), (0x2516, 86, 71, 0),
    (0x5570, 88, 89, 1), (0x4ca9, 95, 90, 0), (0x44d9, 96, 91, 0), (0x3e22, 97, 92, 0),
    (0x3824, 99, 93, 0), (0x32b4, 99, 94, 0), (0x2e17, 93, 86, 0), (0x56a8, 95, 96, 1),
    (0x4f46, 101, 97, 0), (0x47e5, 102, 98, 0), (0x41cf, 103, 99, 0), (0x3c3d, 104, 100, 0),
    (0x375e, 99, 93, 0), (0x5231, 105, 102, 0), (0x4c0f, 106, 103, 0), (0x4639, 107, 104, 0),
    (0x415e, 103, 99, 0), (0x5627, 105, 106, 1), (0x50e7, 108, 107, 0), (0x4b85, 109, 103, 0),
    (0x5597, 110, 109, 0), (0x504f, 111, 107, 0), (0x5a10, 110, 111, 1), (0x5522, 112, 109, 0),
    (0x59eb, 112, 111, 1), (0x5a1d, 113, 113, 0),
];
