//! Named parameters and the state tensors that belong to them.

use std::collections::BTreeMap;

use tch::{Kind, Tensor};

use crate::error::Error;
use crate::named::NamedTensors;

/// What a slot holds for each parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A tensor like the parameter.
    LikeParameter,
    /// A count of steps, an f32 scalar on the parameter's device (the form that
    /// libtorch's fused kernels take; exact up to 2^24 steps).
    Count,
}

/// Parameters with their state.
///
/// Invariant: every slot has one tensor per parameter, on the parameter's device.
#[derive(Debug)]
pub struct Slots {
    names: Vec<String>,
    parameters: Vec<Tensor>,
    slots: Vec<(&'static str, Form, Vec<Tensor>)>,
}

impl Slots {
    /// Zeroed slots for `parameters`.
    pub fn new(parameters: NamedTensors, slots: &[(&'static str, Form)]) -> Self {
        let (names, parameters): (Vec<String>, Vec<Tensor>) = parameters.into_iter().unzip();
        let zeros = |form: Form| -> Vec<Tensor> {
            let zero = |parameter: &Tensor| match form {
                Form::LikeParameter => parameter.detach().zeros_like(),
                Form::Count => Tensor::zeros([0i64; 0], (Kind::Float, parameter.device())),
            };
            parameters.iter().map(zero).collect()
        };
        let slots = slots.iter().map(|(slot, form)| (*slot, *form, zeros(*form))).collect();
        Self { names, parameters, slots }
    }

    /// Parameters that have a gradient: their positions.
    pub fn with_gradient(&self) -> (Vec<usize>, Vec<Tensor>) {
        let gradients = self.parameters.iter().map(Tensor::grad).enumerate();
        gradients.filter(|(_, gradient)| gradient.defined()).unzip()
    }

    /// The parameter at `position`.
    pub fn parameter(&self, position: usize) -> &Tensor {
        &self.parameters[position]
    }

    /// The tensors of slot number `slot` at `positions`.
    pub fn of(&self, slot: usize, positions: &[usize]) -> Vec<&Tensor> {
        positions.iter().map(|&at| &self.slots[slot].2[at]).collect()
    }

    /// The parameters at `positions`.
    pub fn parameters_at(&self, positions: &[usize]) -> Vec<&Tensor> {
        positions.iter().map(|&at| &self.parameters[at]).collect()
    }

    /// A state tensor, to change in place.
    pub fn of_mut(&mut self, slot: usize, position: usize) -> &mut Tensor {
        &mut self.slots[slot].2[position]
    }

    pub fn zero_grad(&mut self) {
        self.parameters.iter_mut().for_each(Tensor::zero_grad);
    }

    /// Copies of all state tensors, `SLOT/PARAMETER` by name.
    pub fn state(&self) -> NamedTensors {
        let slots = self.slots.iter();
        slots
            .flat_map(|(slot, _, tensors)| {
                let named = self.names.iter().zip(tensors);
                named.map(move |(name, tensor)| (format!("{slot}/{name}"), tensor.copy()))
            })
            .collect()
    }

    /// Replaces all state tensors. Nothing is changed when any does not fit.
    pub fn load_state(&mut self, state: &[(String, Tensor)]) -> Result<(), Error> {
        let mut given: BTreeMap<&str, &Tensor> = BTreeMap::new();
        for (name, tensor) in state {
            if given.insert(name, tensor).is_some() {
                return Err(Error::State(format!("{name} is there twice")));
            }
        }
        let mut loads = Vec::new();
        for (slot, _, tensors) in &self.slots {
            for (name, current) in self.names.iter().zip(tensors) {
                let name = format!("{slot}/{name}");
                let Some(tensor) = given.remove(name.as_str()) else {
                    return Err(Error::State(format!("{name} is missing")));
                };
                if tensor.size() != current.size() || tensor.kind() != current.kind() {
                    return Err(Error::State(format!(
                        "{name} is {:?} {:?} where {:?} {:?} is expected",
                        tensor.kind(),
                        tensor.size(),
                        current.kind(),
                        current.size()
                    )));
                }
                loads.push((current.shallow_clone(), tensor));
            }
        }
        if let Some(surplus) = given.keys().next() {
            return Err(Error::State(format!("{surplus} belongs to no parameter of this optimiser")));
        }
        tch::no_grad(|| {
            for (mut current, tensor) in loads {
                current.f_copy_(tensor)?;
            }
            Ok(())
        })
    }
}
