//! Every domain of a folder to every other one.

use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use cnn_viz::{FileLink, ReportSection, ReportTable, TableColumn};
use serde_json::{Value, json};

use super::{Adapt, COMMAND, said};
use crate::args::Unusable;
use crate::report::NAME as PAGE;
use crate::training::save_arguments;
use crate::{os_text, output, report};

/// One source and one target.
struct Pair {
    source: String,
    target: String,
}

impl Pair {
    /// Of its folder in the run directory.
    fn name(&self) -> String {
        format!("{}-to-{}", self.source, self.target)
    }
}

/// Adapts each pair in a directory of its own, or goes on where they stand.
pub(super) fn run(command: &Adapt, folder: &str, directory: Option<&Path>) -> Result<()> {
    let folder = os_text::path(folder);
    let pairs = pairs(command, &names(&folder)?)?;
    let directory = match directory {
        Some(directory) => directory.to_path_buf(),
        None => command.new_directory("domains")?,
    };
    save_arguments(command, &directory)?;
    let mut summaries = Vec::new();
    for pair in &pairs {
        let of_pair = directory.join(pair.name());
        std::fs::create_dir_all(&of_pair).with_context(|| of_pair.display().to_string())?;
        let path = |name: &str| os_text::text(folder.join(name).as_os_str());
        let command = Adapt {
            source: path(&pair.source),
            target: path(&pair.target),
            domains: None,
            all_pairs: Some(directory.clone()),
            ..command.clone()
        };
        eprintln!("{}:", pair.name());
        let concluded = command.run_pair(Some(&of_pair));
        summaries.push(concluded.with_context(|| pair.name())?.summary);
    }
    let table = Table::of(&pairs, &summaries);
    let summary = json!({
        "run_dir": directory,
        "means": table.means(),
        "pairs": summaries,
    });
    said::save(&summary, &directory)?;
    write_report(command, &pairs, &table, &directory)?;
    if command.json {
        return output::json(&summary);
    }
    table.print()?;
    println!("run directory: {}", directory.display());
    println!("report: {}", directory.join(PAGE).display());
    Ok(())
}

/// The folders there, in order.
fn names(folder: &Path) -> Result<Vec<String>> {
    let cannot_read = || format!("--domains: cannot read {}", folder.display());
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(cannot_read)? {
        let path = entry.with_context(cannot_read)?.path();
        let name = path.file_name().map(os_text::text).unwrap_or_default();
        if path.is_dir() && !name.starts_with('.') {
            names.push(name);
        }
    }
    names.sort();
    if names.len() < 2 {
        let message = format!(
            "--domains: {} has {} folders; at least two are needed, one for each domain",
            folder.display(),
            names.len()
        );
        return Err(anyhow!(message).context(Unusable));
    }
    Ok(names)
}

/// All ordered pairs, of the source and the target that the command line may name.
fn pairs(command: &Adapt, names: &[String]) -> Result<Vec<Pair>> {
    let chosen = |flag: &str, name: &str| {
        if name.is_empty() {
            return Ok(names.to_vec());
        }
        if names.iter().any(|known| known == name) {
            return Ok(vec![name.to_string()]);
        }
        let all = names.join(", ");
        Err(anyhow!("{flag}: there is no domain {name} but {all}").context(Unusable))
    };
    let sources = chosen("--source", &command.source)?;
    let targets = chosen("--target", &command.target)?;
    let pairs = sources.iter().flat_map(|source| {
        let others = targets.iter().filter(move |target| *target != source);
        others.map(move |target| Pair {
            source: source.clone(),
            target: target.clone(),
        })
    });
    let pairs: Vec<Pair> = pairs.collect();
    if pairs.is_empty() {
        let message = "--source and --target name the same domain";
        return Err(anyhow!(message).context(Unusable));
    }
    Ok(pairs)
}

/// How often each method is right on the target of each pair.
struct Table {
    methods: Vec<String>,
    rows: Vec<Row>,
}

/// Of one pair; `None` where its target has no labels.
struct Row {
    pair: String,
    shares: Vec<Option<f64>>,
}

impl Table {
    fn of(pairs: &[Pair], summaries: &[Value]) -> Self {
        let mut methods: Vec<String> = Vec::new();
        let of_pair = |summary: &Value| {
            let outcomes = summary["methods"].as_array().cloned().unwrap_or_default();
            let oracle = Some(summary["oracle"].clone()).filter(|oracle| !oracle.is_null());
            outcomes.into_iter().chain(oracle).collect::<Vec<_>>()
        };
        let name = |outcome: &Value| outcome["method"].as_str().unwrap_or_default().to_string();
        for outcome in summaries.iter().flat_map(of_pair) {
            if !methods.contains(&name(&outcome)) {
                methods.push(name(&outcome));
            }
        }
        let rows = pairs.iter().zip(summaries).map(|(pair, summary)| {
            let outcomes = of_pair(summary);
            let share = |method: &String| {
                let outcome = outcomes.iter().find(|outcome| name(outcome) == *method);
                outcome.and_then(|outcome| outcome["target_top1"].as_f64())
            };
            Row {
                pair: pair.name(),
                shares: methods.iter().map(share).collect(),
            }
        });
        Self {
            rows: rows.collect(),
            methods,
        }
    }

    /// The mean of each method over the pairs; `None` unless all of them were measured.
    fn mean(&self, method: usize) -> Option<f64> {
        let shares: Option<Vec<f64>> = self.rows.iter().map(|row| row.shares[method]).collect();
        shares.map(|shares| shares.iter().sum::<f64>() / self.rows.len() as f64)
    }

    fn means(&self) -> Value {
        let methods = self.methods.iter().enumerate();
        let of = |(place, name): (usize, &String)| json!({ "method": name, "target_top1": self.mean(place) });
        methods.map(of).collect()
    }

    /// A row for each pair, and one of the means.
    fn shown(&self) -> Vec<Vec<String>> {
        let cell = |share: Option<f64>| share.map_or_else(|| "-".to_string(), said::percent);
        let row = |name: &str, shares: &mut dyn Iterator<Item = Option<f64>>| {
            let cells = std::iter::once(name.to_string()).chain(shares.map(cell));
            cells.collect::<Vec<_>>()
        };
        let rows = self.rows.iter();
        let rows = rows.map(|pair| row(&pair.pair, &mut pair.shares.iter().copied()));
        let mut means = (0..self.methods.len()).map(|method| self.mean(method));
        let mut all: Vec<Vec<String>> = rows.collect();
        all.push(row("mean", &mut means));
        all
    }

    fn print(&self) -> Result<()> {
        let methods = self.methods.iter().map(|name| (name.as_str(), true));
        let columns: Vec<(&str, bool)> = [("target right %", false)]
            .into_iter()
            .chain(methods)
            .collect();
        output::table(&columns, &self.shown())
    }
}

/// A page with the table and a link to that of each pair.
fn write_report(command: &Adapt, pairs: &[Pair], table: &Table, directory: &Path) -> Result<()> {
    let title = format!("{} pairs of domains", pairs.len());
    let mut page = report::of_directory(COMMAND, title, directory)?;
    page.files.extend(pairs.iter().map(|pair| FileLink {
        path: format!("{}/{PAGE}", pair.name()),
        about: format!("the report from {} to {}", pair.source, pair.target),
    }));
    let methods = table
        .methods
        .iter()
        .map(|name| TableColumn::number(name.clone()));
    let columns = std::iter::once(TableColumn::text("pair")).chain(methods);
    page.sections = vec![ReportSection {
        title: "Target right, in per cent".to_string(),
        notes: vec![format!(
            "Each network learns from the labels of the first domain, and is asked about the second. \
             The epoch was chosen by {}, without labels of that; the oracle learns from these.",
            command.validator
        )],
        tables: vec![ReportTable {
            columns: columns.collect(),
            rows: table.shown(),
            marked: vec![table.rows.len()],
            ..ReportTable::default()
        }],
        ..ReportSection::default()
    }];
    report::save(&page, directory)
}
