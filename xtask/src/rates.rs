//! The learning rate of each update of a run, from its `events.jsonl`.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use anyhow::{Context as _, Result};
use cnn_viz::RatePoint;
use serde::Deserialize;

/// What is read of a line.
#[derive(Deserialize)]
struct Line {
    event: String,
    #[serde(default)]
    epoch: usize,
    /// `null` where it was not finite.
    #[serde(default)]
    lr: Option<f64>,
}

/// The rates of the epochs that were completed; none where there is no such file.
pub(crate) fn read(path: &Path) -> Result<Vec<RatePoint>> {
    let Ok(file) = File::open(path) else {
        return Ok(Vec::new());
    };
    let cannot_read = || format!("cannot read {}", path.display());
    let mut points = Vec::new();
    let mut of_epoch = Vec::new();
    for line in BufReader::new(file).lines() {
        let line: Line =
            serde_json::from_str(&line.with_context(cannot_read)?).with_context(cannot_read)?;
        match line.event.as_str() {
            "update" => of_epoch.push(line.lr),
            "epoch" => {
                let updates = of_epoch.len() as f64;
                let before = line.epoch.saturating_sub(1) as f64;
                // A rate is that of the update's beginning.
                let point = |(number, lr): (usize, Option<f64>)| {
                    Some(RatePoint {
                        epochs: before + number as f64 / updates,
                        learning_rate: lr?,
                    })
                };
                points.extend(of_epoch.drain(..).enumerate().filter_map(point));
            }
            _ => {}
        }
    }
    Ok(points)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn updates_lie_evenly_within_their_epoch() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let update = |epoch: usize, lr: &str| {
            format!("{{\"event\":\"update\",\"epoch\":{epoch},\"lr\":{lr},\"step\":1}}\n")
        };
        let end =
            |epoch: usize| format!("{{\"event\":\"epoch\",\"epoch\":{epoch},\"metrics\":{{}}}}\n");
        let lines = [
            update(1, "0.1"),
            update(1, "null"),
            update(1, "0.3"),
            update(1, "0.4"),
            end(1),
        ];
        let others = [
            update(2, "0.5"),
            update(2, "0.25"),
            end(2),
            "{\"event\":\"other\"}\n".into(),
            update(3, "9"),
        ];
        std::fs::write(&path, [lines, others].concat().concat()).unwrap();
        let found: Vec<_> = read(&path)
            .unwrap()
            .iter()
            .map(|point| (point.epochs, point.learning_rate))
            .collect();
        assert_eq!(
            found,
            [(0., 0.1), (0.5, 0.3), (0.75, 0.4), (1., 0.5), (1.5, 0.25)]
        );
        assert_eq!(read(&folder.path().join("none")).unwrap(), []);
        std::fs::write(&path, "no json\n").unwrap();
        assert!(format!("{:#}", read(&path).unwrap_err()).contains("events.jsonl"));
    }
}
