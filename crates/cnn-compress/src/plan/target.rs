//! What is to be left of a network, and between which units it is decided.

use crate::Size;

/// What is to be left of a network, as a share of what it has.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Target {
    /// Of the output channels of all layers that can lose some.
    Channels(f64),
    /// Of the multiply-adds of convolutions and linear layers, for images of the size for which the
    /// groups were found.
    MultiplyAdds(f64),
    /// Of the learnable values.
    Parameters(f64),
}

/// Between which units it is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// All of the network: layers that matter less lose more.
    Global,
    /// Those of a group: each loses the same share of its units.
    PerGroup,
}

impl Target {
    /// The share that is to be left.
    pub fn share(self) -> f64 {
        match self {
            Self::Channels(share) | Self::MultiplyAdds(share) | Self::Parameters(share) => share,
        }
    }

    /// What is counted.
    pub fn name(self) -> &'static str {
        match self {
            Self::Channels(_) => "channels",
            Self::MultiplyAdds(_) => "multiply-adds",
            Self::Parameters(_) => "parameters",
        }
    }

    pub(super) fn with_share(self, share: f64) -> Self {
        match self {
            Self::Channels(_) => Self::Channels(share),
            Self::MultiplyAdds(_) => Self::MultiplyAdds(share),
            Self::Parameters(_) => Self::Parameters(share),
        }
    }

    /// How much of it a network of a size has.
    pub(super) fn of(self, size: Size) -> f64 {
        match self {
            Self::Channels(_) => size.channels as f64,
            Self::MultiplyAdds(_) => size.multiply_adds as f64,
            Self::Parameters(_) => size.parameters as f64,
        }
    }
}
