//! The blocks of a scan: their order (ITU-T T.81, A.2) and their coefficients in Huffman codes
//! (F.2.2 sequential, G.2 progressive).

use super::huffman::{BitReader, HuffmanTable};
use super::segments::{Frame, Scan, ZIGZAG};

/// Coefficients of 8×8 samples, row by row.
pub(super) type Block = [i16; 64];

/// What reads the coefficients of one block after another.
pub(super) trait BlockReader {
    /// Adds what the scan says of the next block, which belongs to this component of the scan.
    fn read(&mut self, component: usize, block: &mut Block) -> Result<(), &'static str>;

    /// Goes behind the restart marker of this number, 0 to 7.
    fn restart(&mut self, number: u8) -> Result<(), &'static str>;

    /// Whether the data have ended before the scan.
    fn is_starved(&self) -> bool;
}

/// Where the blocks of a component are kept.
pub(super) trait BlockStore {
    /// Lets the coefficients of a block be read.
    fn read_block(
        &mut self,
        component: usize,
        row: usize,
        column: usize,
        read: impl FnOnce(&mut Block) -> Result<(), &'static str>,
    ) -> Result<(), &'static str>;
}

/// Reads all blocks of a scan.
///
/// Where data end early, the blocks that are left stay as they are, as in libjpeg.
pub(super) fn read_blocks(
    frame: &Frame,
    scan: &Scan,
    reader: &mut impl BlockReader,
    store: &mut impl BlockStore,
) -> Result<(), &'static str> {
    let is_single = scan.components.len() == 1;
    let (across, down) = if is_single {
        let component = &frame.components[scan.components[0].index];
        (
            frame.samples_across(component).div_ceil(8),
            frame.samples_down(component).div_ceil(8),
        )
    } else {
        (frame.units_across(), frame.units_down())
    };
    let mut restarts = 0;
    let mut left = scan.restart_interval;
    for unit_row in 0..down {
        for unit_column in 0..across {
            if scan.restart_interval > 0 {
                if left == 0 {
                    reader.restart(restarts)?;
                    restarts = (restarts + 1) % 8;
                    left = scan.restart_interval;
                }
                left -= 1;
            } else if reader.is_starved() {
                return Ok(());
            }
            if reader.is_starved() {
                continue;
            }
            for (slot, component) in scan.components.iter().enumerate() {
                let index = component.index;
                let sampling = frame.components[index].sampling;
                if is_single {
                    store.read_block(index, unit_row, unit_column, |block| {
                        reader.read(slot, block)
                    })?;
                    continue;
                }
                for y in 0..sampling.down {
                    for x in 0..sampling.across {
                        let row = unit_row * sampling.down + y;
                        let column = unit_column * sampling.across + x;
                        store.read_block(index, row, column, |block| reader.read(slot, block))?;
                    }
                }
            }
        }
    }
    Ok(())
}

/// Reads blocks that are coded one whole after another.
pub(super) struct Sequential<'a> {
    pub(super) bits: BitReader<'a>,
    /// For each component of the scan the tables of differences and of other coefficients.
    pub(super) tables: Vec<[&'a HuffmanTable; 2]>,
    /// The last mean of each component.
    pub(super) means: [i32; 4],
}

impl BlockReader for Sequential<'_> {
    fn read(&mut self, component: usize, block: &mut Block) -> Result<(), &'static str> {
        let [dc, ac] = self.tables[component];
        let count = self.bits.symbol(dc)?;
        let difference = self.bits.signed(count.into());
        let mean = &mut self.means[component];
        *mean = mean.wrapping_add(difference);
        block[0] = *mean as i16;
        let mut at = 1;
        while at < 64 {
            if let Some((zeros, value)) = self.bits.short_coefficient(ac) {
                at += zeros;
                block[usize::from(*ZIGZAG.get(at).ok_or(TOO_MANY_ZEROS)?)] = value;
                at += 1;
                continue;
            }
            let symbol = self.bits.symbol(ac)?;
            let count = symbol & 15;
            let zeros = usize::from(symbol >> 4);
            if count == 0 {
                if zeros != 15 {
                    break;
                }
                at += 16;
                continue;
            }
            at += zeros;
            let value = self.bits.signed(count.into());
            block[usize::from(*ZIGZAG.get(at).ok_or(TOO_MANY_ZEROS)?)] = value as i16;
            at += 1;
        }
        Ok(())
    }

    fn restart(&mut self, number: u8) -> Result<(), &'static str> {
        self.means = [0; 4];
        self.bits.restart(number)
    }

    fn is_starved(&self) -> bool {
        self.bits.is_starved()
    }
}

/// Reads some places of some coefficients, as one scan of a progressive file has them.
pub(super) struct Progressive<'a> {
    pub(super) bits: BitReader<'a>,
    /// For each component of the scan its one table.
    pub(super) tables: Vec<&'a HuffmanTable>,
    pub(super) first: usize,
    pub(super) last: usize,
    pub(super) low: u32,
    pub(super) is_refinement: bool,
    /// The last mean of each component.
    pub(super) means: [i32; 4],
    /// Blocks, counted from the next one, that have no further coefficient.
    pub(super) ended: u32,
}

impl BlockReader for Progressive<'_> {
    fn read(&mut self, component: usize, block: &mut Block) -> Result<(), &'static str> {
        match (self.first, self.is_refinement) {
            (0, false) => self.read_mean(component, block),
            (0, true) => {
                if self.bits.bit() {
                    block[0] |= 1 << self.low;
                }
                Ok(())
            }
            (_, false) => self.read_band(component, block),
            (_, true) => self.refine_band(component, block),
        }
    }

    fn restart(&mut self, number: u8) -> Result<(), &'static str> {
        self.means = [0; 4];
        self.ended = 0;
        self.bits.restart(number)
    }

    fn is_starved(&self) -> bool {
        self.bits.is_starved()
    }
}

impl Progressive<'_> {
    fn read_mean(&mut self, component: usize, block: &mut Block) -> Result<(), &'static str> {
        let count = self.bits.symbol(self.tables[component])?;
        let difference = self.bits.signed(count.into());
        let mean = &mut self.means[component];
        *mean = mean.wrapping_add(difference);
        block[0] = (*mean << self.low) as i16;
        Ok(())
    }

    fn read_band(&mut self, component: usize, block: &mut Block) -> Result<(), &'static str> {
        if self.ended > 0 {
            self.ended -= 1;
            return Ok(());
        }
        let mut at = self.first;
        while at <= self.last {
            let symbol = self.bits.symbol(self.tables[component])?;
            let count = symbol & 15;
            let zeros = symbol >> 4;
            if count == 0 {
                if zeros != 15 {
                    self.ended = self.run_of_blocks(zeros) - 1;
                    break;
                }
                at += 16;
                continue;
            }
            at += usize::from(zeros);
            let value = self.bits.signed(count.into());
            let place = *ZIGZAG.get(at).ok_or(TOO_MANY_ZEROS)?;
            block[usize::from(place)] = (value << self.low) as i16;
            at += 1;
        }
        Ok(())
    }

    fn refine_band(&mut self, component: usize, block: &mut Block) -> Result<(), &'static str> {
        let one = 1_i16 << self.low;
        let mut at = self.first;
        while self.ended == 0 && at <= self.last {
            let symbol = self.bits.symbol(self.tables[component])?;
            let zeros = symbol >> 4;
            let added = match symbol & 15 {
                0 if zeros != 15 => {
                    self.ended = self.run_of_blocks(zeros);
                    break;
                }
                0 => 0,
                1 if self.bits.bit() => one,
                1 => -one,
                _ => return Err("a correction of more than one bit"),
            };
            at = self.refine_until(at, zeros.into(), one, block);
            if added != 0 {
                block[usize::from(*ZIGZAG.get(at).ok_or(TOO_MANY_ZEROS)?)] = added;
            }
            at += 1;
        }
        if self.ended > 0 {
            self.refine_until(at, usize::MAX, one, block);
            self.ended -= 1;
        }
        Ok(())
    }

    /// Corrects the coefficients of earlier scans until behind `zeros` others, and returns the
    /// place of the next other one.
    fn refine_until(&mut self, from: usize, zeros: usize, one: i16, block: &mut Block) -> usize {
        let mut zeros = zeros;
        for at in from..=self.last {
            let value = &mut block[usize::from(ZIGZAG[at])];
            if *value == 0 {
                if zeros == 0 {
                    return at;
                }
                zeros -= 1;
            } else if self.bits.bit() && *value & one == 0 {
                *value = value.wrapping_add(if *value < 0 { -one } else { one });
            }
        }
        self.last + 1
    }

    /// Length of a run of blocks that end here, this one included.
    fn run_of_blocks(&mut self, exponent: u8) -> u32 {
        (1 << exponent) + self.bits.number(exponent.into())
    }
}

const TOO_MANY_ZEROS: &str = "a run of zeros that leads out of its block";
