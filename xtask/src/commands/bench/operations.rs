//! The times of single operations beside what the machine can do.

use std::collections::BTreeMap;

use anyhow::Result;
use cnn_kernels::{OpTime, Pass, copy_bandwidth};
use serde_json::{Value, json};

use crate::output;

/// What the machine can do.
pub(super) struct Ceilings {
    pub(super) flops: f64,
    /// Bytes per second by the power of two of the bytes.
    copies: BTreeMap<u32, f64>,
}

/// Bytes per second of the best of several copies: what neighbours of a machine take away is no
/// limit of the machine.
pub(super) fn best_copy(bytes: usize) -> f64 {
    (0..4).map(|_| copy_bandwidth(bytes)).fold(0., f64::max)
}

impl Ceilings {
    /// With so many multiply-adds a second; how fast memory is copied is measured when it is asked for.
    pub(super) fn new(flops: f64) -> Self {
        Self {
            flops,
            copies: BTreeMap::new(),
        }
    }

    /// Seconds that an operation takes at least.
    fn least(&mut self, op: &OpTime) -> f64 {
        let power = (op.bytes.max(1.).log2().round() as u32).clamp(16, 30);
        let bandwidth = *self
            .copies
            .entry(power)
            .or_insert_with(|| best_copy(1 << power));
        (op.flops / self.flops).max(op.bytes / bandwidth)
    }
}

/// An operation's numbers, or those of several.
#[derive(Clone, Copy)]
pub(super) struct Row {
    pub(super) seconds: f64,
    flops: f64,
    bytes: f64,
    least: f64,
}

impl Row {
    pub(super) const COLUMNS: [(&str, bool); 4] = [
        ("ms", true),
        ("GFLOP/s", true),
        ("GB/s", true),
        ("% of the limit", true),
    ];

    pub(super) fn of(op: &OpTime, ceilings: &mut Ceilings) -> Self {
        Self {
            seconds: op.seconds,
            flops: op.flops,
            bytes: op.bytes,
            least: ceilings.least(op),
        }
    }

    fn plus(self, other: &Self) -> Self {
        Self {
            seconds: self.seconds + other.seconds,
            flops: self.flops + other.flops,
            bytes: self.bytes + other.bytes,
            least: self.least + other.least,
        }
    }

    pub(super) fn cells(&self) -> [String; 4] {
        let rate = |amount: f64| {
            if amount > 0. {
                format!("{:.1}", 1e-9 * amount / self.seconds)
            } else {
                String::new()
            }
        };
        let share = format!("{:.0}", 100. * self.least / self.seconds);
        [
            format!("{:.3}", 1e3 * self.seconds),
            rate(self.flops),
            rate(self.bytes),
            share,
        ]
    }

    pub(super) fn json(&self, op: &OpTime) -> Value {
        json!({
            "place": op.label,
            "op": title(op),
            "part": op.pass.name(),
            "output": op.shape,
            "ms": 1e3 * self.seconds,
            "gflops": 1e-9 * self.flops / self.seconds,
            "gb_per_second": 1e-9 * self.bytes / self.seconds,
            "limit_fraction": self.least / self.seconds,
        })
    }
}

pub(super) fn title(op: &OpTime) -> String {
    format!("{} {}", op.op, op.geometry).trim_end().to_string()
}

/// Sums over the operations of one kind.
pub(super) fn print_groups(ops: &[OpTime], rows: &[Row], total: f64) -> Result<()> {
    let mut groups: BTreeMap<(String, Pass), (Row, usize, f64)> = BTreeMap::new();
    for (op, row) in ops.iter().zip(rows) {
        let kind = if op.geometry.ends_with("depthwise") {
            format!("{} depthwise", op.op)
        } else {
            op.op.to_string()
        };
        let none = Row {
            seconds: 0.,
            flops: 0.,
            bytes: 0.,
            least: 0.,
        };
        let group = groups
            .entry((kind, op.pass))
            .or_insert((none, 0, f64::INFINITY));
        *group = (
            group.0.plus(row),
            group.1 + 1,
            group.2.min(row.least / row.seconds),
        );
    }
    let columns = [("all of a kind", false), ("part", false), ("number", true)];
    let columns = [&columns[..], &Row::COLUMNS, &[("the least", true)]].concat();
    let cells = |((kind, pass), (row, count, least)): (&(String, Pass), &(Row, usize, f64))| {
        let kind = [kind.clone(), pass.name().to_string(), count.to_string()];
        [&kind[..], &row.cells(), &[format!("{:.0}", 100. * least)]].concat()
    };
    let mut table: Vec<Vec<String>> = groups.iter().map(cells).collect();
    let rest = total - rows.iter().map(|row| row.seconds).sum::<f64>();
    for (what, seconds) in [("everything else", rest), ("in all", total)] {
        let mut cells = vec![String::new(); columns.len()];
        (cells[0], cells[3]) = (what.to_string(), format!("{:.3}", 1e3 * seconds));
        table.push(cells);
    }
    output::table(&columns, &table)
}
