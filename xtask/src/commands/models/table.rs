//! The models as a table, a line each.

use anyhow::Result;

use super::entry::input;
use super::limits::Listed;
use crate::{hub, output};

/// Letters that a line has room for to name the tags of weights; of more, it says how many.
const ROOM: usize = 22;

pub(super) fn print(listed: &[Listed]) -> Result<()> {
    let columns = [
        ("model", false),
        ("parameters", true),
        ("MACs", true),
        ("input", true),
        ("classes", true),
        ("top-1 %", true),
        ("weights", false),
    ];
    let rows: Vec<Vec<String>> = listed.iter().map(row).collect();
    output::table(&columns, &rows)
}

fn row(one: &Listed) -> Vec<String> {
    let spec = one.spec;
    vec![
        spec.name.to_string(),
        output::short(spec.parameters as f64),
        output::short(spec.multiply_adds as f64),
        input(spec),
        spec.num_classes.to_string(),
        one.top1()
            .map_or(String::new(), |top1| format!("{top1:.1}")),
        weights(one),
    ]
}

/// The tags of its weights, as many as a line has room for.
fn weights(one: &Listed) -> String {
    let tags: Vec<&str> = one.weights.iter().map(|source| source.tag).collect();
    let Some((first, others)) = tags.split_first() else {
        return match hub::names_of(one.spec).first() {
            Some(builtin) if one.spec.weights().is_empty() => builtin.clone(),
            _ => "none published".to_string(),
        };
    };
    let mut text = first.to_string();
    for (index, tag) in others.iter().enumerate() {
        if text.len() + 2 + tag.len() > ROOM {
            return format!("{text} + {}", others.len() - index);
        }
        text = format!("{text}, {tag}");
    }
    text
}
