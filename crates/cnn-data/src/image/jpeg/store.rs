//! What the scans of a JPEG file fill: coefficients, where several scans add to them, or samples at
//! once.

use super::scan::{Block, BlockStore};
use super::segments::{Component, Frame, Scan};
use super::transform::write_samples;

/// The samples of each component.
pub(super) struct Samples {
    pub(super) planes: Vec<Plane>,
}

/// The samples of one component, rows of whole blocks.
pub(super) struct Plane {
    bytes: Vec<u8>,
    stride: usize,
    quantization: [u16; 64],
}

impl Plane {
    fn grey(frame: &Frame, component: &Component) -> Self {
        let stride = 8 * frame.blocks_across(component);
        Self {
            bytes: vec![128; stride * 8 * frame.blocks_down(component)],
            stride,
            quantization: component.quantization.unwrap_or([1; 64]),
        }
    }

    pub(super) fn row(&self, row: usize) -> &[u8] {
        &self.bytes[row * self.stride..(row + 1) * self.stride]
    }

    fn write(&mut self, row: usize, column: usize, block: &Block) {
        let samples = &mut self.bytes[8 * row * self.stride + 8 * column..];
        write_samples(block, &self.quantization, samples, self.stride);
    }
}

impl Samples {
    /// Samples of no data.
    pub(super) fn grey(frame: &Frame) -> Self {
        let components = frame.components.iter();
        Self {
            planes: components.map(|own| Plane::grey(frame, own)).collect(),
        }
    }
}

impl BlockStore for Samples {
    #[inline(always)]
    fn read_block(
        &mut self,
        component: usize,
        row: usize,
        column: usize,
        read: impl FnOnce(&mut Block) -> Result<(), &'static str>,
    ) -> Result<(), &'static str> {
        let mut block = [0; 64];
        read(&mut block)?;
        self.planes[component].write(row, column, &block);
        Ok(())
    }
}

/// The coefficients of each component, and how far the scans have brought them.
pub(super) struct Coefficients {
    components: Vec<ComponentCoefficients>,
    is_progressive: bool,
}

struct ComponentCoefficients {
    blocks: Vec<Block>,
    across: usize,
    /// For each coefficient in the order of a file the binary places that are missing; none if no
    /// scan has had it.
    missing_places: [Option<u32>; 64],
}

impl Coefficients {
    /// Coefficients before any scan.
    pub(super) fn zero(frame: &Frame) -> Self {
        let components = frame.components.iter().map(|component| {
            let across = frame.blocks_across(component);
            ComponentCoefficients {
                blocks: vec![[0; 64]; across * frame.blocks_down(component)],
                across,
                missing_places: [None; 64],
            }
        });
        Self {
            components: components.collect(),
            is_progressive: frame.process.is_progressive,
        }
    }

    /// Notes what a scan is about to bring.
    ///
    /// Fails if it refines coefficients that are not as it says: what comes out of it would be no
    /// picture.
    pub(super) fn begin(&mut self, scan: &Scan) -> Result<(), &'static str> {
        for component in &scan.components {
            let own = &mut self.components[component.index];
            if scan.first > 0 && own.missing_places[0].is_none() {
                return Err("a scan of details before that of the means");
            }
            for missing in &mut own.missing_places[scan.first..=scan.last] {
                let is_in_order = match *missing {
                    None => scan.high == 0,
                    Some(places) => scan.high > 0 && places == scan.high,
                };
                if !is_in_order {
                    return Err("scans that do not follow from each other");
                }
                *missing = Some(scan.low);
            }
        }
        Ok(())
    }

    /// Fails if there is a component that no scan has brought, or one of which a progressive file
    /// has but the outlines, as if it had been cut.
    pub(super) fn check_complete(&self) -> Result<(), &'static str> {
        // Those that libjpeg looks at to decide whether it smooths a coarse picture.
        const LOOKED_AT: usize = 10;
        for component in &self.components {
            if component.missing_places[0].is_none() {
                return Err("a component without a scan");
            }
            let coarse = component.missing_places[..LOOKED_AT]
                .iter()
                .any(|&missing| missing != Some(0));
            if self.is_progressive && coarse {
                return Err("a progressive picture of which the last scans are missing");
            }
        }
        Ok(())
    }

    /// The samples of the coefficients.
    pub(super) fn into_samples(self, frame: &Frame) -> Samples {
        let components = frame.components.iter().zip(self.components);
        let planes = components.map(|(component, own)| {
            let mut plane = Plane::grey(frame, component);
            for (at, block) in own.blocks.iter().enumerate() {
                plane.write(at / own.across, at % own.across, block);
            }
            plane
        });
        Samples {
            planes: planes.collect(),
        }
    }
}

impl BlockStore for Coefficients {
    #[inline(always)]
    fn read_block(
        &mut self,
        component: usize,
        row: usize,
        column: usize,
        read: impl FnOnce(&mut Block) -> Result<(), &'static str>,
    ) -> Result<(), &'static str> {
        let own = &mut self.components[component];
        read(&mut own.blocks[row * own.across + column])
    }
}
