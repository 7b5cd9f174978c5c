//! What was frozen and what trained, phase by phase.

use super::bands;
use super::format::{count, percent, short_number};
use crate::{Error, NormStatistics, Report, ReportFreezeProof, ReportLayerGroup, ReportPhase};

/// What stands under "What was trained".
pub(crate) struct Freezing<'a> {
    pub(crate) phases: Vec<PhaseHead<'a>>,
    pub(crate) rows: Vec<GroupRow<'a>>,
    pub(crate) proof: Option<&'a ReportFreezeProof>,
}

/// A column's head.
pub(crate) struct PhaseHead<'a> {
    pub(crate) name: &'a str,
    pub(crate) epochs: String,
    /// How many of its parameters train; `None` if it names no groups.
    pub(crate) trainable: Option<String>,
}

/// A layer group in all phases.
pub(crate) struct GroupRow<'a> {
    pub(crate) name: &'a str,
    pub(crate) parameters: String,
    /// `None` in a phase that does not name the group.
    pub(crate) cells: Vec<Option<GroupCell>>,
}

/// A layer group in one phase.
pub(crate) struct GroupCell {
    /// The learning rate as text; `None` for frozen.
    pub(crate) learning_rate: Option<String>,
    /// What the batch-norm statistics do, in words; may be empty.
    pub(crate) statistics: &'static str,
}

impl<'a> Freezing<'a> {
    /// The table, or `None` where neither phases nor a proof are given.
    pub(crate) fn new(report: &'a Report) -> Result<Option<Self>, Error> {
        let phases = &report.phases;
        let proof = report.freeze_proof.as_ref();
        if phases.is_empty() && proof.is_none() {
            return Ok(None);
        }
        let mut rows = Vec::<GroupRow<'a>>::new();
        for (column, phase) in phases.iter().enumerate() {
            for group in &phase.groups {
                let row = row_of(&mut rows, group, phases.len());
                if row.cells[column].replace(cell(group)).is_some() {
                    let found = format!("`{}` twice in phase `{}`", group.name, phase.name);
                    return Err(Error::argument(
                        "groups",
                        found,
                        "a name for each group of a phase",
                    ));
                }
            }
        }
        Ok(Some(Self {
            phases: phases.iter().map(head).collect(),
            rows,
            proof,
        }))
    }
}

fn row_of<'rows, 'a>(
    rows: &'rows mut Vec<GroupRow<'a>>,
    group: &'a ReportLayerGroup,
    phases: usize,
) -> &'rows mut GroupRow<'a> {
    let position = rows
        .iter()
        .position(|row| row.name == group.name)
        .unwrap_or(rows.len());
    if position == rows.len() {
        let cells = (0..phases).map(|_| None).collect();
        rows.push(GroupRow {
            name: &group.name,
            parameters: count(group.parameters),
            cells,
        });
    }
    &mut rows[position]
}

fn cell(group: &ReportLayerGroup) -> GroupCell {
    let statistics = match group.norm_statistics {
        NormStatistics::None => "",
        NormStatistics::Moving => "batch-norm moving",
        NormStatistics::Fixed => "batch-norm fixed",
    };
    GroupCell {
        learning_rate: group.learning_rate.map(short_number),
        statistics,
    }
}

fn head(phase: &ReportPhase) -> PhaseHead<'_> {
    let sum = |groups: &mut dyn Iterator<Item = &ReportLayerGroup>| {
        groups
            .map(|group| group.parameters)
            .fold(0, u64::saturating_add)
    };
    let all = sum(&mut phase.groups.iter());
    let trained = sum(&mut phase
        .groups
        .iter()
        .filter(|group| group.learning_rate.is_some()));
    let text = || {
        format!(
            "{} of {} ({})",
            count(trained),
            count(all),
            percent(trained as f64 / all as f64)
        )
    };
    PhaseHead {
        name: &phase.name,
        epochs: bands::epochs(phase),
        trainable: (all > 0).then(text),
    }
}
