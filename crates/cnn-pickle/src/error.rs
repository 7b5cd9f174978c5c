//! The errors of this crate.

/// Why a pickle is not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It breaks the rules of pickles.
    #[error("broken pickle at byte {offset}: {reason}")]
    Broken {
        /// Where in the pickle.
        offset: usize,
        /// What was wrong.
        reason: String,
    },

    /// It calls a function outside the list of harmless ones.
    #[error("refused: the pickle calls `{function}`; only data are read")]
    Refused {
        /// The function, as `module.name`.
        function: String,
    },

    /// It asks for more than is allowed.
    #[error("{what}: {found}, at most {limit} allowed")]
    Limit {
        /// What there is too much of.
        what: &'static str,
        /// How much the pickle asks for.
        found: usize,
        /// How much is allowed.
        limit: usize,
    },
}
