//! Optimisers: PyTorch's update rules, each as one pass over a parameter, its gradient and its
//! state.

mod config;
mod gradients;
mod group;
mod plan;
mod state;
mod update;

use std::collections::{HashMap, HashSet};

use candle_core::{DType, Tensor, Var};

use crate::{Error, Rates};
use state::Slots;
use update::Update;

pub use config::OptimizerConfig;
pub use gradients::Gradients;
pub use group::{ParamGroup, decay_groups};
pub use plan::OptimizerPlan;
pub(crate) use plan::described as described_groups;

/// Changes parameters by their gradients, in place: layers that share a parameter's storage see the
/// new value at once.
///
/// Parameters are f32 or f64 on the CPU. Results do not depend on the number of threads.
///
/// ```
/// use candle_core::{Device, Var};
/// use cnn_train::{Gradients, Optimizer, OptimizerConfig, Rates, decay_groups};
///
/// let weight = Var::new(&[[3f64]], &Device::Cpu)?;
/// let groups = decay_groups(vec![("weight".to_string(), weight.clone())], 0.);
/// let mut optimizer = Optimizer::new(OptimizerConfig::sgd(), groups)?;
/// let mut store = weight.sqr()?.sum_all()?.backward()?;
/// let gradients = Gradients::take(&mut store, &optimizer);
/// optimizer.step(
///     &gradients,
///     &Rates {
///         lr: 0.5,
///         momentum: None,
///     },
/// )?;
/// assert_eq!(weight.to_vec2::<f64>()?, [[0.]]);
/// # Ok::<(), cnn_train::Error>(())
/// ```
pub struct Optimizer {
    config: OptimizerConfig,
    parameters: Vec<Parameter>,
}

struct Parameter {
    name: String,
    var: Var,
    lr_scale: f64,
    weight_decay: f64,
    /// Updates made of this parameter.
    steps: u64,
    slots: Slots,
}

impl Optimizer {
    /// An optimiser of these parameters, its state all zeros.
    ///
    /// # Errors
    /// If a constant is out of its range, a name occurs twice or an element type is neither f32 nor
    /// f64.
    pub fn new(config: OptimizerConfig, groups: Vec<ParamGroup>) -> Result<Self, Error> {
        config.validate()?;
        let slots = config.slots().len();
        let mut names = HashSet::new();
        let mut parameters = Vec::new();
        for group in groups {
            is_not_negative("lr_scale", group.lr_scale)?;
            is_not_negative("weight_decay", group.weight_decay)?;
            for (name, var) in group.parameters {
                if !names.insert(name.clone()) {
                    return Err(Error::argument(
                        "parameters",
                        format!("`{name}` twice"),
                        "unique names",
                    ));
                }
                let slots = Slots::zeros(&name, &var, slots)?;
                let lr_scale = group.lr_scale;
                let weight_decay = group.weight_decay;
                parameters.push(Parameter {
                    name,
                    var,
                    lr_scale,
                    weight_decay,
                    steps: 0,
                    slots,
                });
            }
        }
        Ok(Self { config, parameters })
    }

    /// The update rule.
    pub fn config(&self) -> OptimizerConfig {
        self.config
    }

    /// Names and parameters, group by group.
    pub fn parameters(&self) -> impl Iterator<Item = (&str, &Var)> {
        self.parameters
            .iter()
            .map(|parameter| (parameter.name.as_str(), &parameter.var))
    }

    /// One update. A parameter without a gradient stays as it is, and so does its state, as PyTorch
    /// does where `grad` is `None`.
    ///
    /// # Errors
    /// Before anything is changed: if a rate is out of its range, or a gradient has another shape
    /// or element type than its parameter, or belongs to none.
    pub fn step(&mut self, gradients: &Gradients, rates: &Rates) -> Result<(), Error> {
        is_not_negative("lr", rates.lr)?;
        if let Some(momentum) = rates
            .momentum
            .filter(|momentum| !(0.0..1.0).contains(momentum))
        {
            return Err(Error::argument("momentum", momentum, "0 or more, below 1"));
        }
        let gradients = self.matched(gradients)?;
        let config = self.config.with_scheduled_momentum(rates.momentum);
        for (parameter, gradient) in self.parameters.iter_mut().zip(gradients) {
            let Some(gradient) = gradient else { continue };
            parameter.steps += 1;
            let update = Update {
                config,
                lr: rates.lr * parameter.lr_scale,
                weight_decay: parameter.weight_decay,
                steps: parameter.steps,
            };
            update.apply(&parameter.var, &gradient, &mut parameter.slots)?;
        }
        Ok(())
    }

    /// What a later optimiser needs to go on bitwise as this one would: `<parameter>.step` (i64,
    /// without dimensions) and the rule's tensors under PyTorch's names, as `<parameter>.exp_avg`,
    /// each of its parameter's shape and element type.
    ///
    /// # Errors
    /// If candle reports one.
    pub fn state(&self) -> Result<Vec<(String, Tensor)>, Error> {
        let names = self.config.slots();
        let mut state = Vec::new();
        for parameter in &self.parameters {
            let step = Tensor::new(parameter.steps as i64, &candle_core::Device::Cpu)?;
            state.push((format!("{}.step", parameter.name), step));
            for (slot, tensor) in names
                .iter()
                .zip(parameter.slots.tensors(parameter.var.shape())?)
            {
                state.push((format!("{}.{slot}", parameter.name), tensor));
            }
        }
        Ok(state)
    }

    /// Takes over what [`state`](Self::state) returned.
    ///
    /// # Errors
    /// If something is missing, has another shape or element type, or belongs to no parameter of
    /// this rule; nothing is changed then.
    pub fn load_state(&mut self, tensors: &[(String, Tensor)]) -> Result<(), Error> {
        let slot_names = self.config.slots();
        let mut found: HashMap<&str, &Tensor> = tensors
            .iter()
            .map(|(name, tensor)| (name.as_str(), tensor))
            .collect();
        let mut loaded = Vec::new();
        for parameter in &self.parameters {
            let mut take = |slot: &str, dtype: DType, dims: &[usize]| {
                let name = format!("{}.{slot}", parameter.name);
                let expected = format!("`{name}` of {} {dims:?}", dtype.as_str());
                match found.remove(name.as_str()) {
                    None => Err(Error::argument(
                        "optimizer state",
                        "nothing of this name",
                        expected,
                    )),
                    Some(tensor) if tensor.dtype() == dtype && tensor.dims() == dims => Ok(tensor),
                    Some(tensor) => Err(Error::argument(
                        "optimizer state",
                        described(tensor),
                        expected,
                    )),
                }
            };
            let steps = take("step", DType::I64, &[])?.to_scalar::<i64>()?;
            let steps = u64::try_from(steps).map_err(|_| {
                Error::argument("optimizer state", format!("step {steps}"), "0 or more")
            })?;
            let dtype = parameter.var.dtype();
            let dims = parameter.var.dims();
            let slots = slot_names
                .iter()
                .map(|slot| take(slot, dtype, dims))
                .collect::<Result<Vec<_>, _>>()?;
            loaded.push((steps, Slots::from_tensors(&parameter.var, &slots)?));
        }
        if let Some(name) = found.keys().min() {
            let expected = "only the state of this optimiser's parameters";
            return Err(Error::argument(
                "optimizer state",
                format!("`{name}`"),
                expected,
            ));
        }
        for (parameter, (steps, slots)) in self.parameters.iter_mut().zip(loaded) {
            (parameter.steps, parameter.slots) = (steps, slots);
        }
        Ok(())
    }

    /// The gradients in the parameters' order.
    fn matched(&self, gradients: &Gradients) -> Result<Vec<Option<Tensor>>, Error> {
        let mut by_name: HashMap<&str, &Tensor> = gradients.iter().collect();
        let mut matched = Vec::with_capacity(self.parameters.len());
        for Parameter { name, var, .. } in &self.parameters {
            let gradient = by_name.remove(name.as_str());
            if let Some(gradient) = gradient
                && (gradient.dims() != var.dims() || gradient.dtype() != var.dtype())
            {
                let found = format!("{} for `{name}`", described(gradient));
                return Err(Error::argument("gradients", found, described(var)));
            }
            matched.push(gradient.map(Tensor::contiguous).transpose()?);
        }
        match by_name.keys().min() {
            Some(name) => Err(Error::argument(
                "gradients",
                format!("`{name}`"),
                "only this optimiser's parameters",
            )),
            None => Ok(matched),
        }
    }
}

impl std::fmt::Debug for Optimizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.parameters().map(|(name, _)| name).collect();
        f.debug_struct("Optimizer")
            .field("config", &self.config)
            .field("parameters", &names)
            .finish()
    }
}

fn is_not_negative(name: &'static str, value: f64) -> Result<(), Error> {
    if value.is_finite() && value >= 0. {
        Ok(())
    } else {
        Err(Error::argument(
            name,
            value,
            "a finite number, not negative",
        ))
    }
}

fn described(tensor: &Tensor) -> String {
    format!("{} {:?}", tensor.dtype().as_str(), tensor.dims())
}
