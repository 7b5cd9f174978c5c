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

    /// Whether something is so, as `true` and `false` or as 1 and 0; `None` if nothing is said of it.
    ///
    /// # Errors
    /// [`Error::Argument`] with the value.
    pub fn flag(&mut self, name: &'static str) -> Result<Option<bool>, Error> {
        let Some(value) = self.value(name) else {
            return Ok(None);
        };
        let said = value.as_bool().or_else(|| match value.as_f64()? {
            1. => Some(true),
            0. => Some(false),
            _ => None,
        });
        match said {
            Some(said) => Ok(Some(said)),
            None => self.refuse(name, value, "true or false".to_string()),
        }
    }

    /// A whole number in a range; `None` if nothing is said of it.
    ///
    /// # Errors
    /// [`Error::Argument`] with the value and the range.
    pub fn count(
        &mut self,
        name: &'static str,
        range: RangeInclusive<usize>,
    ) -> Result<Option<usize>, Error> {
        let Some(value) = self.value(name) else {
            return Ok(None);
        };
        // As a float, too: what is said on a command line may be one.
        let whole = value.as_f64().filter(|number| number.fract() == 0.);
        match whole.map(|number| number as usize) {
            Some(number) if range.contains(&number) => Ok(Some(number)),
            _ => {
                let (low, high) = range.into_inner();
                self.refuse(name, value, format!("a whole number from {low} to {high}"))
            }
        }
    }

    /// A text; `None` if nothing is said of it.
    ///
    /// # Errors
    /// [`Error::Argument`] with the value.
    pub fn text(&mut self, name: &'static str) -> Result<Option<&'a str>, Error> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => self.refuse(name, other, "a text".to_string()),
        }
    }

    /// An object of its own; `None` if nothing is said of it.
    ///
    /// # Errors
    /// [`Error::Argument`] with the value.
    pub fn object(&mut self, name: &'static str) -> Result<Option<Map<String, Value>>, Error> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::Object(object)) => Ok(Some(object.clone())),
            Some(other) => self.refuse(name, other, "an object".to_string()),
        }
    }

    /// timm's `output_stride`: how many times smaller than the image the maps are at most, 8, 16 or
    /// 32; strides that would go beyond become dilations. `usize::MAX` if nothing is said of it.
    ///
    /// # Errors
    /// [`Error::Argument`] with the value.
    pub fn output_stride(&mut self) -> Result<usize, Error> {
        let name = "output_stride";
        let Some(value) = self.value(name) else {
            return Ok(usize::MAX);
        };
        match value.as_f64() {
            Some(8.) => Ok(8),
            Some(16.) => Ok(16),
            Some(32.) => Ok(32),
            _ => self
                .refuse(name, value, "8, 16 or 32".to_string())
                .map(|none| none.unwrap_or(usize::MAX)),
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
