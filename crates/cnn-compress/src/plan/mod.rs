//! Which units go: how much of a network is to be left, and what decides.

mod order;
mod target;

use std::collections::BTreeMap;

pub use target::{Scope, Target};

use crate::{Error, Group, Groups, Importance, Selection};
use order::order;

/// How a network is made smaller: what is to be left, what decides, and what stays in any case.
///
/// ```
/// use cnn_compress::{Criterion, Groups, Plan, Target, without};
/// use cnn_models::{ModelConfig, Network};
///
/// let network = Network::new("resnet8_cifar10", &ModelConfig::default(), 0)?;
/// let groups = Groups::of(&network)?;
/// let importance = Criterion::L2.scores(&groups, network.store())?.importance(&groups);
/// let plan = Plan::new(Target::MultiplyAdds(0.5)).with_multiple(4);
/// let selection = plan.select(&groups, &importance)?;
/// let smaller = without(&network, &groups, &selection)?;
/// assert!(groups.size(&selection).multiply_adds <= network.spec().multiply_adds / 2);
/// assert_eq!(smaller.config().model.widths["layer1.0.conv1"] % 4, 0);
///
/// // What cannot be is said, with the least that can.
/// let cautious = Plan::new(Target::MultiplyAdds(0.1)).with_most_removed(0.5);
/// let error = cautious.select(&groups, &importance).unwrap_err();
/// assert!(error.to_string().contains("the least that the plan leaves is 0.2"), "{error}");
/// # Ok::<(), anyhow::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    target: Target,
    scope: Scope,
    most_removed: f64,
    caps: BTreeMap<String, f64>,
    ignored: Vec<String>,
    multiple: usize,
}

impl Plan {
    /// Units with the least importance in the whole network go until the target is reached; each
    /// group keeps at least a tenth of its units.
    pub fn new(target: Target) -> Self {
        Self {
            target,
            scope: Scope::Global,
            most_removed: 0.9,
            caps: BTreeMap::new(),
            ignored: Vec::new(),
            multiple: 1,
        }
    }

    /// The same, where units compete within other bounds. Default: [`Scope::Global`].
    #[must_use]
    pub fn with_scope(self, scope: Scope) -> Self {
        Self { scope, ..self }
    }

    /// The same, where a group loses at most this share of its units. Default: 0.9. At least one
    /// stays in any case.
    #[must_use]
    pub fn with_most_removed(self, most_removed: f64) -> Self {
        Self {
            most_removed,
            ..self
        }
    }

    /// The same, where the groups of the layers below a path lose at most this share of their units.
    #[must_use]
    pub fn with_cap(mut self, path: impl Into<String>, most_removed: f64) -> Self {
        self.caps.insert(path.into(), most_removed);
        self
    }

    /// The same, where the layers below a path keep all their channels, and what goes with them.
    #[must_use]
    pub fn with_ignored(mut self, path: impl Into<String>) -> Self {
        self.ignored.push(path.into());
        self
    }

    /// The same, where groups keep a number of channels that is a multiple of this, if they have as
    /// many: kernels compute several at once. Default: 1.
    #[must_use]
    pub fn with_multiple(self, multiple: usize) -> Self {
        Self { multiple, ..self }
    }

    /// The target in so many steps, between which a network is trained: plans to follow one after
    /// the other, each with the share of what the one before it left. The channels, multiply-adds or
    /// parameters fall by equal numbers.
    ///
    /// ```
    /// use cnn_compress::{Plan, Target};
    ///
    /// let steps = Plan::new(Target::Parameters(0.4)).steps(3);
    /// let left: f64 = steps.iter().map(|plan| plan.target().share()).product();
    /// assert!((left - 0.4).abs() < 1e-12 && steps[0].target() == Target::Parameters(0.8));
    /// ```
    pub fn steps(&self, count: usize) -> Vec<Self> {
        let goes = 1. - self.target.share();
        let after = |step: usize| 1. - goes * step as f64 / count as f64;
        let plan = |step| Self {
            target: self.target.with_share(after(step) / after(step - 1)),
            ..self.clone()
        };
        (1..=count).map(plan).collect()
    }

    /// What is to be left.
    pub fn target(&self) -> Target {
        self.target
    }

    /// Which units stay: as many as can, so that the target is reached.
    ///
    /// # Errors
    /// [`Error::Share`] for a share that is not from 0 to 1, [`Error::OtherGroups`] for scores of
    /// other groups, [`Error::NoLayer`] for a path below which no layer has units, and
    /// [`Error::Unreachable`], which says the least that can be reached.
    pub fn select(&self, groups: &Groups, importance: &Importance) -> Result<Selection, Error> {
        self.check(groups, importance)?;
        let limits: Vec<Limit> = groups
            .groups()
            .iter()
            .map(|group| self.limit(group))
            .collect();
        let order = order(groups, importance, self.scope);
        let whole = self.target.of(groups.size(&Selection::all(groups)));
        let share_of = |count: usize| {
            let selection = selected(groups, &limits, &order[..count]);
            let left = self.target.of(groups.size(&selection));
            (selection, left / whole.max(1.))
        };
        let (_, least) = share_of(order.len());
        if least > self.target.share() {
            return Err(Error::Unreachable {
                what: self.target.name(),
                target: self.target.share(),
                least,
            });
        }
        // The more go, the less is left: the first count with which the target is reached.
        let [mut too_few, mut enough] = [0, order.len()];
        if share_of(0).1 <= self.target.share() {
            enough = 0;
        }
        while enough > too_few + 1 {
            let middle = usize::midpoint(too_few, enough);
            if share_of(middle).1 <= self.target.share() {
                enough = middle;
            } else {
                too_few = middle;
            }
        }
        Ok(share_of(enough).0)
    }

    fn check(&self, groups: &Groups, importance: &Importance) -> Result<(), Error> {
        if importance.scores().len() != groups.units() {
            return Err(Error::OtherGroups {
                found: importance.scores().len(),
                expected: groups.units(),
            });
        }
        let caps = self.caps.values().map(|&cap| ("a cap", cap));
        let shares = [
            ("the target", self.target.share()),
            ("the most that a group loses", self.most_removed),
        ];
        for (what, share) in shares.into_iter().chain(caps) {
            if !(0. ..=1.).contains(&share) {
                return Err(Error::Share { what, share });
            }
        }
        for path in self.caps.keys().chain(&self.ignored) {
            let mut groups = groups.groups().iter();
            if !groups.any(|group| is_below(group, path)) {
                return Err(Error::NoLayer { path: path.clone() });
            }
        }
        Ok(())
    }

    fn limit(&self, group: &Group) -> Limit {
        let units = group.units.len();
        let caps = self.caps.iter().filter(|(path, _)| is_below(group, path));
        let mut most = caps.map(|(_, &cap)| cap).fold(self.most_removed, f64::min);
        if self.ignored.iter().any(|path| is_below(group, path)) {
            most = 0.;
        }
        let removable = ((most * units as f64 + 1e-9).floor() as usize).min(units - 1);
        let channels = group.channels_per_unit();
        Limit {
            removable,
            step: self.multiple.max(1) / common_divisor(self.multiple.max(1), channels),
        }
    }
}

/// How many units a group can lose.
struct Limit {
    removable: usize,
    /// As many units have a multiple of the channels that are wanted.
    step: usize,
}

/// The selection in which these units go, in their order, as far as their groups' limits let them.
fn selected(groups: &Groups, limits: &[Limit], order: &[usize]) -> Selection {
    let mut selection = Selection::all(groups);
    let mut going = vec![0; limits.len()];
    let mut owners = Vec::with_capacity(groups.units());
    for (number, group) in groups.groups().iter().enumerate() {
        owners.extend(std::iter::repeat_n(number, group.units.len()));
    }
    for &unit in order {
        going[owners[unit]] += 1;
    }
    for ((count, limit), group) in going.iter_mut().zip(limits).zip(groups.groups()) {
        let units = group.units.len();
        let left = units - (*count).min(limit.removable);
        let rounded = left.next_multiple_of(limit.step);
        *count = units.saturating_sub(rounded);
    }
    for &unit in order {
        let count = &mut going[owners[unit]];
        if *count > 0 {
            *count -= 1;
            selection.remove(unit);
        }
    }
    selection
}

/// Whether a layer of the group, or one that has numbers for its channels, lies at or below a path.
fn is_below(group: &Group, path: &str) -> bool {
    let is_below = |layer: &str| {
        let rest = layer.strip_prefix(path);
        rest.is_some_and(|rest| path.is_empty() || rest.is_empty() || rest.starts_with('.'))
    };
    group.layers.iter().any(|layer| is_below(layer))
}

fn common_divisor(one: usize, other: usize) -> usize {
    match other {
        0 => one,
        _ => common_divisor(other, one % other),
    }
}
