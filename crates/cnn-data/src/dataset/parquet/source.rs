//! The bytes in which the parquet reader finds its pages: a file, or a buffer in memory.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{ChunkReader, Length};

/// A file read at any position from any thread, or a buffer.
///
/// The reader's own implementation for files shares one cursor between all threads.
#[derive(Clone)]
pub(super) enum ParquetSource {
    File { file: Arc<Mutex<File>>, len: u64 },
    Memory(Bytes),
}

impl ParquetSource {
    pub(super) fn of_file(file: File) -> std::io::Result<Self> {
        let len = file.metadata()?.len();
        Ok(Self::File {
            file: Arc::new(Mutex::new(file)),
            len,
        })
    }

    fn read_at(&self, position: u64, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::File { file, .. } => {
                let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
                file.seek(SeekFrom::Start(position))?;
                file.read(buffer)
            }
            Self::Memory(bytes) => bytes
                .get(position as usize..)
                .unwrap_or_default()
                .read(buffer),
        }
    }
}

impl Length for ParquetSource {
    fn len(&self) -> u64 {
        match self {
            Self::File { len, .. } => *len,
            Self::Memory(bytes) => bytes.len() as u64,
        }
    }
}

impl ChunkReader for ParquetSource {
    type T = BufReader<Cursor>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        Ok(BufReader::new(Cursor {
            source: self.clone(),
            position: start,
        }))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        let end = start
            .checked_add(length as u64)
            .filter(|&end| end <= self.len());
        let Some(end) = end else {
            let message = format!(
                "bytes {start} to {start}+{length} of a file of {} bytes",
                self.len()
            );
            return Err(ParquetError::EOF(message));
        };
        if let Self::Memory(bytes) = self {
            return Ok(bytes.slice(start as usize..end as usize));
        }
        let mut bytes = vec![0; length];
        Cursor {
            source: self.clone(),
            position: start,
        }
        .read_exact(&mut bytes)?;
        Ok(bytes.into())
    }
}

/// A position in a source.
pub(super) struct Cursor {
    source: ParquetSource,
    position: u64,
}

impl Read for Cursor {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.source.read_at(self.position, buffer)?;
        self.position += read as u64;
        Ok(read)
    }
}
