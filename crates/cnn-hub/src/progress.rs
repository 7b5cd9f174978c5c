//! What a download or an upload tells while it runs.

use std::time::{Duration, Instant};

/// Who is told how a transfer gets on. Closures that take an [`Event`] are told, too.
///
/// ```
/// use cnn_hub::{Event, Progress};
///
/// let mut bytes = 0;
/// let mut progress = |event: &Event<'_>| {
///     if let Event::Bytes(transfer) = event {
///         bytes = transfer.done;
///     }
/// };
/// progress.event(&Event::Waiting { name: "model.safetensors", process: None });
/// # drop(progress);
/// assert_eq!(bytes, 0);
/// ```
pub trait Progress {
    /// Something has happened.
    fn event(&mut self, event: &Event<'_>);

    /// Whether to stop, which is asked between two pieces of a file and while waiting. What has
    /// arrived is kept, and the next download or push goes on from there.
    fn is_cancelled(&self) -> bool {
        false
    }
}

impl<F: FnMut(&Event<'_>)> Progress for F {
    fn event(&mut self, event: &Event<'_>) {
        self(event);
    }
}

/// Tells nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn event(&mut self, _event: &Event<'_>) {}
}

/// A moment of a download or an upload.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The first byte is about to arrive, or to be sent.
    Started {
        /// What is transferred, as messages name it.
        name: &'a str,
        /// The size of the file in bytes, where the server tells it.
        total: Option<u64>,
        /// How many bytes were there already, from a download that had been interrupted.
        resumed_from: u64,
    },
    /// Bytes have arrived or were sent; told about ten times a second, and at the end.
    Bytes(Transferred<'a>),
    /// The file is in its place, whole and verified. What was pushed shows with the commit.
    Finished {
        /// What was transferred.
        name: &'a str,
        /// Its size in bytes.
        bytes: u64,
    },
    /// The hub's storage has the content of a file that is pushed, so that nothing is sent.
    Present {
        /// The file.
        name: &'a str,
        /// Its size in bytes.
        bytes: u64,
    },
    /// A try failed, and another follows.
    Retrying {
        /// What is transferred.
        name: &'a str,
        /// The number of tries that failed one after the other without any byte.
        failures: u32,
        /// How long until the next.
        delay: Duration,
        /// Why it failed.
        cause: &'a crate::Error,
    },
    /// The file begins anew: it has changed on the server, or the server cannot resume.
    Restarted {
        /// What is downloaded.
        name: &'a str,
        /// Why.
        reason: &'static str,
    },
    /// Another process downloads the same file; this one waits for it.
    Waiting {
        /// What is waited for.
        name: &'a str,
        /// The other process, where it is known.
        process: Option<u32>,
    },
    /// The repository has another name now. It is followed, and kept under the old one.
    Renamed {
        /// The name that was asked for.
        from: &'a str,
        /// The name that it has now.
        to: &'a str,
    },
    /// The server could not be asked, so the file of an earlier download is used.
    FromCache {
        /// What was asked for.
        name: &'a str,
        /// Why it could not be asked.
        cause: &'a crate::Error,
    },
    /// An archive is being unpacked; told a few times a second, and at the end.
    Unpacked {
        /// The archive.
        name: &'a str,
        /// How many files there are so far.
        files: u64,
        /// How many bytes they have.
        bytes: u64,
    },
}

/// How far a transfer is.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Transferred<'a> {
    /// What is transferred.
    pub name: &'a str,
    /// How many bytes are there, those of earlier tries included. An upload that was cut begins its
    /// part of the file anew, so that there are fewer for a while.
    pub done: u64,
    /// How many there will be, where it is known.
    pub total: Option<u64>,
    /// Bytes per second over the last seconds.
    pub rate: f64,
}

impl Transferred<'_> {
    /// The time until the end at the present rate, where both are known.
    pub fn remaining(&self) -> Option<Duration> {
        let left = self.total?.saturating_sub(self.done) as f64;
        let seconds = left / self.rate;
        Duration::try_from_secs_f64(seconds).ok()
    }
}

/// Between two events of a transfer.
pub(crate) const INTERVAL: Duration = Duration::from_millis(100);

/// Older bytes do not count for the rate.
const WINDOW: Duration = Duration::from_secs(5);

/// Counts bytes and says when it is time to tell, and at which rate they came.
pub(crate) struct Meter {
    /// Moments and how many bytes had arrived since the beginning, oldest first.
    samples: Vec<(Instant, u64)>,
    arrived: u64,
    told: Instant,
}

impl Meter {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Self {
            samples: vec![(now, 0)],
            arrived: 0,
            told: now,
        }
    }

    /// Notes bytes; the rate where it is time to tell it.
    pub(crate) fn count(&mut self, bytes: u64) -> Option<f64> {
        self.arrived += bytes;
        let now = Instant::now();
        if now.duration_since(self.told) < INTERVAL {
            return None;
        }
        self.told = now;
        self.samples.push((now, self.arrived));
        let is_old = |(at, _): &(Instant, u64)| now.duration_since(*at) > WINDOW;
        // One older sample stays, from which the window is measured.
        while self.samples.get(1).is_some_and(is_old) {
            self.samples.remove(0);
        }
        Some(self.rate())
    }

    pub(crate) fn rate(&self) -> f64 {
        let Some((since, before)) = self.samples.first() else {
            return 0.0;
        };
        let seconds = since.elapsed().as_secs_f64().max(1e-6);
        (self.arrived - before) as f64 / seconds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_follows_from_rate_and_total() {
        let transfer = |rate, total| Transferred {
            name: "x",
            done: 100,
            total,
            rate,
        };
        assert_eq!(
            transfer(50.0, Some(200)).remaining(),
            Some(Duration::from_secs(2))
        );
        assert_eq!(transfer(0.0, Some(200)).remaining(), None);
        assert_eq!(transfer(50.0, None).remaining(), None);
        assert_eq!(transfer(50.0, Some(50)).remaining(), Some(Duration::ZERO));
    }
}
