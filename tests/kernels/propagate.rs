//! Propagation over a graph against the product with its matrix.

use super::{assert_close, devices, normals, seed};
use burn::tensor::{Tensor, TensorData};
use recsys::data::Interactions;
use recsys::device::{self, DeviceChoice};
use recsys::ids::UserIdx;
use recsys::kernels::propagate::{DeviceGraph, Graph};

/// 70 users, 45 items; the first user and the last item have nothing, and a
/// pair is there twice.
fn log() -> Interactions {
    let mut rng = seed().stream("test");
    let mut log = Interactions {
        offsets: vec![0, 0],
        num_items: 45,
        ..Interactions::default()
    };
    for user in 1..70u32 {
        let items: Vec<u32> = (0..44).filter(|_| rng.below(40) < user).collect();
        log.items.extend(&items);
        log.items.extend(items.first());
        log.offsets.push(log.items.len());
    }
    log
}

/// `D^-1/2 A D^-1/2`, row-major.
fn matrix(log: &Interactions) -> Vec<f32> {
    let (users, nodes) = (log.num_users(), log.num_users() + log.num_items);
    let mut matrix = vec![0.0f32; nodes * nodes];
    for user in 0..users {
        for &item in log.items_of(UserIdx(user as u32)) {
            let item = users + item as usize;
            matrix[user * nodes + item] = 1.0;
            matrix[item * nodes + user] = 1.0;
        }
    }
    let rows = matrix.chunks(nodes);
    let degrees: Vec<f32> = rows.map(|row| row.iter().sum()).collect();
    for (place, value) in matrix.iter_mut().enumerate() {
        if *value > 0.0 {
            *value /= (degrees[place / nodes] * degrees[place % nodes]).sqrt();
        }
    }
    matrix
}

#[test]
fn propagation_is_the_product_with_the_matrix() {
    let log = log();
    let graph = Graph::new(&log).unwrap();
    let nodes = graph.num_nodes();
    let mut devices = devices();
    if cfg!(feature = "ndarray") {
        let plain = device::resolve(DeviceChoice::Ndarray).unwrap().device;
        devices.push(("ndarray", plain));
    }
    for (name, device) in devices {
        let on_device = DeviceGraph::new(&graph, &device);
        let matrix = TensorData::new(matrix(&log), [nodes, nodes]);
        let matrix: Tensor<2> = Tensor::from_data(matrix, &device);
        for columns in [1, 20, 64] {
            let x = normals(&mut seed().stream("test"), [nodes, columns], &device);
            let exact = matrix.clone().matmul(x.clone());
            let twice = matrix.clone().matmul(exact.clone());
            let y = on_device.propagate(x);
            assert_close(name, y.clone(), exact, 1e-5);
            assert_close(name, on_device.propagate(y), twice, 1e-5);
        }
    }
}
