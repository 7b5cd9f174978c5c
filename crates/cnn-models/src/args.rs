//! Reading what a configuration says to one family.

use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use crate::Error;

/// Reads [`ModelConfig::args`](crate::ModelConfig::args) for a family and remembers what it asked
/// for, so that the rest can be refused. [`ModelConfig::read_args`](crate::ModelConfig::read_args)
/// makes it.
#[derive(Debug)]
pub struct ArgReader<'a> {
    family: &'static str,
    args: &'a Map<String, Value>,
    known: Vec<&'static str>,
}

impl<'a> ArgReader<'a> {
    pub(crate) fn new(family: &'static str, args: &'a Map<String, Value>) -> Self {
        Self {
            family,
            args,
            known: Vec::new(),
        }
    }

    /// A number in a range; `None` if nothing is said of it.
    ///
    /// # Errors
    /// [`Error::Argument`] with the value and the range.
    pub fn number(
        &mut self,
        name: &'static str,
        range: RangeInclusive<f64>,
    ) -> Result<Option<f64>, Error> {
        let Some(value) = self.value(name) else {
            return Ok(None);
        };
        match value.as_f64().filter(|number| range.contains(number)) {
            Some(number) => Ok(Some(number)),
            None => {
                let (low, high) = range.into_inner();
                self.refuse(name, value, format!("a number from {low} to {high}"))
            }
        }
    }

    /// A probability, from 0 to 1; `None` if nothing is said of it.
    ///
    /// # Errors
    /// As [`ArgReader::number`].
    pub fn probability(&mut self, name: &'static str) -> Result<Option<f64>, Error> {
        self.number(name, 0.0..=1.)
    }

    /// True or false; `None` if nothing is said of it.
    ///
    /// # Errors
    /// [`Error::Argument`] with the value.
    pub fn flag(&mut self, name: &'static str) -> Result<Option<bool>, Error> {
        let Some(value) = self.value(name) else {
            return Ok(None);
        };
        match value.as_bool() {
            Some(flag) => Ok(Some(flag)),
            None => self.refuse(name, value, "true or false".to_string()),
        }
    }

    /// One of several words; `None` if nothing is said of it.
    ///
    /// # Errors
    /// [`Error::Argument`] with the value and the words.
    pub fn choice(
        &mut self,
        name: &'static str,
        words: &[&'static str],
    ) -> Result<Option<&'static str>, Error> {
        let Some(value) = self.value(name) else {
            return Ok(None);
        };
        let chosen = value
            .as_str()
            .and_then(|said| words.iter().find(|&&word| word == said));
        match chosen {
            Some(&word) => Ok(Some(word)),
            None => {
                let words: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
                self.refuse(name, value, words.join(" or "))
            }
        }
    }

    /// Refuses what was not asked for.
    pub(crate) fn finish(self) -> Result<(), Error> {
        let unknown = self
            .args
            .keys()
            .find(|key| !self.known.contains(&key.as_str()));
        let Some(name) = unknown else {
            return Ok(());
        };
        Err(Error::UnknownArgument {
            family: self.family,
            name: name.clone(),
            suggestion: cnn_core::did_you_mean(name, self.known.iter().copied()),
            accepted: match self.known.as_slice() {
                [] => "none".to_string(),
                known => known.join(", "),
            },
        })
    }

    fn value(&mut self, name: &'static str) -> Option<&'a Value> {
        self.known.push(name);
        self.args.get(name).filter(|value| !value.is_null())
    }

    fn refuse<T>(
        &self,
        what: &'static str,
        value: &Value,
        expected: String,
    ) -> Result<Option<T>, Error> {
        Err(Error::Argument {
            model: self.family,
            what,
            found: value.to_string(),
            expected,
        })
    }
}
