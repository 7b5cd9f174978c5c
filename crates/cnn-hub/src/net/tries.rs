//! How often a request is made again, and when.

use std::thread;
use std::time::{Duration, Instant};

use super::Answer;
use crate::config::Retry;
use crate::{Error, Event, Progress};

/// Tries that bring bytes do not count as failures, yet somewhere there must be an end.
const MOST_REQUESTS: u32 = 1000;

/// A pause is left this soon when the caller cancels.
const STEP: Duration = Duration::from_millis(50);

/// The tries of one download.
pub(crate) struct Tries<'a> {
    retry: &'a Retry,
    name: &'a str,
    failures: u32,
    requests: u32,
    was_reached: bool,
}

impl<'a> Tries<'a> {
    pub(crate) fn new(retry: &'a Retry, name: &'a str) -> Self {
        Self {
            retry,
            name,
            failures: 0,
            requests: 0,
            was_reached: false,
        }
    }

    /// The server answered.
    pub(crate) fn reached(&mut self) {
        self.was_reached = true;
    }

    /// Bytes came, so what fails next is the first failure.
    pub(crate) fn advanced(&mut self) {
        self.failures = 0;
    }

    /// How long a server that is busy asks to wait, unless that is longer than anybody waits.
    pub(crate) fn asked_wait(&self, answer: &Answer) -> Result<Option<Duration>, Error> {
        let wait = answer
            .asked_wait()
            .filter(|_| matches!(answer.status, 429 | 503));
        match wait {
            Some(seconds) if seconds > self.retry.longest_delay => Err(Error::Busy {
                host: answer.url.host_and_port(),
                status: answer.status,
                seconds,
                with_token: answer.with_token,
            }),
            wait => Ok(wait),
        }
    }

    /// Waits before the next try, or gives up with the error: one that does not pass, the last one
    /// that is allowed, or that a server which nobody has reached so far cannot be reached.
    pub(crate) fn failed(
        &mut self,
        error: Error,
        asked_wait: Option<Duration>,
        progress: &mut dyn Progress,
    ) -> Result<(), Error> {
        let is_unreachable = matches!(error, Error::NoNetwork { .. }) && !self.was_reached;
        if !error.is_passing() || is_unreachable {
            return Err(error);
        }
        self.failures += 1;
        self.requests += 1;
        if self.failures >= self.retry.failures || self.requests >= MOST_REQUESTS {
            return Err(Error::TooManyTries {
                what: self.name.to_string(),
                tries: self.requests,
                source: Box::new(error),
            });
        }
        let delay = self.delay().max(asked_wait.unwrap_or_default());
        progress.event(&Event::Retrying {
            name: self.name,
            failures: self.failures,
            delay,
            cause: &error,
        });
        pause(delay, self.name, progress)
    }

    fn delay(&self) -> Duration {
        let doublings = (self.failures - 1).min(20);
        let delay = self.retry.first_delay.saturating_mul(1 << doublings);
        delay.min(self.retry.longest_delay)
    }
}

/// Sleeps, unless the caller cancels.
pub(crate) fn pause(delay: Duration, name: &str, progress: &dyn Progress) -> Result<(), Error> {
    let begin = Instant::now();
    loop {
        if progress.is_cancelled() {
            return Err(Error::Cancelled {
                what: name.to_string(),
            });
        }
        let left = delay.saturating_sub(begin.elapsed());
        if left.is_zero() {
            return Ok(());
        }
        thread::sleep(left.min(STEP));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::Silent;

    fn cut() -> Error {
        Error::Cut {
            host: "h".into(),
            what: "x".into(),
            reason: "end".into(),
        }
    }

    #[test]
    fn delays_double_up_to_the_longest() {
        let retry = Retry {
            failures: 9,
            first_delay: Duration::from_millis(3),
            longest_delay: Duration::from_millis(10),
        };
        let mut tries = Tries::new(&retry, "x");
        let mut delays = Vec::new();
        let mut progress = |event: &Event<'_>| {
            if let Event::Retrying { delay, .. } = event {
                delays.push(delay.as_millis());
            }
        };
        for _ in 0..4 {
            tries.failed(cut(), None, &mut progress).unwrap();
        }
        assert_eq!(delays, [3, 6, 10, 10]);
    }

    #[test]
    fn tries_end_whether_or_not_bytes_come() {
        let retry = Retry {
            failures: 3,
            first_delay: Duration::ZERO,
            longest_delay: Duration::ZERO,
        };
        let mut tries = Tries::new(&retry, "x");
        let until_error = |tries: &mut Tries<'_>, advances: bool| {
            for number in 1.. {
                if tries.failed(cut(), None, &mut Silent).is_err() {
                    return number;
                }
                if advances {
                    tries.advanced();
                }
            }
            0
        };
        assert_eq!(until_error(&mut tries, false), 3);
        let mut tries = Tries::new(&retry, "x");
        assert_eq!(until_error(&mut tries, true), MOST_REQUESTS);
    }
}
