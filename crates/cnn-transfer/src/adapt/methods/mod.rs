//! The methods, one file each; those that add a loss without parameters of its own are a line in
//! the list.

mod adda;
mod adversarial;
mod conditional;
mod descent;
mod list;
mod mcd;
mod recipe;
mod second_view;
mod shot;
mod source;
mod statistics;
mod tent;

pub use adversarial::DomainAdversarial;
pub use conditional::ConditionalAdversarial;
pub use list::{AdaptationMethod, Beginning, METHODS, MethodInfo};

pub(super) use recipe::{Alternating, Learning, Length, OwnOptimizer, Recipe, Setting};
