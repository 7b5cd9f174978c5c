//! What a forward pass of a network gives.

/// The main output of a network, and those of its auxiliary heads.
///
/// Auxiliary heads read maps in the middle of a network and are there for its training, as those of
/// GoogLeNet (Szegedy et al. 2014) are: their losses bring gradients to early layers.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Outputs<T> {
    /// What the network is used for.
    pub main: T,
    /// What each auxiliary head gives, from the input on.
    pub auxiliary: Vec<AuxiliaryOutput<T>>,
}

/// What an auxiliary head gives.
#[derive(Debug, Clone, PartialEq)]
pub struct AuxiliaryOutput<T> {
    /// The head's name.
    pub head: String,
    /// How much its loss counts beside that of the main output, as the paper has it.
    pub weight: f64,
    /// The output.
    pub output: T,
}

impl<T> Outputs<T> {
    /// A main output with auxiliary ones.
    pub fn new(main: T, auxiliary: Vec<AuxiliaryOutput<T>>) -> Self {
        Self { main, auxiliary }
    }
}

/// A main output alone.
impl<T> From<T> for Outputs<T> {
    fn from(main: T) -> Self {
        Self::new(main, Vec::new())
    }
}
