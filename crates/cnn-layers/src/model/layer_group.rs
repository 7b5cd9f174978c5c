//! Parameters at one depth of a model.

/// Parameters at one depth of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerGroup {
    /// `stem`, `stage1`…, `head`.
    pub name: String,
    /// The modules that belong to it, as `layer1` or `features.0`.
    pub modules: Vec<String>,
}

impl LayerGroup {
    /// A group of modules.
    pub fn new(
        name: impl Into<String>,
        modules: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        Self {
            name: name.into(),
            modules: modules.into_iter().map(Into::into).collect(),
        }
    }

    /// Whether the parameter called `name` lies in one of the group's modules.
    pub fn contains(&self, name: &str) -> bool {
        self.modules.iter().any(|module| {
            name.strip_prefix(module.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    }
}
