//! What the commands print: one JSON object on standard output, or text for people; progress on standard error.

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use cnn_core::RunDir;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

/// How this program is called: `cargo xtask` in a checkout, else by its name.
pub(crate) fn program() -> &'static str {
    // What cargo tells the program that it runs.
    let by_cargo = std::env::var_os("CARGO_PKG_NAME").is_some_and(|package| package == env!("CARGO_PKG_NAME"));
    if by_cargo { "cargo xtask" } else { env!("CARGO_BIN_NAME") }
}

/// An argument as a shell reads it.
pub(crate) fn quoted(argument: &str) -> String {
    let is_special = |letter: char| letter.is_whitespace() || "'\"$&|;<>*?`\\(){}[]!#~".contains(letter);
    if argument.is_empty() || argument.contains(is_special) {
        format!("'{}'", argument.replace('\'', r"'\''"))
    } else {
        argument.to_string()
    }
}

/// Prints one JSON value on standard output.
pub(crate) fn json(value: &impl Serialize) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    serde_json::to_writer_pretty(&mut stdout, value)?;
    writeln!(stdout)?;
    Ok(())
}

/// Where a command writes its files: `out`, which is made where it does not exist, or a new run directory.
pub(crate) fn directory(out: Option<&Path>, command: &str, name: &str) -> Result<PathBuf> {
    let Some(directory) = out else {
        return Ok(RunDir::create(Path::new("runs"), command, name)?.path().to_path_buf());
    };
    std::fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))?;
    Ok(directory.to_path_buf())
}

/// Columns of a table: `(title, right-aligned)`.
pub(crate) fn table(columns: &[(&str, bool)], rows: &[Vec<String>]) -> Result<()> {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([columns[column].0.chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let mut stdout = std::io::stdout().lock();
    let titles = columns.iter().map(|(title, _)| title.to_string()).collect();
    for row in std::iter::once(&titles).chain(rows) {
        let cell = |(column, cell): (usize, &String)| match columns[column].1 {
            true => format!("{cell:>0$}", widths[column]),
            false => format!("{cell:<0$}", widths[column]),
        };
        writeln!(stdout, "{}", row.iter().enumerate().map(cell).collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}

/// Progress over a number of images: a bar on a terminal, a plain line every ten seconds elsewhere.
pub(crate) struct Progress {
    bar: ProgressBar,
    what: &'static str,
    unit: &'static str,
    total: usize,
    start: Instant,
    last: Instant,
}

impl Progress {
    pub(crate) fn new(what: &'static str, total: usize) -> Self {
        let bar = ProgressBar::new(total as u64);
        bar.set_style(style("images"));
        bar.set_message(what);
        if !std::io::stderr().is_terminal() {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        let start = Instant::now();
        Self { bar, what, unit: "images", total, start, last: start }
    }

    /// The same counting something else than images.
    pub(crate) fn of(self, unit: &'static str) -> Self {
        self.bar.set_style(style(unit));
        Self { unit, ..self }
    }

    pub(crate) fn advance(&mut self, images: usize) {
        self.bar.inc(images as u64);
        if self.bar.is_hidden() && self.last.elapsed() > Duration::from_secs(10) {
            self.last = Instant::now();
            let (done, rate) = (self.bar.position(), self.rate());
            eprintln!("{} {done}/{} {unit}, {rate:.0} {unit}/s", self.what, self.total, unit = self.unit);
        }
    }

    /// How far the next of what is counted has come.
    pub(crate) fn within(&mut self, part: &str, done: usize, total: usize) {
        self.bar.set_message(format!("{} {part} {done}/{total}", self.what));
        if self.bar.is_hidden() && self.last.elapsed() > Duration::from_secs(10) {
            self.last = Instant::now();
            eprintln!(
                "{} {}/{} {}, {part} {done}/{total} images",
                self.what,
                self.bar.position(),
                self.total,
                self.unit
            );
        }
    }

    /// Images per second so far.
    pub(crate) fn rate(&self) -> f64 {
        self.bar.position() as f64 / self.start.elapsed().as_secs_f64().max(1e-9)
    }

    /// Prints a line above the bar.
    pub(crate) fn println(&self, line: &str) {
        self.bar.suspend(|| eprintln!("{line}"));
    }

    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

fn style(unit: &str) -> ProgressStyle {
    let style =
        ProgressStyle::with_template(&format!("{{msg}} {{bar:30}} {{pos}}/{{len}} {unit}, {{per_sec}}, {{eta}} left"));
    style.expect("the template is valid").progress_chars("=> ")
}

/// `3505k`, `3.5M`-like short numbers.
pub(crate) fn short(number: f64) -> String {
    match number {
        n if n >= 1e9 => format!("{:.2}G", n / 1e9),
        n if n >= 1e6 => format!("{:.2}M", n / 1e6),
        n if n >= 1e3 => format!("{:.1}k", n / 1e3),
        n => format!("{n}"),
    }
}
