//! Huffman codes and the bits of entropy-coded data (ITU-T T.81, Annexes C and F).

/// Marker that ends an image.
const END: u8 = 0xd9;

/// A table of codes.
#[derive(Clone)]
pub(super) struct HuffmanTable {
    /// For every start of [`Self::LOOKED_UP`] bits the length of its code times 256 and the symbol;
    /// 0 where the code is longer.
    lookup: Vec<u16>,
    /// For each length the first 16-bit word (code, then zeros) that is beyond its codes.
    beyond: [u32; 17],
    /// For each length what to add to a code to find its symbol.
    offset: [i32; 17],
    symbols: Vec<u8>,
    /// For every start of [`Self::LOOKED_UP`] bits the coefficient that it holds whole, if it does:
    /// the number times 256, how many zeros precede it times 16, and how many bits they take, at
    /// most 15; otherwise 0.
    coefficients: Vec<i16>,
}

impl HuffmanTable {
    const LOOKED_UP: usize = 9;

    /// The table that has `counts[i]` codes of `i + 1` bits for `symbols`, in this order.
    pub(super) fn new(counts: &[u8; 16], symbols: &[u8]) -> Result<Self, &'static str> {
        let mut table = Self {
            lookup: vec![0; 1 << Self::LOOKED_UP],
            beyond: [0; 17],
            offset: [0; 17],
            symbols: symbols.to_vec(),
            coefficients: vec![0; 1 << Self::LOOKED_UP],
        };
        let mut code = 0_usize;
        let mut used = 0_usize;
        for (length, &count) in (1..).zip(counts) {
            table.offset[length] = used as i32 - code as i32;
            for _ in 0..count {
                let &symbol = symbols.get(used).ok_or("a Huffman table without symbols")?;
                if code >= 1 << length {
                    return Err("a Huffman table with more codes than bits allow");
                }
                if length <= Self::LOOKED_UP {
                    let shift = Self::LOOKED_UP - length;
                    table.lookup[code << shift..(code + 1) << shift]
                        .fill((length as u16) << 8 | u16::from(symbol));
                }
                code += 1;
                used += 1;
            }
            table.beyond[length] = (code as u32) << (16 - length);
            code *= 2;
        }
        table.find_coefficients();
        Ok(table)
    }

    fn find_coefficients(&mut self) {
        for (start, (found, &entry)) in self.coefficients.iter_mut().zip(&self.lookup).enumerate() {
            let length = u32::from(entry >> 8);
            let zeros = i32::from(entry >> 4 & 15);
            let count = u32::from(entry & 15);
            let left = Self::LOOKED_UP as u32 - length;
            if entry == 0 || count == 0 || count > left {
                continue;
            }
            let number = (start as u32 >> (left - count)) & ((1 << count) - 1);
            let value = with_sign(number, count);
            *found = (value << 8 | zeros << 4 | (length + count) as i32) as i16;
        }
    }

    /// Whether each symbol is a number of bits that a difference can have.
    pub(super) fn is_of_differences(&self) -> bool {
        self.symbols.iter().all(|&bits| bits <= 15)
    }
}

/// The tables that a file without its own means (Annex K.3), as frames of motion JPEG do: for luma
/// and chroma those of differences, then those of the other coefficients.
pub(super) fn standard_tables() -> [HuffmanTable; 4] {
    const DIFFERENCES: [u8; 12] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];
    const LUMA: &[u8] = b"\x01\x02\x03\x00\x04\x11\x05\x12\x21\x31\x41\x06\x13\x51\x61\x07\x22\x71\x14\x32\x81\x91\xa1\x08\x23\x42\xb1\xc1\x15\x52\xd1\xf0\x24\x33\x62\x72\x82\x09\x0a\x16\x17\x18\x19\x1a\x25\x26\x27\x28\x29\x2a\x34\x35\x36\x37\x38\x39\x3a\x43\x44\x45\x46\x47\x48\x49\x4a\x53\x54\x55\x56\x57\x58\x59\x5a\x63\x64\x65\x66\x67\x68\x69\x6a\x73\x74\x75\x76\x77\x78\x79\x7a\x83\x84\x85\x86\x87\x88\x89\x8a\x92\x93\x94\x95\x96\x97\x98\x99\x9a\xa2\xa3\xa4\xa5\xa6\xa7\xa8\xa9\xaa\xb2\xb3\xb4\xb5\xb6\xb7\xb8\xb9\xba\xc2\xc3\xc4\xc5\xc6\xc7\xc8\xc9\xca\xd2\xd3\xd4\xd5\xd6\xd7\xd8\xd9\xda\xe1\xe2\xe3\xe4\xe5\xe6\xe7\xe8\xe9\xea\xf1\xf2\xf3\xf4\xf5\xf6\xf7\xf8\xf9\xfa";
    const CHROMA: &[u8] = b"\x00\x01\x02\x03\x11\x04\x05\x21\x31\x06\x12\x41\x51\x07\x61\x71\x13\x22\x32\x81\x08\x14\x42\x91\xa1\xb1\xc1\x09\x23\x33\x52\xf0\x15\x62\x72\xd1\x0a\x16\x24\x34\xe1\x25\xf1\x17\x18\x19\x1a\x26\x27\x28\x29\x2a\x35\x36\x37\x38\x39\x3a\x43\x44\x45\x46\x47\x48\x49\x4a\x53\x54\x55\x56\x57\x58\x59\x5a\x63\x64\x65\x66\x67\x68\x69\x6a\x73\x74\x75\x76\x77\x78\x79\x7a\x82\x83\x84\x85\x86\x87\x88\x89\x8a\x92\x93\x94\x95\x96\x97\x98\x99\x9a\xa2\xa3\xa4\xa5\xa6\xa7\xa8\xa9\xaa\xb2\xb3\xb4\xb5\xb6\xb7\xb8\xb9\xba\xc2\xc3\xc4\xc5\xc6\xc7\xc8\xc9\xca\xd2\xd3\xd4\xd5\xd6\xd7\xd8\xd9\xda\xe2\xe3\xe4\xe5\xe6\xe7\xe8\xe9\xea\xf2\xf3\xf4\xf5\xf6\xf7\xf8\xf9\xfa";
    let tables: [([u8; 16], &[u8]); 4] = [
        (
            [0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0],
            &DIFFERENCES,
        ),
        (
            [0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0],
            &DIFFERENCES,
        ),
        ([0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 0x7d], LUMA),
        ([0, 2, 1, 2, 4, 4, 3, 4, 7, 5, 4, 4, 0, 1, 2, 0x77], CHROMA),
    ];
    tables.map(|(counts, symbols)| {
        HuffmanTable::new(&counts, symbols).expect("the tables of the standard are valid")
    })
}

/// The bits of a scan, from the first byte after its header to the next marker.
///
/// After the last one come zeros without end, as in libjpeg, and [`BitReader::is_starved`] says so.
pub(super) struct BitReader<'a> {
    bytes: &'a [u8],
    /// The next byte to take, or where the marker lies.
    position: usize,
    /// The next bits, from the uppermost on.
    bits: u64,
    /// How many bits of `bits` have been taken from the file.
    count: u32,
    starved: bool,
}

impl<'a> BitReader<'a> {
    pub(super) fn new(bytes: &'a [u8], position: usize) -> Self {
        Self {
            bytes,
            position,
            bits: 0,
            count: 0,
            starved: false,
        }
    }

    /// Whether more bits have been taken than there are.
    pub(super) fn is_starved(&self) -> bool {
        self.starved
    }

    /// The first byte that holds none of the bits taken so far.
    pub(super) fn position(&self) -> usize {
        // Bytes of 255 are stored in two; this matters only to find how far a scan reaches, for
        // which the marker behind it is looked for from here on.
        self.position - (self.count / 8) as usize
    }

    /// Whether the bits that are left of a byte in use are ones, which is what encoders fill with.
    pub(super) fn is_padded_with_ones(&self) -> bool {
        let left = self.count % 8;
        left == 0 || self.bits >> (64 - left) == (1 << left) - 1
    }

    #[inline(always)]
    pub(super) fn symbol(&mut self, table: &HuffmanTable) -> Result<u8, &'static str> {
        self.refill();
        let entry = table.lookup[(self.bits >> (64 - HuffmanTable::LOOKED_UP)) as usize];
        if entry != 0 {
            self.consume(u32::from(entry >> 8));
            return Ok(entry as u8);
        }
        self.long_symbol(table)
    }

    fn long_symbol(&mut self, table: &HuffmanTable) -> Result<u8, &'static str> {
        let word = (self.bits >> 48) as u32;
        let length = (HuffmanTable::LOOKED_UP + 1..=16)
            .find(|&length| word < table.beyond[length])
            .ok_or("an invalid Huffman code")?;
        let code = (word >> (16 - length)) as i32;
        self.consume(length as u32);
        table
            .symbols
            .get((code + table.offset[length]) as usize)
            .copied()
            .ok_or("an invalid Huffman code")
    }

    /// The next coefficient, if the bits of a short code hold it whole: how many zeros precede it,
    /// and its value.
    #[inline(always)]
    pub(super) fn short_coefficient(&mut self, table: &HuffmanTable) -> Option<(usize, i16)> {
        self.refill();
        let found = table.coefficients[(self.bits >> (64 - HuffmanTable::LOOKED_UP)) as usize];
        if found == 0 {
            return None;
        }
        self.consume(found as u32 & 15);
        Some((found as usize >> 4 & 15, found >> 8))
    }

    /// The next `count` bits, at most 16, as a number.
    #[inline(always)]
    pub(super) fn number(&mut self, count: u32) -> u32 {
        if count == 0 {
            return 0;
        }
        self.refill();
        let number = (self.bits >> (64 - count)) as u32;
        self.consume(count);
        number
    }

    /// The next `count` bits, at most 15, as a number with a sign (table F.1): a 0 at first stands
    /// for a negative one.
    #[inline(always)]
    pub(super) fn signed(&mut self, count: u32) -> i32 {
        with_sign(self.number(count), count)
    }

    #[inline(always)]
    pub(super) fn bit(&mut self) -> bool {
        self.number(1) != 0
    }

    /// Goes behind the restart marker of this number, at which the data go on byte by byte.
    ///
    /// An end marker in its place leaves the reader starved.
    pub(super) fn restart(&mut self, number: u8) -> Result<(), &'static str> {
        self.bits = 0;
        self.count = 0;
        match self.marker() {
            Some((END, _)) => {
                self.starved = true;
                Ok(())
            }
            Some(_) if self.starved => Err(EARLY_MARKER),
            Some((marker, at)) if marker == 0xd0 + number => {
                self.position = at + 1;
                Ok(())
            }
            Some(_) => Err("another marker where one of restart should be"),
            None => Err(TRUNCATED),
        }
    }

    /// Fails if the bits ended at something else than an end marker.
    pub(super) fn check_end(&self) -> Result<(), &'static str> {
        match self.marker() {
            _ if !self.starved => Ok(()),
            Some((END, _)) => Ok(()),
            Some(_) => Err(EARLY_MARKER),
            None => Err(TRUNCATED),
        }
    }

    /// The code of the next marker, and where it lies.
    fn marker(&self) -> Option<(u8, usize)> {
        let mut at = self.position;
        loop {
            at += self
                .bytes
                .get(at..)?
                .iter()
                .position(|&byte| byte == 0xff)?
                + 1;
            match *self.bytes.get(at)? {
                0 | 0xff => {}
                marker => return Some((marker, at)),
            }
        }
    }

    #[inline(always)]
    fn consume(&mut self, count: u32) {
        self.bits <<= count;
        if count > self.count {
            self.starved = true;
            self.count = 0;
        } else {
            self.count -= count;
        }
    }

    /// Takes bytes until there are 32 bits, or no more.
    #[inline(always)]
    fn refill(&mut self) {
        if self.count >= 32 {
            return;
        }
        if let Some(word) = self.bytes[self.position..].first_chunk() {
            let word = u64::from_be_bytes(*word);
            if !has_byte_255(word) {
                let taken = (64 - self.count) / 8;
                self.bits |= word >> self.count;
                self.position += taken as usize;
                self.count += taken * 8;
                return;
            }
        }
        self.refill_by_bytes();
    }

    fn refill_by_bytes(&mut self) {
        // What a refill by words left below the counted bits is taken again here.
        self.bits &= !(u64::MAX >> self.count);
        while self.count <= 56 {
            let Some(&byte) = self.bytes.get(self.position) else {
                return;
            };
            let mut next = self.position + 1;
            if byte == 0xff {
                // Any number of these may precede a marker's code, or the 0 that makes them a byte.
                while self.bytes.get(next) == Some(&0xff) {
                    next += 1;
                }
                if self.bytes.get(next) != Some(&0) {
                    return;
                }
                next += 1;
            }
            self.position = next;
            self.bits |= u64::from(byte) << (56 - self.count);
            self.count += 8;
        }
    }
}

fn with_sign(number: u32, count: u32) -> i32 {
    let half = (1 << count) >> 1;
    let number = number as i32;
    if number < half {
        number - 2 * half + 1
    } else {
        number
    }
}

/// What is said of data that end before the image does.
pub(super) const TRUNCATED: &str = "truncated";
const EARLY_MARKER: &str = "a marker amid its pixels";

fn has_byte_255(word: u64) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let inverted = !word;
    inverted.wrapping_sub(ONES) & word & (ONES << 7) != 0
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    // Three codes: 0 for 7, 10 for 8, and ten ones and a zero for 9.
    fn table() -> HuffmanTable {
        let mut counts = [0; 16];
        (counts[0], counts[1], counts[10]) = (1, 1, 1);
        HuffmanTable::new(&counts, &[7, 8, 9]).unwrap()
    }

    #[test]
    fn codes_are_canonical() {
        let bytes = [0b0101_1000, 0b0000_0000, 0b1100_0000];
        let mut reader = BitReader::new(&bytes, 0);
        let table = table();
        let symbols: Vec<_> = (0..4).map(|_| reader.symbol(&table)).collect();
        // The third code of eleven bits is 11000000000, as codes of one length follow each other.
        assert_eq!(symbols, [Ok(7), Ok(8), Ok(9), Ok(7)]);
        assert_eq!(reader.symbol(&table), Ok(7));
        assert!(!reader.is_starved());
    }

    #[test]
    fn a_code_without_symbol_is_an_error() {
        let bytes = [0xf0; 8];
        let found = BitReader::new(&bytes, 0).symbol(&table());
        assert_eq!(found, Err("an invalid Huffman code"));
        let mut counts = [0; 16];
        counts[0] = 3;
        assert!(HuffmanTable::new(&counts, &[1, 2, 3]).is_err());
        assert!(HuffmanTable::new(&counts, &[1]).is_err());
    }

    #[test]
    fn zeros_follow_the_last_bit() {
        let bytes = [0xab, 0xff, 0x00, 0xff, 0xff, 0x00, 0xcd, 0xff, 0xd9];
        let mut reader = BitReader::new(&bytes, 0);
        let numbers: Vec<_> = (0..4).map(|_| reader.number(8)).collect();
        assert_eq!(numbers, [0xab, 0xff, 0xff, 0xcd]);
        assert!(!reader.is_starved());
        assert_eq!(reader.number(3), 0);
        assert!(reader.is_starved());
        assert_eq!(reader.check_end(), Ok(()));
        assert_eq!(reader.position(), 7);
    }

    #[test]
    fn signs_follow_table_f_1() {
        let bytes = [0b0001_1011, 0b0000_0111];
        let mut reader = BitReader::new(&bytes, 0);
        let numbers = [2, 2, 2, 2, 4, 1, 1].map(|count| reader.signed(count));
        assert_eq!(numbers, [-3, -2, 2, 3, -15, -1, 1]);
    }

    #[test]
    fn words_and_bytes_give_the_same_bits() {
        let bytes: Vec<u8> = (0..200_u8).map(|i| i.wrapping_mul(73) & 0xfe).collect();
        let mut reader = BitReader::new(&bytes, 0);
        let mut at = 0;
        for count in (1..=16).cycle().take(150) {
            let expected = (at..at + count as usize).fold(0, |number, bit| {
                number << 1 | u32::from(bytes[bit / 8] >> (7 - bit % 8) & 1)
            });
            assert_eq!(reader.number(count), expected, "{count} bits from {at}");
            at += count as usize;
        }
    }

    #[test]
    fn standard_tables_are_whole() {
        let tables = standard_tables();
        assert!(tables[0].is_of_differences() && tables[1].is_of_differences());
        assert_eq!(tables[2].symbols.len(), 162);
        assert_eq!(tables[3].symbols.len(), 162);
    }
}
