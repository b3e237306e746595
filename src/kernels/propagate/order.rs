//! The order of the nodes in memory.

/// The nodes in the order of their rows: users, then items, the most
/// connected first.
pub fn order(num_users: usize, lists: &[Vec<u32>]) -> Vec<u32> {
    let mut nodes: Vec<u32> = (0..lists.len() as u32).collect();
    let (users, items) = nodes.split_at_mut(num_users);
    for side in [users, items] {
        side.sort_by_key(|&node| std::cmp::Reverse(lists[node as usize].len()));
    }
    nodes
}
