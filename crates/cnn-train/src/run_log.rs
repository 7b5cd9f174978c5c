//! The run's logs: `metrics.csv`, `events.jsonl`, TensorBoard events. Each is appended to, and cut
//! back to a known length when a run goes on.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::tensorboard;
use crate::{EpochRecord, Error};

const METRICS: &str = "metrics.csv";
const EVENTS: &str = "events.jsonl";
const TENSORBOARD: &str = "events.out.tfevents.0.cnn";

/// The open logs of a run.
pub(crate) struct RunLog {
    metrics: LogFile,
    events: LogFile,
    tensorboard: LogFile,
}

struct LogFile {
    path: PathBuf,
    file: File,
    length: u64,
}

impl RunLog {
    /// Opens the logs in `directory`, cut back to these lengths; a log without a length starts
    /// empty.
    pub(crate) fn open(directory: &Path, lengths: &BTreeMap<String, u64>) -> Result<Self, Error> {
        let open = |name: &str| {
            LogFile::open(
                directory.join(name),
                lengths.get(name).copied().unwrap_or(0),
            )
        };
        let mut log = Self {
            metrics: open(METRICS)?,
            events: open(EVENTS)?,
            tensorboard: open(TENSORBOARD)?,
        };
        if log.tensorboard.length == 0 {
            log.tensorboard.append(&tensorboard::file_version())?;
        }
        Ok(log)
    }

    /// How long each log is now.
    pub(crate) fn lengths(&self) -> BTreeMap<String, u64> {
        let files = [
            (METRICS, &self.metrics),
            (EVENTS, &self.events),
            (TENSORBOARD, &self.tensorboard),
        ];
        files
            .into_iter()
            .map(|(name, file)| (name.to_string(), file.length))
            .collect()
    }

    /// Adds an event, one JSON object.
    pub(crate) fn event(&mut self, event: &Value) -> Result<(), Error> {
        self.events.append(format!("{event}\n").as_bytes())
    }

    /// Adds scalars for TensorBoard.
    pub(crate) fn scalars(&mut self, step: u64, scalars: &[(String, f64)]) -> Result<(), Error> {
        self.tensorboard
            .append(&tensorboard::scalars(step, scalars))
    }

    /// Adds a row to the table, and the header before the first.
    fn row(&mut self, row: &[(String, String)]) -> Result<(), Error> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let write = |writer: &mut csv::Writer<Vec<u8>>, cells: Vec<&String>| {
            writer
                .write_record(cells)
                .map_err(|error| Error::io("write", &self.metrics.path, error.into()))
        };
        if self.metrics.length == 0 {
            write(&mut writer, row.iter().map(|(name, _)| name).collect())?;
        }
        write(&mut writer, row.iter().map(|(_, value)| value).collect())?;
        let bytes = writer
            .into_inner()
            .expect("writing into memory does not fail");
        self.metrics.append(&bytes)
    }

    /// Brings everything to the disk, before a state is written that relies on it.
    /// What an epoch came to, in all logs.
    pub(crate) fn epoch(&mut self, record: &EpochRecord) -> Result<(), Error> {
        self.row(&record.row())?;
        self.event(&record.event())?;
        self.scalars(record.step, &record.values())
    }

    pub(crate) fn sync(&self) -> Result<(), Error> {
        for log in [&self.metrics, &self.events, &self.tensorboard] {
            log.file
                .sync_data()
                .map_err(|error| Error::io("write", &log.path, error))?;
        }
        Ok(())
    }
}

impl LogFile {
    fn open(path: PathBuf, length: u64) -> Result<Self, Error> {
        let opened = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path);
        let mut file = opened.map_err(|error| Error::io("open", &path, error))?;
        let found = file
            .metadata()
            .map_err(|error| Error::io("read", &path, error))?
            .len();
        if found < length {
            return Err(Error::State {
                path,
                reason: format!("{found} bytes, the saved state expects {length}"),
            });
        }
        let cut = file
            .set_len(length)
            .and_then(|()| file.seek(SeekFrom::Start(length)));
        cut.map_err(|error| Error::io("cut back", &path, error))?;
        Ok(Self { path, file, length })
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let written = self.file.write_all(bytes);
        if let Err(error) = written {
            // A line is there whole or not at all.
            let _ = self.file.set_len(self.length);
            return Err(Error::io("write", &self.path, error));
        }
        self.length += bytes.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    fn row(epoch: usize) -> Vec<(String, String)> {
        vec![
            ("epoch".into(), epoch.to_string()),
            ("val, loss".into(), "0.5".into()),
        ]
    }

    #[test]
    fn logs_are_cut_back_to_the_saved_lengths() {
        let directory = tempfile::tempdir().unwrap();
        let mut log = RunLog::open(directory.path(), &BTreeMap::new()).unwrap();
        log.row(&row(1)).unwrap();
        log.event(&serde_json::json!({"epoch": 1})).unwrap();
        let lengths = log.lengths();
        log.row(&row(2)).unwrap();
        log.event(&serde_json::json!({"epoch": 2})).unwrap();
        log.scalars(3, &[("loss".into(), 1.)]).unwrap();
        drop(log);
        let mut log = RunLog::open(directory.path(), &lengths).unwrap();
        assert_eq!(log.lengths(), lengths);
        log.row(&row(3)).unwrap();
        let text = std::fs::read_to_string(directory.path().join(METRICS)).unwrap();
        assert_eq!(text, "epoch,\"val, loss\"\n1,0.5\n3,0.5\n");
        let text = std::fs::read_to_string(directory.path().join(EVENTS)).unwrap();
        assert_eq!(text, "{\"epoch\":1}\n");
    }

    #[test]
    fn a_log_that_is_too_short_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let lengths = BTreeMap::from([(METRICS.to_string(), 7)]);
        let message = RunLog::open(directory.path(), &lengths)
            .err()
            .unwrap()
            .to_string();
        assert!(
            message.ends_with("metrics.csv: 0 bytes, the saved state expects 7"),
            "{message}"
        );
    }
}
