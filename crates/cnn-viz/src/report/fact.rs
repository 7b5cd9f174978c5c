//! A name with its value.

use serde::Serialize;

/// One thing to know, such as "val accuracy: 93.5 %".
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Fact {
    /// What it is.
    pub name: String,
    /// Its value with its unit, as it is to be read.
    pub value: String,
    /// A line of small print below it, such as the interval.
    pub note: Option<String>,
}

impl Fact {
    /// A fact without small print.
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            value: value.into(),
            note: None,
        }
    }

    /// The same with a line of small print.
    #[must_use]
    pub fn with_note(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into());
        self
    }
}
