//! What the commands print: one JSON object on standard output, or text for people; progress on
//! standard error.

use std::borrow::Cow;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use cnn_core::RunDir;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use crate::os_text;

/// `std`'s macro panics once nobody reads any more, as after `| head`. This one goes on without
/// output, and shows control characters of names as text.
macro_rules! println {
    () => { $crate::output::line(&mut std::io::stdout().lock(), "") };
    ($($text:tt)*) => { $crate::output::line(&mut std::io::stdout().lock(), &format!($($text)*)) };
}

/// As [`println!`], on standard error.
macro_rules! eprintln {
    ($($text:tt)*) => { $crate::output::line(&mut std::io::stderr().lock(), &format!($($text)*)) };
}

/// Writes a line, if anybody reads.
pub(crate) fn line(stream: &mut dyn std::io::Write, text: &str) {
    // There is nobody to tell.
    let _ = writeln!(stream, "{}", shown(text));
}

/// A text whose control characters other than new lines and tabs are written as `\u{1b}`: names of
/// files and classes come from strangers, and must not drive the terminal.
pub(crate) fn shown(text: &str) -> Cow<'_, str> {
    let drives = |letter: char| letter.is_control() && letter != '\n' && letter != '\t';
    if !text.contains(|letter| drives(letter) || os_text::is_shown_as_sign(letter)) {
        return Cow::Borrowed(text);
    }
    let letters = text.chars().map(|letter| match letter {
        letter if drives(letter) => letter.escape_default().to_string(),
        letter if os_text::is_shown_as_sign(letter) => char::REPLACEMENT_CHARACTER.to_string(),
        letter => letter.to_string(),
    });
    Cow::Owned(letters.collect())
}

/// How this program is called: `cargo xtask` in a checkout, else by its name.
pub(crate) fn program() -> &'static str {
    // What cargo tells the program that it runs.
    let by_cargo =
        std::env::var_os("CARGO_PKG_NAME").is_some_and(|package| package == env!("CARGO_PKG_NAME"));
    if by_cargo {
        "cargo xtask"
    } else {
        env!("CARGO_BIN_NAME")
    }
}

/// An argument as a shell reads it.
pub(crate) fn quoted(argument: &str) -> String {
    let is_special =
        |letter: char| letter.is_whitespace() || "'\"$&|;<>*?`\\(){}[]!#~".contains(letter);
    if argument.is_empty() || argument.contains(is_special) {
        format!("'{}'", argument.replace('\'', r"'\''"))
    } else {
        argument.to_string()
    }
}

/// Prints one JSON value on standard output.
pub(crate) fn json(value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value)?;
    println!("{text}");
    Ok(())
}

/// Where a command writes its files: `out`, which is made where it does not exist, or a new run
/// directory.
pub(crate) fn directory(out: Option<&Path>, command: &str, name: &str) -> Result<PathBuf> {
    let Some(directory) = out else {
        return Ok(RunDir::create(Path::new("runs"), command, name)?
            .path()
            .to_path_buf());
    };
    std::fs::create_dir_all(directory)
        .with_context(|| format!("cannot create {}", directory.display()))?;
    Ok(directory.to_path_buf())
}

/// Columns of a table: `(title, right-aligned)`.
pub(crate) fn table(columns: &[(&str, bool)], rows: &[Vec<String>]) -> Result<()> {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells
            .chain([columns[column].0.chars().count()])
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let mut stdout = std::io::stdout().lock();
    let titles = columns.iter().map(|(title, _)| title.to_string()).collect();
    for row in std::iter::once(&titles).chain(rows) {
        let cell = |(column, cell): (usize, &String)| {
            if columns[column].1 {
                format!("{cell:>0$}", widths[column])
            } else {
                format!("{cell:<0$}", widths[column])
            }
        };
        let cells = row.iter().enumerate().map(cell).collect::<Vec<_>>();
        line(&mut stdout, cells.join("  ").trim_end());
    }
    Ok(())
}

/// Progress over a number of images: a bar on a terminal, a plain line every ten seconds elsewhere.
pub(crate) struct Progress {
    bar: ProgressBar,
    what: String,
    unit: &'static str,
    total: usize,
    /// When the last plain line was written, and where the count stood.
    last: (Instant, u64),
}

const BETWEEN_LINES: Duration = Duration::from_secs(10);

impl Progress {
    pub(crate) fn new(what: &str, total: usize) -> Self {
        let bar = ProgressBar::new(total as u64);
        bar.set_style(style("images"));
        bar.set_message(what.to_string());
        if !std::io::stderr().is_terminal() {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        Self {
            bar,
            what: what.to_string(),
            unit: "images",
            total,
            last: (Instant::now(), 0),
        }
    }

    /// The same counting something else than images.
    pub(crate) fn of(self, unit: &'static str) -> Self {
        self.bar.set_style(style(unit));
        Self { unit, ..self }
    }

    pub(crate) fn advance(&mut self, images: usize) {
        self.bar.inc(images as u64);
        if self.bar.is_hidden()
            && let Some(rate) = recent_rate(&mut self.last, Instant::now(), self.bar.position())
        {
            let done = self.bar.position();
            let unit = self.unit;
            eprintln!(
                "{} {done}/{} {unit}, {} {unit}/s",
                self.what,
                self.total,
                significant(rate)
            );
        }
    }

    /// Counts what was done before the clock began, which is no part of the rate.
    pub(crate) fn skip(&mut self, images: usize) {
        self.bar.inc(images as u64);
        self.bar.reset_eta();
        self.last = (Instant::now(), self.bar.position());
    }

    /// How far the next of what is counted has come.
    pub(crate) fn within(&mut self, part: &str, done: usize, total: usize) {
        self.bar
            .set_message(format!("{} {part} {done}/{total}", self.what));
        let position = self.bar.position();
        if self.bar.is_hidden() && recent_rate(&mut self.last, Instant::now(), position).is_some() {
            eprintln!(
                "{} {position}/{} {}, {part} {done}/{total} images",
                self.what, self.total, self.unit
            );
        }
    }

    /// Prints a line above the bar.
    pub(crate) fn println(&self, line: &str) {
        self.bar.suspend(|| eprintln!("{line}"));
    }

    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// What was counted per second since the last line, where another one is due: of the recent past,
/// as a pass may have begun slowly.
fn recent_rate(last: &mut (Instant, u64), now: Instant, position: u64) -> Option<f64> {
    let (since, counted) = *last;
    let elapsed = now.duration_since(since);
    (elapsed > BETWEEN_LINES).then(|| {
        *last = (now, position);
        (position - counted) as f64 / elapsed.as_secs_f64()
    })
}

fn style(unit: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(&format!(
        "{{msg}} {{bar:30}} {{pos}}/{{len}} {unit}, {{per_sec}}, {{eta}} left"
    ));
    style.expect("the template is valid").progress_chars("=> ")
}

/// Three significant digits, as `0.00198`, `5e-5`, `1230`.
pub(crate) fn significant(number: f64) -> String {
    let rounded: f64 = format!("{number:.2e}").parse().unwrap_or(number);
    match rounded.abs() {
        size if size > 0. && size < 1e-3 => format!("{rounded:e}"),
        _ => format!("{rounded}"),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits() {
        let table = [
            (0., "0"),
            (0.1, "0.1"),
            (0.099_345, "0.0993"),
            (0.001_984_2, "0.00198"),
            (0.000_999_9, "0.001"),
            (0.000_05, "5e-5"),
            (1.234_5e-7, "1.23e-7"),
            (48.96, "49"),
            (12_345.6, "12300"),
        ];
        for (number, text) in table {
            assert_eq!(significant(number), text);
        }
    }

    #[test]
    fn a_rate_is_that_since_the_last_line() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut last = (start, 0);
        assert_eq!(recent_rate(&mut last, at(9), 30), None);
        assert_eq!(recent_rate(&mut last, at(20), 40), Some(2.));
        assert_eq!(recent_rate(&mut last, at(25), 400), None);
        assert_eq!(recent_rate(&mut last, at(40), 1040), Some(50.));
    }
}
