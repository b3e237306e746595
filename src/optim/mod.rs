//! Optimizers for parameters that are updated as a whole or row by row.
//!
//! One formula serves both: it sees the values, the gradient and the state of
//! whatever the tape recorded, the whole matrix or the touched rows.

mod formulas;
mod schedule;

pub use formulas::{apply, num_states};
pub use schedule::{Schedule, ScheduleConfig};

use crate::kernels::update::Hyper;
use crate::params::{Param, assign_rows};
use crate::tape::{Leaf, Part};
use crate::tensors::{NamedTensors, Stream};
use anyhow::{Context, Result};
use burn::tensor::{Gradients, Tensor, TensorData};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `optimizer` of `[training]`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OptimizerKind {
    /// Kingma & Ba, ICLR 2015; weight decay is added to the gradient.
    #[default]
    Adam,
    /// Loshchilov & Hutter, ICLR 2019; weight decay is decoupled.
    Adamw,
    /// With momentum (Polyak); weight decay is added to the gradient.
    Sgd,
    /// Duchi et al., JMLR 2011; weight decay is added to the gradient.
    Adagrad,
}

/// The numbers of an optimizer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OptimizerConfig {
    pub kind: OptimizerKind,
    pub weight_decay: f64,
    pub momentum: f64,
    pub beta1: f64,
    pub beta2: f64,
    pub epsilon: f64,
    /// Largest global norm of the gradients of a step; 0 does not clip.
    pub gradient_clip: f64,
}

#[cfg(test)]
impl OptimizerConfig {
    /// Gradient descent: a step is the rate times the gradient, so that tests
    /// can read the gradient off it.
    pub fn plain_sgd() -> Self {
        Self {
            kind: OptimizerKind::Sgd,
            weight_decay: 0.0,
            momentum: 0.0,
            beta1: 0.0,
            beta2: 0.0,
            epsilon: 1e-8,
            gradient_clip: 0.0,
        }
    }
}

/// State per parameter: as many tensors of its shape as the formula keeps.
pub struct Optimizer {
    config: OptimizerConfig,
    steps: u64,
    states: BTreeMap<String, Vec<Tensor<2>>>,
}

impl Optimizer {
    pub fn new(config: OptimizerConfig) -> Self {
        Self {
            config,
            steps: 0,
            states: BTreeMap::new(),
        }
    }

    /// Steps so far.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    pub fn config(&self) -> &OptimizerConfig {
        &self.config
    }

    /// Counts a step that a fused kernel took.
    pub fn count_step(&mut self) {
        self.steps += 1;
    }

    /// The states of a parameter on the host, row-major and in the formula's
    /// order; zeros before its first update.
    ///
    /// # Errors
    /// A device that fails.
    pub fn host_states(&self, param: &Param) -> Result<Vec<Vec<f32>>> {
        match self.states.get(param.name()) {
            Some(states) => states
                .iter()
                .map(|s| crate::params::host(s.clone()))
                .collect(),
            None => {
                let [rows, columns] = param.shape();
                Ok(vec![
                    vec![0.0; rows * columns];
                    num_states(self.config.kind)
                ])
            }
        }
    }

    /// Puts a fused kernel's states in place.
    ///
    /// # Panics
    /// When they are not of the parameter's shape: the kernel is at fault.
    pub fn set_host_states(&mut self, param: &Param, states: Vec<Vec<f32>>) {
        let (shape, device) = (param.shape(), param.value().device());
        let tensors = states
            .into_iter()
            .map(|s| Tensor::from_data(TensorData::new(s, shape), &device));
        self.states
            .insert(param.name().to_string(), tensors.collect());
    }

    /// One update of every parameter that has a gradient.
    ///
    /// # Panics
    /// When a leaf is not among `params`: the network is at fault.
    pub fn step(
        &mut self,
        params: Vec<&mut Param>,
        leaves: Vec<Leaf>,
        grads: &Gradients,
        learning_rate: f64,
    ) {
        self.steps += 1;
        let mut params: BTreeMap<String, &mut Param> = params
            .into_iter()
            .map(|p| (p.name().to_string(), p))
            .collect();
        let mut updates = gathered(leaves, grads);
        if self.config.gradient_clip > 0.0 {
            clip(&mut updates, self.config.gradient_clip);
        }
        for update in updates {
            let param = params
                .get_mut(&update.name)
                .expect("the network lists every parameter that it reads");
            let rows = update.part.rows();
            self.update(param, update, learning_rate);
            param.shorten(rows);
        }
    }

    fn update(&mut self, param: &mut Param, update: Update, rate: f64) {
        let (config, steps) = (self.config, self.steps);
        let states = self
            .states
            .entry(param.name().to_string())
            .or_insert_with(|| {
                let like = param.value();
                (0..num_states(config.kind))
                    .map(|_| like.zeros_like())
                    .collect()
            });
        let Update { part, grad, .. } = update;
        // The states' only handles, so that they are written in place.
        let old = std::mem::take(states);
        match part {
            Part::Before | Part::Derived(_) => unreachable!("`gathered` leaves none"),
            Part::Whole => param.update(|value| {
                let (value, new) = apply(&config, value, grad, old, rate, steps);
                *states = new;
                value
            }),
            Part::Occurrences(segments) => {
                let hyper = Hyper::new(&config, rate, steps);
                param.update(|table| {
                    let (table, new) = segments.update(table, old, grad, update.summed, hyper);
                    *states = new;
                    table
                });
            }
            Part::Rows(rows) => {
                let select = |t: &Tensor<2>| t.clone().select(0, rows.clone());
                let (value, state) = (select(&param.value()), old.iter().map(select).collect());
                let (value, new) = apply(&config, value, grad, state, rate, steps);
                param.update(|table| assign_rows(table, &rows, value));
                let tables = old.into_iter().zip(new);
                *states = tables.map(|(t, new)| assign_rows(t, &rows, new)).collect();
            }
        }
    }

    /// Adds the state under `optimizer/`.
    pub fn store(&self, into: &mut Stream) {
        into.metadata
            .insert("optimizer.steps".into(), self.steps.to_string());
        for (name, states) in &self.states {
            for (i, state) in states.iter().enumerate() {
                crate::params::stream(&format!("optimizer/{name}/{i}"), state.clone(), into);
            }
        }
    }

    /// Takes over what [`Self::store`] kept.
    ///
    /// # Errors
    /// State that is missing or of another shape.
    pub fn load(&mut self, from: &NamedTensors, params: &[&Param]) -> Result<()> {
        let steps = from
            .metadata
            .get("optimizer.steps")
            .context("the optimizer's state is missing")?;
        self.steps = steps
            .parse()
            .context("the optimizer's step count is not a number")?;
        for param in params {
            let key = |i: usize| format!("optimizer/{}/{i}", param.name());
            let count = num_states(self.config.kind);
            if count == 0 || !from.tensors.contains_key(&key(0)) {
                // A parameter that has not been updated yet.
                continue;
            }
            let (shape, device) = (param.shape(), param.value().device());
            let states = (0..count)
                .map(|i| {
                    let values = from.f32(&key(i), &shape)?.to_vec();
                    Ok(Tensor::from_data(TensorData::new(values, shape), &device))
                })
                .collect::<Result<_>>()?;
            self.states.insert(param.name().to_string(), states);
        }
        Ok(())
    }
}

/// A leaf and its gradient.
struct Update {
    name: String,
    part: Part,
    grad: Tensor<2>,
    /// Whether the gradients of [`Part::Occurrences`] are added up by row.
    summed: bool,
}

/// The leaves' gradients, where there are some: one of each parameter.
fn gathered(leaves: Vec<Leaf>, grads: &Gradients) -> Vec<Update> {
    let mut updates: Vec<Update> = Vec::new();
    let mut before = Vec::new();
    for leaf in leaves {
        let grad = leaf.tensor.grad(grads);
        if before.is_empty() && grad.is_none() && !matches!(leaf.part, Part::Before) {
            continue;
        }
        let mut grad = grad.unwrap_or_else(|| leaf.tensor.clone().inner().zeros_like());
        if matches!(leaf.part, Part::Before) {
            before.push(grad);
            continue;
        }
        if !before.is_empty() {
            before.push(grad);
            grad = Tensor::cat(std::mem::take(&mut before), 0);
        }
        let part = match leaf.part {
            Part::Derived(back) => {
                grad = back(grad);
                Part::Whole
            }
            part => part,
        };
        match updates.iter_mut().find(|u| u.name == leaf.name) {
            Some(same) => same.grad = same.grad.clone() + grad,
            None => updates.push(Update {
                name: leaf.name,
                part,
                grad,
                summed: false,
            }),
        }
    }
    updates
}

/// Scales all gradients by `min(1, limit / norm)`, without reading the norm
/// back from the device. The norm is that of the parameters' gradients, so
/// those of a row's occurrences are added up first.
fn clip(updates: &mut [Update], limit: f64) {
    for update in updates.iter_mut() {
        if let Part::Occurrences(segments) = &update.part {
            update.grad = segments.sum(update.grad.clone());
            update.summed = true;
        }
    }
    let squares = updates
        .iter()
        .map(|u| (u.grad.clone() * u.grad.clone()).sum());
    let Some(total) = squares.reduce(|a, b| a + b) else {
        return;
    };
    let scale = (total.sqrt() + 1e-12)
        .recip()
        .mul_scalar(limit)
        .clamp_max(1.0);
    for update in updates {
        update.grad = update.grad.clone() * scale.clone().reshape([1, 1]);
    }
}

#[cfg(test)]
mod tests;
