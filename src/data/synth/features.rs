//! What can be seen of users and items: a part of their true vectors.

use super::World;
use super::toml::{ITEMS, USERS};
use super::write::Table;
use anyhow::Result;
use polars::prelude::*;
use std::path::Path;

/// Rows in memory at a time.
const GROUP: usize = 1 << 16;
/// Tags of an item.
const TAGS: usize = 2;

/// Writes both feature files.
///
/// Users have a `segment`, the dimension that their taste leans to most.
/// Items have a `title`, a `category` (the largest dimension of their
/// character), `tags` (the two largest) and a number `quality`, the
/// character's first component.
pub(super) fn write(world: &World, folder: &Path) -> Result<()> {
    users(world, folder)?;
    items(world, folder)
}

fn users(world: &World, folder: &Path) -> Result<()> {
    let schema = Schema::from_iter([
        Field::new("user_id".into(), DataType::UInt32),
        Field::new("segment".into(), DataType::String),
    ]);
    let mut table = Table::create(&folder.join(USERS), &schema)?;
    for users in groups(world.config.users) {
        let segment = |u: &u32| format!("s{}", largest(&world.taste(*u))[0]);
        let columns = vec![
            ids("user_id", &users),
            Column::new(
                "segment".into(),
                users.iter().map(segment).collect::<Vec<_>>(),
            ),
        ];
        table.push(users.len(), columns)?;
    }
    table.finish()
}

fn items(world: &World, folder: &Path) -> Result<()> {
    let schema = Schema::from_iter([
        Field::new("item_id".into(), DataType::UInt32),
        Field::new("title".into(), DataType::String),
        Field::new("category".into(), DataType::String),
        Field::new("tags".into(), DataType::String),
        Field::new("quality".into(), DataType::Float32),
    ]);
    let ranks = world.ranks();
    let mut table = Table::create(&folder.join(ITEMS), &schema)?;
    for items in groups(world.config.items) {
        let character = |i: &u32| world.character(ranks[*i as usize]);
        let tags = |i: &u32| {
            let largest = largest(character(i)).into_iter().take(TAGS);
            largest
                .map(|d| format!("t{d}"))
                .collect::<Vec<_>>()
                .join("|")
        };
        let category = |i: &u32| format!("c{}", largest(character(i))[0]);
        let text = |values: Vec<String>, name: &str| Column::new(name.into(), values);
        let columns = vec![
            ids("item_id", &items),
            text(
                items.iter().map(|i| format!("Item {}", i + 1)).collect(),
                "title",
            ),
            text(items.iter().map(category).collect(), "category"),
            text(items.iter().map(tags).collect(), "tags"),
            Column::new(
                "quality".into(),
                items.iter().map(|i| character(i)[0]).collect::<Vec<f32>>(),
            ),
        ];
        table.push(items.len(), columns)?;
    }
    table.finish()
}

fn groups(count: usize) -> impl Iterator<Item = Vec<u32>> {
    let starts = (0..count).step_by(GROUP);
    starts.map(move |s| (s as u32..(s + GROUP).min(count) as u32).collect())
}

fn ids(name: &str, indices: &[u32]) -> Column {
    Column::new(
        name.into(),
        indices.iter().map(|i| i + 1).collect::<Vec<u32>>(),
    )
}

/// Dimensions by their values, the largest first.
fn largest(vector: &[f32]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..vector.len()).collect();
    order.sort_by(|a, b| vector[*b].total_cmp(&vector[*a]));
    order
}
