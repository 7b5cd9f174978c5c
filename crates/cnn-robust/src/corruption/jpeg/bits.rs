//! Bits one after the other.

/// The coded part of a file.
#[derive(Default)]
pub(super) struct Bits {
    bytes: Vec<u8>,
    /// What does not fill a byte yet, in the lowest bits.
    waiting: u32,
    count: u32,
}

impl Bits {
    /// Adds the lowest `count` bits of a number, at most 16.
    pub(super) fn push(&mut self, number: u32, count: u32) {
        self.waiting = (self.waiting << count) | (number & ((1 << count) - 1));
        self.count += count;
        while self.count >= 8 {
            self.count -= 8;
            let byte = (self.waiting >> self.count) as u8;
            self.bytes.push(byte);
            if byte == 0xff {
                // So that no marker is seen in it.
                self.bytes.push(0);
            }
        }
        self.waiting &= (1 << self.count) - 1;
    }

    /// All bytes, the last filled with ones.
    pub(super) fn finish(mut self) -> Vec<u8> {
        if self.count > 0 {
            self.push(0x7f, 8 - self.count);
        }
        self.bytes
    }
}
