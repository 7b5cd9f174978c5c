//! The segments of a JPEG file (ITU-T T.81, Annex B), read as libjpeg reads them: bytes between
//! segments are passed over.

use super::huffman::{HuffmanTable, TRUNCATED};

/// For each place in the order of a file where in the 8×8 block it belongs.
pub(super) const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20,
    13, 6, 7, 14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59,
    52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
];

/// How the coefficients of a block are ordered into scans and coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) is_progressive: bool,
    pub(super) is_arithmetic: bool,
}

/// What the frame header declares.
#[derive(Clone)]
pub(super) struct Frame {
    pub(super) process: Process,
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) components: Vec<Component>,
    /// The most samples of any component in a row and in a column.
    pub(super) most: Sampling,
}

impl Frame {
    /// Units of a scan of several components: blocks of each component that cover the same pixels.
    pub(super) fn units_across(&self) -> usize {
        self.width.div_ceil(8 * self.most.across)
    }

    /// As [`Self::units_across`], from top to bottom.
    pub(super) fn units_down(&self) -> usize {
        self.height.div_ceil(8 * self.most.down)
    }

    /// Columns of a component's samples.
    pub(super) fn samples_across(&self, component: &Component) -> usize {
        (self.width * component.sampling.across).div_ceil(self.most.across)
    }

    /// Rows of a component's samples.
    pub(super) fn samples_down(&self, component: &Component) -> usize {
        (self.height * component.sampling.down).div_ceil(self.most.down)
    }

    /// Columns of a component's blocks, those included that only fill a unit.
    pub(super) fn blocks_across(&self, component: &Component) -> usize {
        self.units_across() * component.sampling.across
    }

    /// Rows of a component's blocks, those included that only fill a unit.
    pub(super) fn blocks_down(&self, component: &Component) -> usize {
        self.units_down() * component.sampling.down
    }
}

/// Relative numbers of samples, 1 to 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sampling {
    pub(super) across: usize,
    pub(super) down: usize,
}

/// One channel as stored.
#[derive(Clone)]
pub(super) struct Component {
    pub(super) id: u8,
    pub(super) sampling: Sampling,
    table: usize,
    /// The steps of its coefficients in the order of the block, from its first scan on.
    pub(super) quantization: Option<[u16; 64]>,
}

/// A scan header, with what was valid when it was read.
pub(super) struct Scan {
    pub(super) components: Vec<ScanComponent>,
    /// First and last coefficient in the order of a file.
    pub(super) first: usize,
    pub(super) last: usize,
    /// Places below which the last scan of these coefficients left off, and where this one does.
    pub(super) high: u32,
    pub(super) low: u32,
    /// Units between two restart markers, 0 for none.
    pub(super) restart_interval: usize,
}

/// A component of a scan.
pub(super) struct ScanComponent {
    /// Its place in the frame.
    pub(super) index: usize,
    /// Number of the table of differences.
    pub(super) dc: usize,
    /// Number of the table of the other coefficients.
    pub(super) ac: usize,
}

/// Bounds of arithmetic coding (F.1.4.4.1), for each of four tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Conditioning {
    pub(super) dc_low: [u8; 4],
    pub(super) dc_high: [u8; 4],
    pub(super) ac: [u8; 4],
}

/// The segments from a position on, and what those before it have set.
pub(super) struct Segments<'a> {
    bytes: &'a [u8],
    position: usize,
    quantization: [Option<[u16; 64]>; 4],
    pub(super) dc_tables: [Option<HuffmanTable>; 4],
    pub(super) ac_tables: [Option<HuffmanTable>; 4],
    pub(super) conditioning: Conditioning,
    restart_interval: usize,
    pub(super) frame: Option<Frame>,
    pub(super) has_jfif: bool,
    /// The conversion of color that an Adobe segment names.
    pub(super) adobe_transform: Option<u8>,
    /// EXIF of all its segments.
    pub(super) exif: Vec<u8>,
    /// The last XMP packet.
    pub(super) xmp: Option<&'a [u8]>,
}

impl<'a> Segments<'a> {
    /// All segments of a file.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            position: 2,
            quantization: [None; 4],
            dc_tables: [const { None }; 4],
            ac_tables: [const { None }; 4],
            conditioning: Conditioning {
                dc_low: [0; 4],
                dc_high: [1; 4],
                ac: [5; 4],
            },
            restart_interval: 0,
            frame: None,
            has_jfif: false,
            adobe_transform: None,
            exif: Vec::new(),
            xmp: None,
        }
    }

    /// The first byte that has not been read.
    pub(super) fn position(&self) -> usize {
        self.position
    }

    /// Goes on from a later byte, behind the data of a scan.
    pub(super) fn seek(&mut self, position: usize) {
        self.position = position.min(self.bytes.len());
    }

    /// Reads up to the data of the next scan; `None` at the end of the image.
    pub(super) fn next_scan(&mut self) -> Result<Option<Scan>, String> {
        loop {
            match self.marker()? {
                0x01 | 0xd0..=0xd7 => {}
                0xd8 => return Err("a second start of an image".to_owned()),
                0xd9 => return Ok(None),
                0xc4 => {
                    let segment = self.segment()?;
                    self.read_huffman_tables(segment)?;
                }
                0xcc => {
                    let segment = self.segment()?;
                    self.read_conditioning(segment)?;
                }
                0xdb => {
                    let segment = self.segment()?;
                    self.read_quantization(segment)?;
                }
                0xdd => match self.segment()? {
                    &[high, low] => self.restart_interval = u16::from_be_bytes([high, low]).into(),
                    _ => return Err("a restart interval that is no number".to_owned()),
                },
                marker @ (0xc0 | 0xc1 | 0xc2 | 0xc9 | 0xca) => {
                    let segment = self.segment()?;
                    let process = Process {
                        is_progressive: marker & 7 == 2,
                        is_arithmetic: marker >= 0xc9,
                    };
                    self.read_frame(segment, process)?;
                }
                marker @ (0xc3 | 0xc5..=0xcf) => {
                    let name = match marker & 3 {
                        3 => "lossless",
                        _ => "hierarchical",
                    };
                    return Err(format!(
                        "{name} coding (marker FF{marker:02X}), accepted are baseline, extended and progressive"
                    ));
                }
                0xda => return self.read_scan().map(Some),
                0xe0 => self.has_jfif |= self.segment()?.starts_with(b"JFIF\0"),
                0xe1 => {
                    let segment = self.segment()?;
                    self.read_metadata(segment);
                }
                0xee => {
                    if let [b'A', b'd', b'o', b'b', b'e', rest @ ..] = self.segment()?
                        && let Some(&transform) = rest.get(6)
                    {
                        self.adobe_transform = Some(transform);
                    }
                }
                0xdc | 0xe2..=0xfe => drop(self.segment()?),
                marker => return Err(format!("the unknown marker FF{marker:02X}")),
            }
        }
    }

    /// Whether the segments lead to an end-of-image marker.
    pub(super) fn has_end(&self) -> bool {
        let mut rest = Self {
            position: self.position,
            ..Self::new(self.bytes)
        };
        loop {
            match rest.marker() {
                Ok(0xd9) => return true,
                Ok(0x01 | 0xd0..=0xd8) => {}
                Ok(_) => {
                    if rest.segment().is_err() {
                        return false;
                    }
                }
                Err(_) => return false,
            }
        }
    }

    /// The code of the next marker, behind which the position lies then.
    fn marker(&mut self) -> Result<u8, String> {
        loop {
            let rest = self.bytes.get(self.position..).unwrap_or_default();
            let Some(found) = rest.iter().position(|&byte| byte == 0xff) else {
                return Err(self.truncated());
            };
            self.position += found + 1;
            match self.bytes.get(self.position) {
                None => return Err(self.truncated()),
                Some(0) => self.position += 1,
                Some(0xff) => {}
                Some(&marker) => {
                    self.position += 1;
                    return Ok(marker);
                }
            }
        }
    }

    /// The content of a segment.
    fn segment(&mut self) -> Result<&'a [u8], String> {
        let rest = self.bytes.get(self.position..).unwrap_or_default();
        let &[high, low, ..] = rest else {
            return Err(self.truncated());
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        if length < 2 {
            return Err(format!(
                "a segment of {length} bytes, where its length takes 2"
            ));
        }
        let content = rest.get(2..length).ok_or_else(|| self.truncated())?;
        self.position += length;
        Ok(content)
    }

    pub(super) fn truncated(&self) -> String {
        format!(
            "{TRUNCATED}, no end marker in its {} bytes",
            self.bytes.len()
        )
    }

    fn read_metadata(&mut self, segment: &'a [u8]) {
        if let Some(exif) = segment.strip_prefix(b"Exif\0\0") {
            self.exif.extend(exif);
        } else if let Some(packet) = segment.strip_prefix(b"http://ns.adobe.com/xap/1.0/\0") {
            self.xmp = Some(packet);
        }
    }

    fn read_quantization(&mut self, mut segment: &[u8]) -> Result<(), String> {
        while let Some((&start, rest)) = segment.split_first() {
            let bytes_per_step = if start >> 4 == 0 { 1 } else { 2 };
            let slot = self.quantization.get_mut(usize::from(start & 15));
            let (slot, (steps, rest)) = slot
                .zip(rest.split_at_checked(64 * bytes_per_step))
                .ok_or("a quantization table that is not whole")?;
            let mut table = [0; 64];
            for (step, at) in steps.chunks_exact(bytes_per_step).zip(ZIGZAG) {
                table[usize::from(at)] = step
                    .iter()
                    .fold(0, |number, &byte| number << 8 | u16::from(byte));
            }
            *slot = Some(table);
            segment = rest;
        }
        Ok(())
    }

    fn read_huffman_tables(&mut self, mut segment: &[u8]) -> Result<(), String> {
        while let Some((&start, rest)) = segment.split_first() {
            let broken = "a Huffman table that is not whole";
            let (counts, rest) = rest.split_first_chunk::<16>().ok_or(broken)?;
            let symbols = counts.iter().map(|&count| usize::from(count)).sum();
            let (symbols, rest) = rest.split_at_checked(symbols).ok_or(broken)?;
            let tables = match start >> 4 {
                0 => &mut self.dc_tables,
                1 => &mut self.ac_tables,
                _ => return Err("a Huffman table of an unknown class".to_owned()),
            };
            let slot = tables
                .get_mut(usize::from(start & 15))
                .ok_or("more than four Huffman tables")?;
            *slot = Some(HuffmanTable::new(counts, symbols)?);
            segment = rest;
        }
        Ok(())
    }

    fn read_conditioning(&mut self, segment: &[u8]) -> Result<(), String> {
        for &[slot, value] in segment.as_chunks().0 {
            let index = usize::from(slot & 15);
            let is_known = index < 4 && slot >> 4 < 2;
            if !is_known || slot >> 4 == 0 && value & 15 > value >> 4 {
                return Err("invalid bounds of arithmetic coding".to_owned());
            }
            if slot >> 4 == 0 {
                self.conditioning.dc_low[index] = value & 15;
                self.conditioning.dc_high[index] = value >> 4;
            } else {
                self.conditioning.ac[index] = value;
            }
        }
        Ok(())
    }

    fn read_frame(&mut self, segment: &[u8], process: Process) -> Result<(), String> {
        if self.frame.is_some() {
            return Err("two frames".to_owned());
        }
        let Some((&[bits, h1, h0, w1, w0, count], components)) = segment.split_first_chunk() else {
            return Err("a frame header that is not whole".to_owned());
        };
        if bits != 8 {
            return Err(format!("{bits} bits a sample, accepted are 8"));
        }
        if !matches!(count, 1 | 3 | 4) {
            return Err(format!("{count} components, accepted are 1, 3 and 4"));
        }
        if components.len() != 3 * usize::from(count) {
            return Err("a frame header that is not whole".to_owned());
        }
        let components = components
            .as_chunks()
            .0
            .iter()
            .map(|&[id, sampling, table]| Component {
                id,
                sampling: Sampling {
                    across: usize::from(sampling >> 4),
                    down: usize::from(sampling & 15),
                },
                table: table.into(),
                quantization: None,
            })
            .collect::<Vec<_>>();
        let sides = || components.iter().map(|component| component.sampling);
        let is_valid = |side| (1..=4).contains(&side);
        if !sides().all(|sampling| is_valid(sampling.across) && is_valid(sampling.down)) {
            return Err("sampling factors beyond 1 to 4".to_owned());
        }
        let most = Sampling {
            across: sides().map(|sampling| sampling.across).fold(1, usize::max),
            down: sides().map(|sampling| sampling.down).fold(1, usize::max),
        };
        let divides = |own: Sampling| {
            most.across.is_multiple_of(own.across) && most.down.is_multiple_of(own.down)
        };
        if !sides().all(divides) {
            return Err("sampling factors that are no whole multiples of each other".to_owned());
        }
        let (width, height) = (u16::from_be_bytes([w1, w0]), u16::from_be_bytes([h1, h0]));
        if width == 0 || height == 0 {
            return Err(format!("{width}x{height} pixels"));
        }
        self.frame = Some(Frame {
            process,
            width: width.into(),
            height: height.into(),
            components,
            most,
        });
        Ok(())
    }

    fn read_scan(&mut self) -> Result<Scan, String> {
        let segment = self.segment()?;
        let restart_interval = self.restart_interval;
        let broken = "a scan header that is not whole";
        let frame = self.frame.as_mut().ok_or("a scan before its frame")?;
        let (&count, rest) = segment.split_first().ok_or(broken)?;
        let count = usize::from(count);
        if !(1..=frame.components.len()).contains(&count) {
            return Err(format!("a scan of {count} components"));
        }
        let (pairs, rest) = rest.split_at_checked(2 * count).ok_or(broken)?;
        let &[first, last, approximation] = rest else {
            return Err(broken.to_owned());
        };
        let mut components = Vec::<ScanComponent>::with_capacity(count);
        for &[id, tables] in pairs.as_chunks().0 {
            let is_new = |index| components.iter().all(|taken| taken.index != index);
            let index = (0..frame.components.len())
                .find(|&index| frame.components[index].id == id && is_new(index))
                .ok_or("a scan of a component that the frame does not have")?;
            let component = &mut frame.components[index];
            if component.quantization.is_none() {
                let table = self.quantization.get(component.table).copied().flatten();
                component.quantization = Some(table.ok_or("no quantization table")?);
            }
            components.push(ScanComponent {
                index,
                dc: usize::from(tables >> 4),
                ac: usize::from(tables & 15),
            });
        }
        let blocks = |component: &ScanComponent| {
            let sampling = frame.components[component.index].sampling;
            sampling.across * sampling.down
        };
        if count > 1 && components.iter().map(blocks).sum::<usize>() > 10 {
            return Err("more than 10 blocks in a unit".to_owned());
        }
        let mut scan = Scan {
            components,
            first: first.into(),
            last: last.into(),
            high: u32::from(approximation >> 4),
            low: u32::from(approximation & 15),
            restart_interval,
        };
        if frame.process.is_progressive {
            check_progression(&scan)?;
        } else {
            // As libjpeg does, a sequential scan is taken to hold everything, whatever it says.
            (scan.first, scan.last, scan.high, scan.low) = (0, 63, 0, 0);
        }
        Ok(scan)
    }
}

fn check_progression(scan: &Scan) -> Result<(), String> {
    let has_valid_band = match scan.first {
        0 => scan.last == 0,
        first => first <= scan.last && scan.last <= 63 && scan.components.len() == 1,
    };
    let has_valid_places = scan.low <= 13 && (scan.high == 0 || scan.high == scan.low + 1);
    if has_valid_band && has_valid_places {
        return Ok(());
    }
    Err("a progressive scan with invalid bounds".to_owned())
}
