//! Embeddings and a body.

use super::Body;
use super::cosine::UnitRows;
use super::setup::Setup;
use crate::kernels::layers::{Layers, Layout, Var, Weights};
use crate::kernels::table::Table;
use crate::params::Param;
use crate::seed::Seed;
use anyhow::Result;
use burn::tensor::Device;

/// A body with its parameters.
pub struct Network {
    pub setup: Setup,
    pub body: Box<dyn Body>,
    pub layout: Layout,
    pub num_items: usize,
    /// `[num_items, d]`, and for a cloze task one row more: the mask.
    pub items: Param,
    /// One for each entry of the layout.
    pub dense: Vec<Param>,
}

/// What layers and scores read.
pub struct Host {
    pub items: Table,
    /// Where scores are cosines.
    pub units: Option<UnitRows>,
    pub weights: Weights,
}

impl Host {
    /// What scores are inner products with.
    pub fn scored(&self) -> &Table {
        self.units.as_ref().map_or(&self.items, |units| &units.rows)
    }
}

/// The hidden rows that scores are made of.
pub fn hidden(body: &dyn Body, setup: &Setup, layers: &mut dyn Layers, items: Var) -> Var {
    let items = layers.dropout(items, setup.embeddings.embedding_dropout as f32);
    let items = layers.noise(items, setup.embeddings.embedding_noise as f32);
    let last = body.forward(layers, items);
    if setup.cosine {
        layers.unit(last, setup.length())
    } else {
        last
    }
}

impl Network {
    /// Without a seed, all zero.
    pub fn new(
        setup: Setup,
        body: Box<dyn Body>,
        layout: Layout,
        num_items: usize,
        seed: Option<Seed>,
        device: &Device,
    ) -> Self {
        let shape = [
            num_items + usize::from(body.cloze().is_some()),
            setup.embedding_dim,
        ];
        let name = "item_embedding";
        let items = match seed {
            Some(seed) => {
                let stream = seed.stream(&format!("init/{name}"));
                Param::normal(name, shape, setup.init_deviation, &stream, device)
            }
            None => Param::zeros(name, shape, device),
        };
        let dense = layout.entries.iter().map(|entry| {
            let shape = [entry.rows, entry.columns];
            let Some(seed) = seed else {
                return Param::zeros(&entry.name, shape, device);
            };
            let values = entry.initial(&seed.stream(&format!("init/{}", entry.name)));
            Param::new(&entry.name, shape, values, device)
        });
        Self {
            setup,
            dense: dense.collect(),
            body,
            layout,
            num_items,
            items,
        }
    }

    /// Where the parameters are.
    pub fn device(&self) -> Device {
        self.items.value().device()
    }

    pub fn params(&self) -> Vec<&Param> {
        std::iter::once(&self.items).chain(&self.dense).collect()
    }

    pub fn params_mut(&mut self) -> Vec<&mut Param> {
        std::iter::once(&mut self.items)
            .chain(&mut self.dense)
            .collect()
    }

    /// # Errors
    /// A device that fails.
    pub fn host(&self) -> Result<Host> {
        let [rows, dim] = self.items.shape();
        let mut items = Table::zeros(rows, dim);
        items.put(0, dim, &self.items.host()?);
        let mut weights = Weights::zeros(self.layout.clone());
        for (entry, param) in self.layout.entries.iter().zip(&self.dense) {
            entry.put(&mut weights.lanes, &param.host()?);
        }
        Ok(Host {
            units: self.setup.cosine.then(|| UnitRows::of(&items)),
            items,
            weights,
        })
    }
}
