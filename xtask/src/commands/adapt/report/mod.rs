//! `report.html` of an adaptation.

mod curves;
mod looks;
mod projections;
mod tables;

use std::path::Path;

use anyhow::Result;
use cnn_viz::{ClassResults, Fact, FileLink, Report};

use super::analysis::Analysis;
use super::data::DomainData;
use super::runs::{MethodOutcome, Outcomes};
use super::{Adapt, COMMAND, model_name, said};
use crate::report;

/// Methods beside the source alone of which features and maps are drawn.
const DRAWN: usize = 4;

/// All that the page is made from.
#[derive(Clone, Copy)]
pub(super) struct Findings<'a> {
    pub(super) command: &'a Adapt,
    pub(super) data: &'a DomainData,
    pub(super) outcomes: &'a Outcomes,
    pub(super) analysis: &'a Analysis,
    pub(super) directory: &'a Path,
}

/// Writes the report of runs that ended.
pub(super) fn write(findings: &Findings<'_>) -> Result<()> {
    report::save(&page(findings)?, findings.directory)
}

fn page(findings: &Findings<'_>) -> Result<Report> {
    let Findings {
        command,
        data,
        outcomes,
        analysis,
        directory,
    } = *findings;
    let network = &analysis.methods[0].network;
    let model = command.model.as_deref().unwrap_or(model_name(network));
    let title = match domains(command) {
        [Some(source), target] => format!("{model} from {source} to {}", target.unwrap_or(source)),
        [None, target] => format!("{model} to {}", target.unwrap_or_default()),
    };
    let title = match &command.shift {
        Some(shift) => format!("{title} ({shift})"),
        None => title,
    };
    let mut page = report::of_directory(COMMAND, title, directory)?;
    page.files.extend(best_epochs(outcomes));
    page.result = Some(said::result(command, data, outcomes));
    page.summary = facts(findings)?;
    page.notes = notes(data, outcomes);
    page.skipped = outcomes.skipped.clone();
    page.sections = vec![tables::methods(findings)?];
    page.sections.extend(projections::sections(findings)?);
    page.sections.extend(tables::classes(findings)?);
    let has_epochs = |outcome: &&MethodOutcome| !outcome.runs[0].epochs.is_empty();
    for outcome in outcomes.methods.iter().filter(has_epochs) {
        page.sections.push(curves::section(findings, outcome)?);
    }
    let adapted = outcomes.methods.iter().skip(outcomes.adapted.max(1));
    let shown = outcomes.methods.iter().take(1).chain(adapted.take(1));
    page.classes = shown.filter_map(|outcome| classes(outcome, data)).collect();
    page.strip = looks::strip(findings)?;
    Ok(page)
}

/// The last parts of the paths of source and target.
fn domains(command: &Adapt) -> [Option<&str>; 2] {
    [&command.source, &command.target].map(|path| (!path.is_empty()).then(|| last_part(path)))
}

/// What stands behind the last `/` of a path, or its configuration.
fn last_part(path: &str) -> &str {
    let parts = path.rsplit(['/', '\\']);
    parts
        .into_iter()
        .find(|part| !part.is_empty())
        .unwrap_or(path)
}

/// The weights of each run.
fn best_epochs(outcomes: &Outcomes) -> impl Iterator<Item = FileLink> {
    let runs = outcomes.methods.iter().chain(&outcomes.oracle);
    let runs = runs.flat_map(|outcome| &outcome.runs);
    runs.map(|run| FileLink {
        path: format!("{}/best/", run.folder),
        about: format!(
            "the weights of epoch {} of {}, which `--weights` reads",
            run.epoch, run.folder
        ),
    })
}

/// What whoever reads the figures has to know, each sentence once.
fn notes(data: &DomainData, outcomes: &Outcomes) -> Vec<String> {
    let measured = outcomes.methods.iter().flat_map(|outcome| &outcome.runs);
    let measured = measured.filter_map(|run| run.measured.as_ref());
    let mut notes = data.notes.clone();
    for note in measured.flat_map(|measured| &measured.notes) {
        if !notes.contains(note) {
            notes.push(note.clone());
        }
    }
    notes
}

fn facts(findings: &Findings<'_>) -> Result<Vec<Fact>> {
    let Findings {
        command,
        data,
        outcomes,
        analysis,
        ..
    } = *findings;
    let adapted = outcomes.adapted();
    let place = outcomes.adapted;
    let mut facts = Vec::new();
    let shown = outcomes.methods.iter().take(place + 1).rev();
    for outcome in shown.chain(&outcomes.oracle) {
        if let Some(mean) = outcome.mean() {
            let fact = Fact::new(outcome.name.clone(), tables::percent(mean));
            facts.push(fact.with_note(match said::around(outcome)? {
                Some(around) => format!("of the target right; {around}"),
                None => "of the target right".to_string(),
            }));
        }
    }
    let distances = [0, place].map(|place| analysis.methods[place].distances.a_distance);
    if let [Some(before), Some(after)] = distances {
        let fact = Fact::new("A-distance", format!("{before:.2} → {after:.2}"));
        facts.push(fact.with_note("of the features of both domains: the source alone, adapted"));
    }
    let run = &adapted.runs[0];
    let epoch = format!("{} of {}", run.epoch, run.epochs.len());
    let epoch = Fact::new("epoch kept", epoch);
    facts.push(epoch.with_note(format!(
        "of {}; chosen by {}, without labels of the target",
        adapted.runs[0].folder, command.validator
    )));
    let classes = data.classes.len();
    let target = data.target.len();
    facts.push(match &data.source {
        Some(source) => Fact::new("images", format!("{} + {target}", source.train.len()))
            .with_note(format!(
                "of the source with labels of {classes} classes, of the target without"
            )),
        None => Fact::new("images", target.to_string())
            .with_note(format!("of the target, without labels; {classes} classes")),
    });
    Ok(facts)
}

/// Which class the first run of a method took for which; `None` without labels.
fn classes(outcome: &MethodOutcome, data: &DomainData) -> Option<ClassResults> {
    let run = &outcome.runs[0];
    let measured = run.measured.as_ref()?;
    Some(ClassResults {
        evaluated_on: format!("{} on the target, {}", run.folder, data.test_name),
        names: run.classes.clone(),
        confusion: measured.confusion.clone(),
    })
}
