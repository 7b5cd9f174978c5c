//! The methods, one file each; those without parameters of their own are a line in the list.

mod adversarial;
mod conditional;
mod list;

pub use adversarial::DomainAdversarial;
pub use conditional::ConditionalAdversarial;
pub use list::{AdaptationMethod, METHODS, MethodInfo};

pub(crate) use list::Sizes;
