//! Choices with settings, as people write them: `step:every=10,gamma=0.5`,
//! `sgd:momentum=0.9,nesterov`.

use std::fmt;

use cnn_core::did_you_mean;

use crate::Error;

/// A setting that text may change.
pub(crate) enum Setting<'a> {
    Number(&'a mut f64),
    Count(&'a mut usize),
    /// A number, or `none`.
    OptionalNumber(&'a mut Option<f64>),
    /// Numbers joined by `+`.
    List(&'a mut Vec<f64>),
    /// Numbers joined by `+`, or `none`.
    OptionalList(&'a mut Option<Vec<f64>>),
    /// Whole numbers joined by `+`, or `none`.
    Indices(&'a mut Option<Vec<usize>>),
    /// Two numbers joined by `-`, or `none`.
    Range(&'a mut Option<[f64; 2]>),
    /// On where it is named.
    Flag(&'a mut bool),
}

/// A choice by name, with settings that each have a name.
pub(crate) trait Choice: Sized + Clone {
    /// What is chosen, as errors call it.
    const WHAT: &'static str;

    /// The choice of this name, with its defaults.
    fn with_defaults(name: &str) -> Result<Self, Error>;

    /// Its name and its settings.
    fn settings(&mut self) -> (&'static str, Vec<(&'static str, Setting<'_>)>);

    /// Checks the ranges.
    fn check(&self) -> Result<(), Error>;

    /// Reads `name`, or `name:key=value,key=value`; what is not set keeps its default, and keys may
    /// be written with `-` for `_`.
    fn read(text: &str) -> Result<Self, Error> {
        let (name, parts) = text
            .split_once(':')
            .map_or((text, None), |(name, parts)| (name, Some(parts)));
        let mut choice = Self::with_defaults(name.trim()).map_err(|unknown| {
            if name.contains([',', '=']) {
                Error::argument(
                    Self::WHAT,
                    format!("`{text}`"),
                    "a name, or `NAME:KEY=VALUE,KEY=VALUE`",
                )
            } else {
                unknown
            }
        })?;
        for part in parts
            .into_iter()
            .flat_map(|parts| parts.split(','))
            .map(str::trim)
        {
            let (name, settings) = choice.settings();
            let (key, value) = part
                .split_once('=')
                .map_or((part, None), |(key, value)| (key, Some(value)));
            let key = key.replace('-', "_");
            let keys: Vec<&str> = settings.iter().map(|(key, _)| *key).collect();
            let Some((_, setting)) = settings.into_iter().find(|(known, _)| *known == key) else {
                let accepted = if keys.is_empty() {
                    "no settings".to_string()
                } else {
                    keys.join(", ")
                };
                let accepted = format!("{accepted}{}", did_you_mean(&key, keys));
                return Err(Error::argument(
                    Self::WHAT,
                    format!("`{part}` of `{name}`"),
                    accepted,
                ));
            };
            let fault = |accepted: &str| {
                Error::argument(Self::WHAT, format!("`{part}` of `{name}`"), accepted)
            };
            setting
                .set(value)
                .map_err(|example| fault(&format!("`{key}{example}")))?;
        }
        choice.check()?;
        Ok(choice)
    }

    /// Writes name and settings, as [`read`](Self::read) takes them.
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut copy = self.clone();
        let (name, settings) = copy.settings();
        f.write_str(name)?;
        let written = settings
            .into_iter()
            .filter_map(|(key, setting)| match setting {
                Setting::Number(value) => Some(format!("{key}={}", number(*value))),
                Setting::Count(value) => Some(format!("{key}={value}")),
                Setting::OptionalNumber(Some(value)) => Some(format!("{key}={}", number(*value))),
                Setting::List(values) | Setting::OptionalList(Some(values)) => {
                    Some(format!("{key}={}", numbers(values)))
                }
                Setting::Indices(Some(values)) => {
                    let values: Vec<String> = values.iter().map(usize::to_string).collect();
                    Some(format!("{key}={}", values.join("+")))
                }
                Setting::OptionalNumber(None)
                | Setting::OptionalList(None)
                | Setting::Indices(None)
                | Setting::Range(None) => Some(format!("{key}=none")),
                Setting::Range(Some([low, high])) => Some(format!("{key}={low}-{high}")),
                Setting::Flag(is_on) => is_on.then(|| key.to_string()),
            });
        for (place, setting) in written.enumerate() {
            write!(f, "{}{setting}", if place == 0 { ':' } else { ',' })?;
        }
        Ok(())
    }
}

impl Setting<'_> {
    /// Takes a value; the error is what may follow the key, with the closing quotation mark.
    fn set(self, value: Option<&str>) -> Result<(), &'static str> {
        fn read<T: std::str::FromStr>(value: &str) -> Option<T> {
            value.trim().parse().ok()
        }
        fn list<T: std::str::FromStr>(value: &str) -> Option<Vec<T>> {
            if value.is_empty() {
                Some(Vec::new())
            } else {
                value.split('+').map(read).collect()
            }
        }
        fn or_none<T>(value: &str, read: impl Fn(&str) -> Option<T>) -> Option<Option<T>> {
            if value == "none" {
                Some(None)
            } else {
                read(value).map(Some)
            }
        }
        fn put<T>(place: &mut T, value: Option<T>) -> Option<()> {
            *place = value?;
            Some(())
        }
        let (done, example) = match self {
            Self::Number(place) => (put(place, value.and_then(read)), "=NUMBER`"),
            Self::Count(place) => (put(place, value.and_then(read)), "=COUNT`, a whole number"),
            Self::OptionalNumber(place) => (
                put(place, value.and_then(|value| or_none(value, read))),
                "=NUMBER`, or `none`",
            ),
            Self::List(place) => (
                put(place, value.and_then(list)),
                "=NUMBERS`, joined by `+` as in 30+60",
            ),
            Self::OptionalList(place) => (
                put(place, value.and_then(|value| or_none(value, list))),
                "=NUMBERS`, joined by `+` as in 1+2.5, or `none`",
            ),
            Self::Indices(place) => (
                put(place, value.and_then(|value| or_none(value, list))),
                "=NUMBERS`, whole ones, joined by `+` as in 1+2, or `none`",
            ),
            Self::Range(place) => {
                let range = value.and_then(|value| match value.split_once('-') {
                    Some((low, high)) => Some(Some([read(low)?, read(high)?])),
                    None => (value == "none").then_some(None),
                });
                (put(place, range), "=LOW-HIGH`, as 0.85-0.95, or `none`")
            }
            Self::Flag(place) => (
                put(place, value.is_none().then_some(true)),
                "` without a value",
            ),
        };
        done.ok_or(example)
    }
}

/// Numbers joined by `+`.
pub(crate) fn numbers(values: &[f64]) -> String {
    let values: Vec<String> = values.iter().map(|value| number(*value)).collect();
    values.join("+")
}

/// The shortest text that reads as this number.
pub(crate) fn number(value: f64) -> String {
    if value != 0. && value.abs() < 1e-3 {
        format!("{value:e}")
    } else {
        value.to_string()
    }
}
