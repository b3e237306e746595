//! Sums of table rows over bags of rows: a first layer whose input is which
//! items a user has.

use super::{Leaf, Part, Tape, Updates};
use crate::device::{Family, family};
#[cfg(feature = "wgpu")]
use crate::kernels::bags::DeviceBags;
use crate::kernels::rows::{self, Segments};
use crate::params::Param;
use burn::tensor::{Device, Tensor, TensorData};

/// Some bags of row numbers of one table.
pub struct Bags {
    /// `offsets[b]..offsets[b + 1]` are the rows of bag `b`.
    offsets: Vec<usize>,
    rows: Members,
    /// Rows of the table.
    table_rows: usize,
}

/// The rows of all bags, one after the other.
enum Members {
    Host(Vec<u32>),
    /// Put together on a GPU, where some may be missing.
    #[cfg(feature = "wgpu")]
    Device(Box<DeviceBags>),
}

impl Bags {
    /// # Panics
    /// When the offsets do not divide the rows, or a row is not one of the
    /// table's: a GPU would read whatever lies there.
    pub fn new(offsets: Vec<usize>, rows: Vec<u32>, table_rows: usize) -> Self {
        assert!(
            offsets.first() == Some(&0)
                && offsets.last() == Some(&rows.len())
                && offsets.is_sorted(),
            "offsets divide the rows into bags"
        );
        assert!(
            rows.iter().all(|&row| (row as usize) < table_rows),
            "a table of {table_rows} rows has fewer than what is looked up"
        );
        Self {
            offsets,
            rows: Members::Host(rows),
            table_rows,
        }
    }

    /// Bags on a GPU, of rows that the table has; `offsets` are those before
    /// anything was taken of them.
    #[cfg(feature = "wgpu")]
    pub fn on_device(offsets: Vec<usize>, rows: DeviceBags, table_rows: usize) -> Self {
        Self {
            offsets,
            rows: Members::Device(Box::new(rows)),
            table_rows,
        }
    }

    /// The rows of all bags.
    ///
    /// # Panics
    /// On bags that are not on the host.
    fn rows(&self) -> &[u32] {
        match &self.rows {
            Members::Host(rows) => rows,
            #[cfg(feature = "wgpu")]
            Members::Device(_) => unreachable!("a GPU reads its own bags there"),
        }
    }

    /// Bags.
    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Rows in each bag, before anything was taken of it on a GPU.
    pub fn sizes(&self) -> impl Iterator<Item = usize> + '_ {
        self.offsets.windows(2).map(|ends| ends[1] - ends[0])
    }

    /// The rows of each bag, filled up to the size of the largest one with row
    /// 0, and 1 or 0 for what is one of its rows or not: `[bags, largest]`,
    /// row-major.
    ///
    /// # Panics
    /// On bags that are not on the host.
    pub fn padded(&self) -> (Vec<u32>, Vec<f32>) {
        let largest = self.sizes().max().unwrap_or(0);
        let len = self.len() * largest;
        let (mut rows, mut present) = (Vec::with_capacity(len), Vec::with_capacity(len));
        for ends in self.offsets.windows(2) {
            rows.extend_from_slice(&self.rows()[ends[0]..ends[1]]);
            present.resize(rows.len(), 1.0);
            rows.resize(present.len() + largest - (ends[1] - ends[0]), 0);
            present.resize(rows.len(), 0.0);
        }
        (rows, present)
    }

    /// How often each bag has each row: `[bags, table_rows]`, row-major.
    ///
    /// # Panics
    /// On bags that are not on the host.
    pub fn counts(&self) -> Vec<f32> {
        let mut counts = vec![0.0; self.len() * self.table_rows];
        for (bag, ends) in self.offsets.windows(2).enumerate() {
            for &row in &self.rows()[ends[0]..ends[1]] {
                counts[bag * self.table_rows + row as usize] += 1.0;
            }
        }
        counts
    }

    /// The sums `[bags, columns]` of a table's rows.
    fn sum(&self, table: Tensor<2>, device: &Device) -> Tensor<2> {
        #[cfg(feature = "wgpu")]
        if let Members::Device(bags) = &self.rows {
            return bags.sum(table);
        }
        if rows::supported(device) {
            Segments::of_bags(&self.offsets, self.rows(), device).sum(table)
        } else {
            self.matrix(device).matmul(table)
        }
    }

    fn matrix(&self, device: &Device) -> Tensor<2> {
        let shape = [self.len(), self.table_rows];
        Tensor::from_data(TensorData::new(self.counts(), shape), device)
    }

    /// As [`Self::matrix`], of the counts that are not zero alone.
    fn scattered(&self, device: &Device) -> Tensor<2> {
        #[cfg(feature = "wgpu")]
        if let Members::Device(bags) = &self.rows {
            return bags.counts(self.table_rows);
        }
        let shape = [self.len(), self.table_rows];
        let places = shape[0] * shape[1];
        let rows = self.rows();
        if rows.is_empty() || places > i32::MAX as usize {
            return self.matrix(device);
        }
        let mut owners = Vec::with_capacity(rows.len());
        for (bag, ends) in self.offsets.windows(2).enumerate() {
            let first = (bag * self.table_rows) as u32;
            owners.extend(rows[ends[0]..ends[1]].iter().map(|row| first + row));
        }
        let mut owners: Vec<(u32, u32)> = owners.into_iter().zip(0..).collect();
        owners.sort_unstable();
        let ones = Tensor::ones([owners.len(), 1], device);
        let counts = Segments::of_owners(&owners, device).spread(ones, places);
        counts.reshape(shape)
    }

    /// For the update of the table: which bags each distinct row is in.
    fn transposed(&self, device: &Device) -> Segments {
        let rows = self.rows();
        let mut owners: Vec<(u32, u32)> = Vec::with_capacity(rows.len());
        for (bag, ends) in (0..).zip(self.offsets.windows(2)) {
            owners.extend(rows[ends[0]..ends[1]].iter().map(|&row| (row, bag)));
        }
        // Stable, so that a row's bags stay in their order.
        owners.sort_by_key(|owner| owner.0);
        Segments::of_owners(&owners, device)
    }
}

impl Tape {
    /// For each bag the sum of the table's rows in it: `[bags, columns]`. The
    /// leaf is the sum, not the rows, so that nothing is as large as what the
    /// bags hold. A table can be read once in a step.
    pub fn bag_sums(&mut self, table: &Param, bags: &Bags) -> Tensor<2> {
        let plain = self.device.clone().inner();
        if !self.training {
            return bags.sum(table.value(), &plain);
        }
        if self.updates == Updates::Dense || !rows::supported(&plain) {
            return self.counts_of(bags).matmul(self.param(table));
        }
        assert!(
            !self.leaves.iter().any(|l| l.name == table.name()),
            "table `{}` is looked up twice in one step",
            table.name()
        );
        let leaf = Tensor::from_inner(bags.sum(table.value(), &plain)).require_grad();
        let part = Part::Occurrences(self.transposed(bags, &plain));
        self.leaves.push(Leaf {
            name: table.name().to_string(),
            tensor: leaf.clone(),
            part,
        });
        leaf
    }

    /// For the update of the table: which bags each row is in.
    fn transposed(&mut self, bags: &Bags, device: &Device) -> Segments {
        #[cfg(feature = "wgpu")]
        if let Members::Device(members) = &bags.rows {
            return members.transposed(self.chains_of(bags.table_rows, device));
        }
        bags.transposed(device)
    }

    /// How often each bag has each row: `[bags, table_rows]`. A GPU is told
    /// where there is something, the rest is zero.
    pub fn counts_of(&self, bags: &Bags) -> Tensor<2> {
        let plain = self.device.clone().inner();
        self.constant_of(match family(&plain) {
            Family::Gpu => bags.scattered(&plain),
            Family::Flex | Family::Other => bags.matrix(&plain),
        })
    }

    /// As [`Self::bag_sums`], of a table that is not learned in this step.
    pub fn constant_bag_sums(&self, table: &Param, bags: &Bags) -> Tensor<2> {
        let sums = bags.sum(table.value(), &self.device.clone().inner());
        self.constant_of(sums)
    }

    /// A parameter that is not learned in this step.
    pub fn constant(&self, param: &Param) -> Tensor<2> {
        self.constant_of(param.value())
    }

    /// A value that is not learned, as what is read beside it.
    pub fn constant_of<const D: usize>(&self, value: Tensor<D>) -> Tensor<D> {
        if self.training {
            Tensor::from_inner(value)
        } else {
            value
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optim::{Optimizer, OptimizerConfig};
    use crate::params::host;
    use crate::seed::Seed;

    fn table() -> Param {
        let values = (0..8).map(|v| v as f32).collect();
        Param::new("t", [4, 2], values, &Device::flex())
    }

    fn bags() -> Bags {
        Bags::new(vec![0, 2, 2, 5], vec![1, 3, 0, 3, 3], 4)
    }

    #[test]
    fn rows_of_a_bag_are_added_up() {
        let mut tape = Tape::inference(&Device::flex());
        let sums = tape.bag_sums(&table(), &bags());
        assert_eq!(host(sums).unwrap(), [8.0, 10.0, 0.0, 0.0, 12.0, 15.0]);
    }

    #[test]
    fn bags_are_filled_up_to_the_largest() {
        let (rows, present) = bags().padded();
        assert_eq!(rows, [1, 3, 0, 0, 0, 0, 0, 3, 3]);
        assert_eq!(present, [1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
    }

    #[cfg(feature = "wgpu")]
    #[test]
    fn a_gpu_counts_rows_as_the_host_does() {
        let Some(gpu) = crate::kernels::gpu::adapter() else {
            return;
        };
        let counts = Tape::inference(&gpu).counts_of(&bags());
        assert_eq!(host(counts).unwrap(), bags().counts());
    }

    /// The rows path and the dense one take the same step of plain SGD.
    #[test]
    fn gradients_reach_the_rows_of_the_bags() {
        let step = |updates| {
            let mut table = table();
            let mut optimizer = Optimizer::new(OptimizerConfig::plain_sgd());
            let mut tape = Tape::training(&Device::flex(), updates);
            tape.begin(Seed(1).stream("dropout"));
            let sums = tape.bag_sums(&table, &bags());
            let weights = tape.floats(vec![1.0, 2.0, 9.0, 9.0, 3.0, -1.0], [3, 2]);
            let grads = (sums * weights).sum().backward();
            optimizer.step(vec![&mut table], tape.take_leaves(), &grads, 1.0);
            table.host().unwrap()
        };
        let expected = [-3.0, 2.0, 1.0, 1.0, 4.0, 5.0, -1.0, 7.0];
        assert_eq!(step(Updates::Rows), expected);
        assert_eq!(step(Updates::Dense), expected);
    }
}
