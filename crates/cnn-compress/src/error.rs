//! Why a network cannot be made smaller.

/// Why a network cannot be made smaller.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The network's graph cannot be made.
    #[error("the network's graph cannot be made: {0}")]
    Graph(#[from] cnn_graph::Error),
    /// The network cannot be built.
    #[error(transparent)]
    Model(#[from] cnn_models::Error),
    /// A tensor cannot be computed with.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
    /// A selection or scores of another network.
    #[error("{found} units are said of, but the network has {expected}")]
    OtherGroups {
        /// Units that something is said of.
        found: usize,
        /// Units of the network.
        expected: usize,
    },
    /// All units of a group would go.
    #[error("{layer}: all of its {units} units would go; one has to stay")]
    NothingLeft {
        /// The group's first layer.
        layer: String,
        /// How many units it has.
        units: usize,
    },
    /// A criterion that looks at more than the weights.
    #[error("the criterion `{criterion}` needs {needs}; the weights alone do not say it")]
    NeedsMore {
        /// The criterion.
        criterion: &'static str,
        /// What it needs.
        needs: &'static str,
    },
    /// A value that cannot be.
    #[error("{what} is {found}, expected {expected}")]
    Argument {
        /// What has it.
        what: &'static str,
        /// What was found.
        found: String,
        /// What is accepted.
        expected: String,
    },
    /// A share that is none.
    #[error("{what} is {share}, expected a share from 0 to 1")]
    Share {
        /// What has it.
        what: &'static str,
        /// What was found.
        share: f64,
    },
    /// A plan says something of layers that are not there.
    #[error("no layer at or below `{path}` has channels that can go")]
    NoLayer {
        /// The path.
        path: String,
    },
    /// A plan leaves more than its target.
    #[error(
        "{target} of the {what} cannot be reached: the least that the plan leaves is {least:.4}; \
         raise the target, or let groups lose more"
    )]
    Unreachable {
        /// What is counted.
        what: &'static str,
        /// The share that was to be left.
        target: f64,
        /// The share that is left when everything goes that can.
        least: f64,
    },
}
