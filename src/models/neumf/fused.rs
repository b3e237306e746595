//! Training GMF, MLP and NeuMF, and scoring catalogs, by the kernels of
//! [`crate::kernels::ncf`].

use super::network::Network;
use crate::device;
use crate::kernels::mf::Side;
use crate::kernels::ncf::{Batch, Branches, Layout, Matrix, Ncf, Rows, Scorer, Settings};
use crate::kernels::simd::{Lane, WIDTH};
use crate::models::pairwise::{Examples, Fuse, FusedPairs, PairNetwork, Scale};
use crate::optim::Optimizer;
use crate::params::Param;
use crate::seed::Seed;
use crate::tape::Updates;
use crate::training::{FusedStep, StepLoss};
use anyhow::Result;
use std::ops::Range;

/// The kernels for this network, where there are some for this loss and
/// device.
///
/// # Errors
/// A device that fails.
pub fn fuse(network: &Network, around: &Fuse<'_>) -> Result<Option<Box<dyn FusedPairs>>> {
    let Some(goal) = around.goal() else {
        return Ok(None);
    };
    if around.config.updates != Updates::Rows || !device::is_host(around.device) {
        return Ok(None);
    }
    let settings = Settings {
        goal,
        hardest_negative: around.objective.hardest_negative,
        dropout: network.mlp.as_ref().map_or(0.0, |mlp| mlp.dropout),
        regularization: network.regularization as f32,
        gradient_clip: around.config.gradient_clip as f32,
    };
    let [num_users, _] = network.user_table().shape();
    let mut ncf = Ncf::zeros(
        settings,
        branches(network),
        (num_users, network.num_items),
        around.optimizer.config().kind,
    );
    for param in network.params() {
        let (value, states) = (param.host()?, around.optimizer.host_states(param)?);
        let place = Place::of(param.name(), &ncf.layout);
        place.put(&mut ncf, param.shape()[1], &value, &states);
    }
    Ok(Some(Box::new(FusedNcf {
        ncf,
        scale: around.scale,
        seed: around.seed,
        users: Vec::new(),
        items: Vec::new(),
    })))
}

fn branches(network: &Network) -> Branches {
    let mlp = network.mlp.as_ref();
    Branches {
        gmf: network.gmf.as_ref().map_or(0, |gmf| gmf.users.shape()[1]),
        mlp: mlp.map_or(0, |mlp| mlp.users.shape()[1]),
        hidden: mlp.map_or_else(Vec::new, |mlp| {
            let biases = mlp.layers.iter().map(|(_, bias)| bias);
            let biases = std::iter::once(&mlp.first_bias).chain(biases);
            biases.map(|bias| bias.shape()[1]).collect()
        }),
    }
}

/// Where a parameter lies in the kernels' arrays.
enum Place {
    /// In the users' rows from this column on.
    Users(usize),
    Items(usize),
    Dense(Matrix),
}

impl Place {
    /// # Panics
    /// For a name that the network does not have: the network is at fault.
    fn of(name: &str, layout: &Layout) -> Self {
        let mlp = layout.gmf_width() * WIDTH;
        match name {
            "gmf_user_embedding" => Self::Users(0),
            "gmf_item_embedding" => Self::Items(0),
            "mlp_user_embedding" => Self::Users(mlp),
            "mlp_item_embedding" => Self::Items(mlp),
            name => Self::Dense(layout.matrix(name).expect("the network's own parameters")),
        }
    }

    fn put(&self, ncf: &mut Ncf, columns: usize, value: &[f32], states: &[Vec<f32>]) {
        let (side, first) = match self {
            Self::Users(first) => (&mut ncf.users, *first),
            Self::Items(first) => (&mut ncf.items, *first),
            Self::Dense(matrix) => {
                matrix.put(&mut ncf.dense.weights, value);
                let arrays = [&mut ncf.dense.first, &mut ncf.dense.second];
                for (lanes, state) in arrays.into_iter().zip(states) {
                    matrix.put(lanes, state);
                }
                return;
            }
        };
        side.weights.put(first, columns, value);
        for (table, state) in [&mut side.first, &mut side.second].into_iter().zip(states) {
            table.put(first, columns, state);
        }
    }

    /// Value and states.
    fn take(&self, ncf: &Ncf, columns: usize) -> (Vec<f32>, Vec<Vec<f32>>) {
        let (side, first): (&Side, usize) = match self {
            Self::Users(first) => (&ncf.users, *first),
            Self::Items(first) => (&ncf.items, *first),
            Self::Dense(matrix) => {
                let kept = |lanes: &&Vec<Lane>| !lanes.is_empty();
                let arrays = [&ncf.dense.first, &ncf.dense.second];
                let states = arrays.into_iter().filter(kept);
                let states = states.map(|lanes| matrix.take(lanes)).collect();
                return (matrix.take(&ncf.dense.weights), states);
            }
        };
        let tables = [&side.first, &side.second];
        let states = tables.into_iter().filter(|table| table.per_row() > 0);
        let states = states.map(|table| table.take(first, columns)).collect();
        (side.weights.take(first, columns), states)
    }
}

struct FusedNcf {
    ncf: Ncf,
    scale: Option<Scale>,
    seed: Seed,
    users: Vec<u32>,
    items: Vec<u32>,
}

impl FusedPairs for FusedNcf {
    fn step(
        &mut self,
        examples: &Examples,
        places: Range<usize>,
        step: FusedStep,
    ) -> Result<StepLoss> {
        self.users.resize(places.len(), 0);
        self.items.resize(places.len() * examples.width(), 0);
        examples.fill(places.clone(), &mut self.users, &mut self.items);
        let targets: Vec<f32> = match self.scale {
            Some(scale) => {
                let ratings = examples.ratings(places);
                ratings.map(|rating| scale.normalized(rating)).collect()
            }
            None => Vec::new(),
        };
        let batch = Batch {
            users: &self.users,
            items: &self.items,
            targets: &targets,
        };
        let dropout = self.seed.indexed("dropout", step.number - 1);
        let loss = self.ncf.step(batch, &dropout, &step.hyper);
        Ok(StepLoss::Host(loss as f32))
    }

    fn write_back(&mut self, params: Vec<&mut Param>, optimizer: &mut Optimizer) -> Result<()> {
        for param in params {
            let place = Place::of(param.name(), &self.ncf.layout);
            let (value, states) = place.take(&self.ncf, param.shape()[1]);
            param.set_host(value);
            optimizer.set_host_states(param, states);
        }
        Ok(())
    }
}

/// Scores the catalog for users given as rows of the user tables, row-major,
/// one array a table.
///
/// # Errors
/// A device that fails.
pub fn score(network: &Network, users: &[Vec<f32>], scores: &mut [f32]) -> Result<()> {
    let layout = Layout::new(branches(network));
    let mut weights = vec![Lane::ZERO; layout.len];
    for param in network.params() {
        if let Some(matrix) = layout.matrix(param.name()) {
            matrix.put(&mut weights, &param.host()?);
        }
    }
    let host = |table: Option<&Param>| table.map_or_else(|| Ok(Vec::new()), Param::host);
    let gmf = host(network.gmf.as_ref().map(|gmf| &gmf.items))?;
    let mlp = host(network.mlp.as_ref().map(|mlp| &mlp.items))?;
    let items = Rows {
        gmf: &gmf,
        mlp: &mlp,
    };
    let scorer = Scorer::new(&layout, &weights, network.num_items, items);
    let mut tables = users.iter().map(Vec::as_slice);
    let mut next = |there: bool| there.then(|| tables.next()).flatten().unwrap_or_default();
    let rows = Rows {
        gmf: next(network.gmf.is_some()),
        mlp: next(network.mlp.is_some()),
    };
    scorer.score(rows, scores);
    Ok(())
}
