//! What an update rule remembers of a parameter.

use candle_core::{DType, Device, Shape, Tensor, Var};

use crate::Error;

/// The rule's numbers of one parameter, one vector per name of `OptimizerConfig::slots`, in its
/// element type.
pub(super) enum Slots {
    F32(Vec<Vec<f32>>),
    F64(Vec<Vec<f64>>),
}

impl Slots {
    pub(super) fn zeros(name: &str, var: &Var, count: usize) -> Result<Self, Error> {
        match var.dtype() {
            DType::F32 => Ok(Self::F32(vec![vec![0.; var.elem_count()]; count])),
            DType::F64 => Ok(Self::F64(vec![vec![0.; var.elem_count()]; count])),
            other => Err(Error::argument(
                "parameters",
                format!("`{name}` of {}", other.as_str()),
                "f32 or f64",
            )),
        }
    }

    /// The tensors are of the parameter's element type.
    pub(super) fn from_tensors(var: &Var, tensors: &[&Tensor]) -> Result<Self, Error> {
        let flat = tensors.iter().map(|tensor| tensor.flatten_all());
        match var.dtype() {
            DType::F32 => Ok(Self::F32(
                flat.map(|tensor| tensor?.to_vec1())
                    .collect::<Result<_, _>>()?,
            )),
            _ => Ok(Self::F64(
                flat.map(|tensor| tensor?.to_vec1())
                    .collect::<Result<_, _>>()?,
            )),
        }
    }

    pub(super) fn tensors(&self, shape: &Shape) -> Result<Vec<Tensor>, Error> {
        let cpu = &Device::Cpu;
        let tensors: Result<Vec<Tensor>, _> = match self {
            Self::F32(slots) => slots
                .iter()
                .map(|slot| Tensor::from_slice(slot, shape, cpu))
                .collect(),
            Self::F64(slots) => slots
                .iter()
                .map(|slot| Tensor::from_slice(slot, shape, cpu))
                .collect(),
        };
        Ok(tensors?)
    }
}
