//! Identities of channels, and which of them have to go together.

use std::ops::Range;

/// Identities of channels, joined as a disjoint-set forest (Galler and Fischer 1964).
#[derive(Debug, Default)]
pub(super) struct Channels {
    parents: Vec<usize>,
    /// Of roots: whether the set has to stay.
    fixed: Vec<bool>,
}

impl Channels {
    /// So many channels that nothing joins yet.
    pub(super) fn fresh(&mut self, count: usize) -> Vec<usize> {
        let range: Range<usize> = self.parents.len()..self.parents.len() + count;
        self.parents.extend(range.clone());
        self.fixed.resize(range.end, false);
        range.collect()
    }

    /// The channel that stands for all that go with this one.
    pub(super) fn root(&mut self, channel: usize) -> usize {
        let mut root = channel;
        while self.parents[root] != root {
            root = self.parents[root];
        }
        let mut at = channel;
        while self.parents[at] != root {
            at = std::mem::replace(&mut self.parents[at], root);
        }
        root
    }

    /// From now on these two go together.
    pub(super) fn join(&mut self, one: usize, other: usize) {
        let [one, other] = [self.root(one), self.root(other)];
        // The earlier one stands for both, so that the order of roots is that of the layers.
        let [root, child] = [one.min(other), one.max(other)];
        self.parents[child] = root;
        self.fixed[root] |= self.fixed[child];
    }

    /// From now on channels at one place of both go together.
    pub(super) fn join_all(&mut self, ones: &[usize], others: &[usize]) {
        for (&one, &other) in ones.iter().zip(others) {
            self.join(one, other);
        }
    }

    /// Channels at one place of several groups of neighbours go together, so that every group loses
    /// as many.
    pub(super) fn join_groups(&mut self, channels: &[usize], groups: usize) {
        let of_group = channels.len() / groups.max(1);
        for (place, &channel) in channels.iter().enumerate().skip(of_group) {
            self.join(channels[place % of_group], channel);
        }
    }

    /// From now on these stay.
    pub(super) fn fix(&mut self, channels: &[usize]) {
        for &channel in channels {
            let root = self.root(channel);
            self.fixed[root] = true;
        }
    }

    pub(super) fn is_fixed(&mut self, channel: usize) -> bool {
        let root = self.root(channel);
        self.fixed[root]
    }
}
