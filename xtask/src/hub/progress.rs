//! What downloads show.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use cnn_hub::{Event, Progress, Transferred};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// `46.80 MB`.
pub(crate) fn bytes(count: u64) -> String {
    indicatif::DecimalBytes(count).to_string()
}

/// Shows transfers on standard error: a bar on a terminal, a plain line every few seconds elsewhere.
pub(crate) struct Transfers {
    verb: &'static str,
    bar: Option<ProgressBar>,
    last_line: Option<Instant>,
}

const BETWEEN_LINES: Duration = Duration::from_secs(5);

impl Transfers {
    pub(crate) fn downloading() -> Self {
        Self::of("download")
    }

    pub(crate) fn uploading() -> Self {
        Self::of("upload")
    }

    fn of(verb: &'static str) -> Self {
        Self {
            verb,
            bar: None,
            last_line: None,
        }
    }

    fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{line}")),
            None => eprintln!("{line}"),
        }
    }

    fn begin(&mut self, name: &str, total: Option<u64>, resumed_from: u64) {
        self.finish();
        let size = total.map_or_else(|| "size not known".to_string(), bytes);
        let resumed = match resumed_from {
            0 => String::new(),
            there => format!(", {} of it are there", bytes(there)),
        };
        eprintln!("{}ing {name} ({size}{resumed})", self.verb);
        self.last_line = Some(Instant::now());
        if !std::io::stderr().is_terminal() {
            return;
        }
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{bar:30} {msg}") {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_position(resumed_from);
        self.bar = Some(bar);
    }

    fn show(&mut self, transfer: &Transferred<'_>) {
        let of = transfer
            .total
            .map_or_else(String::new, |total| format!(" of {}", bytes(total)));
        let left = transfer.remaining().map_or_else(String::new, |left| {
            format!(", {} left", indicatif::HumanDuration(left))
        });
        let rate = bytes(transfer.rate as u64);
        let line = format!("{}{of}, {rate}/s{left}", bytes(transfer.done));
        if let Some(bar) = &self.bar {
            bar.set_position(transfer.done);
            bar.set_message(line);
        } else if self.is_time_for_a_line() {
            eprintln!("{}: {line}", transfer.name);
        }
    }

    fn show_unpacking(&mut self, name: &str, files: u64) {
        if self.is_time_for_a_line() {
            eprintln!("unpacking {name}: {files} files");
        }
    }

    fn is_time_for_a_line(&mut self) -> bool {
        let is_time = self
            .last_line
            .is_none_or(|last| last.elapsed() >= BETWEEN_LINES);
        if is_time {
            self.last_line = Some(Instant::now());
        }
        is_time
    }

    pub(crate) fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl Progress for Transfers {
    fn event(&mut self, event: &Event<'_>) {
        match event {
            Event::Started {
                name,
                total,
                resumed_from,
            } => self.begin(name, *total, *resumed_from),
            Event::Bytes(transfer) => self.show(transfer),
            Event::Finished { name, bytes: size } => {
                self.finish();
                eprintln!("{}ed {name} ({})", self.verb, bytes(*size));
            }
            Event::Present { name, bytes: size } => {
                self.say(&format!("{name} ({}) is there already", bytes(*size)))
            }
            Event::Unpacked { name, files, .. } => self.show_unpacking(name, *files),
            Event::Retrying {
                name, delay, cause, ..
            } => self.say(&format!(
                "note: {name}: {cause}; trying again in {} s",
                delay.as_secs_f64().ceil()
            )),
            Event::Restarted { name, reason } => {
                self.say(&format!("note: {name} begins anew: {reason}"));
            }
            Event::Waiting { name, .. } => {
                self.say(&format!(
                    "another process {}s {name}: waiting for it",
                    self.verb
                ));
            }
            Event::Renamed { from, to } => {
                self.say(&format!("note: {from} is called {to} now"));
            }
            Event::FromCache { name, cause } => self.say(&format!(
                "note: {name} is taken as it was downloaded before: {cause}"
            )),
            _ => {}
        }
    }
}
