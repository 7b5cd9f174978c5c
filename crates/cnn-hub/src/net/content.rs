//! What a request carries: bytes that can be sent again, watched while they go.

use std::io::{self, Read, Seek, SeekFrom};

use crate::{Error, Progress};

/// Bytes from somewhere that can be gone back in.
pub(crate) trait Source: Read + Seek {}

impl<T: Read + Seek> Source for T {}

/// Who looks at each byte before it is sent.
pub(crate) trait Watch {
    /// The first byte is about to be sent, for the first time or again.
    fn begin(&mut self);

    /// These bytes are about to be sent. An error ends the request before they are.
    fn bytes(&mut self, bytes: &[u8], progress: &mut dyn Progress) -> Result<(), Error>;

    /// The error of a source that cannot be read, or has fewer bytes than it had.
    fn unreadable(&self, error: io::Error) -> Error;
}

/// The content of a request.
pub(crate) struct Content<'a> {
    kind: Option<&'static str>,
    source: &'a mut dyn Source,
    from: u64,
    length: u64,
    watch: &'a mut dyn Watch,
}

impl<'a> Content<'a> {
    /// `length` bytes of `source` from byte `from` on, of the media type `kind` where it is
    /// told.
    pub(crate) fn new(
        kind: Option<&'static str>,
        source: &'a mut dyn Source,
        from: u64,
        length: u64,
        watch: &'a mut dyn Watch,
    ) -> Self {
        Self {
            kind,
            source,
            from,
            length,
            watch,
        }
    }

    pub(crate) fn kind(&self) -> Option<&'static str> {
        self.kind
    }

    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Begins with the first byte.
    pub(super) fn reader<'b>(
        &'b mut self,
        progress: &'b mut dyn Progress,
    ) -> Result<ContentReader<'b>, Error> {
        let sought = self.source.seek(SeekFrom::Start(self.from));
        sought.map_err(|error| self.watch.unreadable(error))?;
        self.watch.begin();
        Ok(ContentReader {
            source: &mut *self.source,
            left: self.length,
            watch: &mut *self.watch,
            progress,
            error: None,
        })
    }
}

/// The content on its way.
pub(super) struct ContentReader<'a> {
    source: &'a mut dyn Source,
    left: u64,
    watch: &'a mut dyn Watch,
    progress: &'a mut dyn Progress,
    error: Option<Error>,
}

impl ContentReader<'_> {
    /// Why this side ended the request, where it did.
    pub(super) fn into_error(self) -> Option<Error> {
        self.error
    }

    fn fail(&mut self, error: Error) -> io::Error {
        self.error = Some(error);
        io::Error::other("the upload was ended here")
    }
}

impl Read for ContentReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        if most == 0 {
            return Ok(0);
        }
        let read = loop {
            match self.source.read(&mut buffer[..most]) {
                Ok(0) => {
                    let error = self.watch.unreadable(io::ErrorKind::UnexpectedEof.into());
                    return Err(self.fail(error));
                }
                Ok(read) => break read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(error) => {
                    let error = self.watch.unreadable(error);
                    return Err(self.fail(error));
                }
            }
        };
        self.left -= read as u64;
        match self.watch.bytes(&buffer[..read], self.progress) {
            Ok(()) => Ok(read),
            Err(error) => Err(self.fail(error)),
        }
    }
}
