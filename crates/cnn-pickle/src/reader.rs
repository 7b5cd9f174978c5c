//! A cursor over the pickle's bytes that never reads beyond them.

use super::value::Span;

pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
}

/// The pickle ends inside an opcode.
#[derive(Debug)]
pub(super) struct Cut;

impl<'a> Reader<'a> {
    /// Spans are 32 bits wide: `bytes` must be shorter than 4 GiB.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        debug_assert!(u32::try_from(bytes.len()).is_ok());
        Self { bytes, position: 0 }
    }

    pub(super) fn position(&self) -> usize {
        self.position
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Cut> {
        let array = *self
            .bytes
            .get(self.position..)
            .and_then(|rest| rest.first_chunk())
            .ok_or(Cut)?;
        self.position += N;
        Ok(array)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Cut> {
        self.array().map(|[byte]| byte)
    }

    pub(super) fn span(&mut self, len: u64) -> Result<Span, Cut> {
        let left = self.bytes.len() - self.position;
        let len = usize::try_from(len)
            .ok()
            .filter(|&len| len <= left)
            .ok_or(Cut)?;
        let span = Span {
            start: self.position as u32,
            len: len as u32,
        };
        self.position += len;
        Ok(span)
    }

    /// A line without its end.
    pub(super) fn line(&mut self) -> Result<Span, Cut> {
        let rest = &self.bytes[self.position..];
        let len = rest.iter().position(|&byte| byte == b'\n').ok_or(Cut)?;
        let span = self.span(len as u64)?;
        self.position += 1;
        Ok(span)
    }

    pub(super) fn text(&self, span: Span) -> &'a [u8] {
        text(self.bytes, span)
    }
}

/// The bytes of a span that was cut out of `bytes`.
pub(super) fn text(bytes: &[u8], span: Span) -> &[u8] {
    let start = span.start as usize;
    bytes
        .get(start..start + span.len as usize)
        .unwrap_or_default()
}
